"""Every preset learns the digits, draws, reconstructs, scores (or says why not), and is the same once reloaded."""

import importlib.util
import inspect
import re
import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

import latens
from latens import presets
from latens.cli.settings import estimator
from latens.distributions import DiscretizedLogistic
from latens.models import AutoregressiveCodes
from latens.neural.vocabulary import read
from latens.nn import MLP, Transformer
from latens.utils.text import text

DOCS = Path(__file__).parents[1] / "docs"
X, Y = load_digits().images[:300], load_digits().target[:300]
OWN = {"ms_ssim_vae": {"window": 5}, "miwae": {"m": 2, "k": 4}, "piwae": {"m": 2, "k": 4}}
OWN |= {
    "aggressive_vae": {"steps": 2},
    "vq_vae_map": {"latents": (4, 4), "prior": AutoregressiveCodes(Transformer(16, 1, 2))},
}
SMALL = {
    "latents": 4,
    "likelihood": DiscretizedLogistic(17),
    "encoder": MLP((32,)),
    "decoder": MLP((32,)),
    "network": MLP((16,)),
}
UNSCORED = {
    "autoencoder": "Use reconstruction_error",
    "regularised_autoencoder": "Use reconstruction_error",
    "smooth_autoencoder": "Use reconstruction_error",
    "adversarial_autoencoder": "no density over z",
    "wasserstein_autoencoder": "no density over z",
    "sliced_wasserstein_autoencoder": "no density over z",
    "vae_gan": "learned by a learned distortion alone",
}
"""Presets without a density, and what they say of it."""


def small(name: str, **settings):
    make = partial(getattr(presets, name), **OWN.get(name, {}))
    known = make().get_params(deep=False)
    given = {key: value for key, value in SMALL.items() if key in known and known[key] is None}
    if known.get("hierarchy") is not None:
        sizes = {"width": 32, "channels": (8, 8, 8), "levels": 2}
        fewer = {key: value for key, value in sizes.items() if hasattr(known["hierarchy"], key)}
        given = {"hierarchy": replace(known["hierarchy"], **fewer)}
    given |= {"score_samples_k": 20} if "score_samples_k" in known else {}
    return make(epochs=4, batch_size=50, learning_rate=3e-3, random_state=0, **given, **settings)


@pytest.fixture(scope="module", params=presets.__all__)
def fitted(request):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", latens.neural.latent.PosteriorCollapse)
        model = small(request.param).fit(X, Y)
    if isinstance(model, latens.AutoEncoder):
        model.fit_prior(latens.GaussianMixture(2, random_state=0), X)
    return request.param, model


def test_it_learns(fitted):
    _, model = fitted
    losses = [row["loss"] for row in model.history_.rows]
    assert len(losses) == 4
    assert np.isfinite(losses).all()


def test_it_draws_what_data_look_like(fitted):
    _, model = fitted
    drawn = model.sample(20, random_state=1)
    assert (drawn.shape, drawn.dtype) == ((20, 8, 8), X.dtype)
    assert np.isfinite(drawn).all()
    assert len(np.unique(drawn.reshape(20, -1), axis=0)) > 1


def test_it_reconstructs(fitted):
    _, model = fitted
    if hasattr(model, "reconstruct"):
        back = model.reconstruct(X[:12])
        assert (back.shape, back.dtype) == ((12, 8, 8), X.dtype)
    else:
        np.testing.assert_allclose(model.inverse_transform(model.transform(X[:12])), X[:12], atol=1e-3)


def test_it_scores_or_says_why_not(fitted):
    name, model = fitted
    if name in UNSCORED:
        with pytest.raises((ValueError, AttributeError), match=UNSCORED[name]):
            model.score_samples(X[:5])
        return
    scores = model.score_samples(X[:12])
    assert np.isfinite(scores).all()
    noise = np.random.default_rng(0).integers(0, 17, (12, 8, 8)).astype(float)
    assert scores.mean() > model.score_samples(noise).mean()


def test_saved_and_reloaded_it_is_the_same(fitted, tmp_path):
    name, model = fitted
    model.save(tmp_path / "model.latens")
    again = latens.load(tmp_path / "model.latens")
    assert text(again) == text(model)
    np.testing.assert_array_equal(again.transform(X[:12]), model.transform(X[:12]))
    np.testing.assert_array_equal(again.sample(5, random_state=2), model.sample(5, random_state=2))
    if name not in UNSCORED:
        np.testing.assert_array_equal(again.score_samples(X[:9]), model.score_samples(X[:9]))


@pytest.mark.parametrize("name", presets.__all__)
def test_it_is_one_line_that_names_its_paper(name):
    preset = getattr(presets, name)
    lines = [line for line in inspect.getsource(preset).split('"""')[2].splitlines() if line.strip()]
    assert re.search(r"\b(19|20)\d\d\b", inspect.getdoc(preset))
    assert len(lines) <= 12
    assert text(read(text(preset()))) == text(preset())
    assert preset(epochs=7).epochs == 7


def test_the_shell_knows_presets():
    assert text(estimator("beta_vae(2.0)", {})) == text(presets.beta_vae(2.0, random_state=0))
    assert text(estimator("iwae", {"epochs": 3})) == text(presets.iwae(epochs=3, random_state=0))


def test_the_page_is_made_from_them(monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("make_models", DOCS / "make_models.py")
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    assert page == maker.page(), "run `python docs/make_models.py`"
    (code,) = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    names: dict[str, object] = {}
    exec(compile(code, "models.md", "exec"), names)
    assert np.isfinite(names["vae"].score_samples(names["X"][:3])).all()
