"""The page on densities runs from top to bottom: what it prints, what it draws, and every name it promises."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latens.neural.vocabulary import read

PAGE = Path(__file__).parents[1] / "docs" / "densities.md"
TEXT = PAGE.read_text(encoding="utf-8")

ALIKE = {"figures/flow.png": 12.0}
"""Grey levels by which a picture may differ on the average: a network is not trained to the same bits everywhere."""


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


@pytest.fixture(scope="module")
def ran(tmp_path_factory) -> Path:
    """The folder in which the whole page ran; what it printed is compared on the way."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "figures").mkdir()
    return folder


def test_it_prints_what_it_says_and_draws_what_it_shows(ran, monkeypatch, capsys):
    monkeypatch.chdir(ran)
    names: dict[str, object] = {}
    for block in blocks():
        capsys.readouterr()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            exec(compile(block, str(PAGE), "exec"), names)
        said = [line[3:] for line in block.splitlines() if line.startswith("#> ")]
        assert capsys.readouterr().out.splitlines() == said
    shown = set(re.findall(r"!\[[^]]+\]\((figures/[^)]+)\)", TEXT))
    drawn = {str(path.relative_to(ran)) for path in (ran / "figures").iterdir()}
    assert shown == drawn
    assert shown == {str(path.relative_to(PAGE.parent)) for path in (PAGE.parent / "figures").iterdir()}
    for name in shown:
        kept, made = (np.asarray(Image.open(folder / name).convert("L"), dtype=float) for folder in (PAGE.parent, ran))
        assert kept.shape == made.shape
        assert np.abs(kept - made).mean() < ALIKE.get(name, 2.0), f"{name} no longer looks as it does in the page"


def rows() -> list[str]:
    """What stands on our side of the table of names."""
    table = TEXT[TEXT.index("| you know | here |") :]
    return [line.split(" | ")[1] for line in table.splitlines()[2:] if line.startswith("| ")]


CALLS = sorted({code for row in rows() for code in re.findall(r"`([A-Z][A-Za-z]*\(.*?\)+)[`.]", row)})
METHODS = {row: re.findall(r"`(?:[A-Z][A-Za-z]*\([^`]*\))?\.([a-z_]+)`", row) for row in rows()}


@pytest.mark.parametrize("code", CALLS)
def test_every_density_of_the_table_is_there(code):
    assert type(read(code)).__name__ == code.partition("(")[0]


def test_every_method_of_the_table_is_there():
    assert sum(map(len, METHODS.values())) > 15
    for row, methods in METHODS.items():
        density = read(re.search(r"`([A-Z][A-Za-z]*\(.*?\)+)[`.]", row)[1]) if methods else None
        for name in methods:
            documented = name in (type(density).__doc__ or "")
            assert hasattr(type(density), name) or documented, f"{type(density).__name__} has no {name}"
