"""Pages of the documentation run from top to bottom, and print what they say."""

import re
import warnings
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PAGES = ("audio", "counts", "signals", "tables", "text")


@pytest.mark.parametrize("name", PAGES)
def test_it_prints_what_it_says(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    page = (DOCS / f"{name}.md").read_text(encoding="utf-8")
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(block, f"{name}.md", "exec"), names)
        said = [line[3:] for line in block.splitlines() if line.startswith("#> ")]
        assert capsys.readouterr().out.splitlines() == said
