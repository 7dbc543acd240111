"""Documents at the shell: from a file of lines to topics, bags and scores."""

import json

import numpy as np

from latens.cli import main

THEMES = ["ship sea sail wave harbour", "tree leaf root forest bark"]


def test_documents_are_trained_on_shown_by_topic_drawn_and_scored(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = [" ".join(rng.choice(THEMES[i % 2].split(), 12)) for i in range(60)]
    (tmp_path / "lines.txt").write_text("\n".join(lines))
    train = ["train", "lines.txt", "--kind", "words", "-o", "run", "--epochs", "3", "--latents", "2", "--json"]
    assert main(train) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["schema"]["kind"], told["figures"]["given"]) == ("words", "total")
    page = (tmp_path / "run" / "report.html").read_text()
    assert "Topics" in page
    assert "log p(x | its total)" in page
    assert main(["sample", "run", "-n", "4", "-o", "bags.txt"]) == 0
    assert set((tmp_path / "bags.txt").read_text().split()) <= set(" ".join(THEMES).split())
    assert main(["sample", "run", "-n", "4", "-o", "bags.npy"]) == 0
    assert np.load(tmp_path / "bags.npy").shape == (4, 10)
    assert main(["score", "run", "bags.txt", "-o", "scores.csv"]) == 0
