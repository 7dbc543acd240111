"""The README is short, starts with code, and its code runs."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def python_blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", README.read_text(), re.DOTALL | re.MULTILINE)


def test_it_is_under_100_lines_with_python_by_line_35():
    lines = README.read_text().splitlines()
    assert len(lines) < 100
    assert lines.index("```python") < 35


def test_its_code_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    blocks = python_blocks()
    assert len(blocks) == 3
    for block in blocks:  # as they stand, but for the length of training and the draws of a score
        quick = re.sub(r"epochs=\d+", "epochs=1, score_samples_k=2", block)
        exec(compile(quick, str(README), "exec"), names)
    assert names["log_p"].shape == (1797,)
    assert names["new"].shape == (64, 8, 8)
    assert names["new"].dtype == names["X"].dtype
    assert set(map(float, names["new"].ravel())) <= set(map(float, range(17)))
    assert (tmp_path / "digits.latens").is_file()
    score, best = capsys.readouterr().out.splitlines()
    assert float(score) < 0
    assert best in ("KernelDensity()", "GaussianMixture(random_state=0)")
