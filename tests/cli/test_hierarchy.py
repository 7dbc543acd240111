"""A hierarchy at the shell: every verb takes it as it takes a plain VAE."""

import numpy as np
import pytest
from sklearn.datasets import load_digits


@pytest.mark.filterwarnings("ignore:posterior collapse")
def test_every_verb_takes_a_hierarchy(call, ask, tmp_path):
    run, codes, out, data = (tmp_path / name for name in ("run", "z.npy", "x.npy", "data.npy"))
    np.save(data, load_digits().images[:60, :, 1:6].astype(np.uint8))
    model = "VAE(hierarchy=ConvLadder((1, 2), (4, 4)), score_samples_k=4)"
    status, _, err = call("train", data, "-o", run, "--epochs", "1", "--model", model)
    assert status == 0, err
    page = (run / "report.html").read_text()
    assert "2 x 2 x 2 + 1 x 4 x 3, from the top" in page
    assert "in units of its standard deviation over the codes" in page
    for verb in ("info", "report"):
        assert call(verb, run)[0] == 0
    assert call("sample", run, "-n", "4", "-o", out)[0] == 0
    assert np.load(out).shape == (4, 8, 5)
    assert len(ask("evaluate", run, data)["rate_per_dimension"]) == 20
    assert call("score", run, data, "-o", tmp_path / "scores.csv")[0] == 0
    assert call("encode", run, data, "-o", codes)[0] == 0
    assert np.load(codes).shape == (60, 20)
    assert call("decode", run, codes, "-o", out)[0] == 0
    decoded = np.load(out).astype(float)
    assert call("reconstruct", run, data, "-o", out)[0] == 0
    assert np.abs(decoded - np.load(out)).max() <= 1  # whole numbers


def test_a_setting_that_a_hierarchy_has_is_refused(call, tmp_path):
    model = "VAE(hierarchy=Ladder((3, 2)))"
    status, _, err = call("train", "digits", "-o", tmp_path / "run", "--latents", "4", "--model", model)
    assert status == 2
    assert "leave out latents" in err
    assert not (tmp_path / "run").exists()
