"""Several levels of latents behind the one face."""

import math

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from latens import VAE, Flow, Histogram
from latens.distributions import Bernoulli, Normal
from latens.metrics import evaluate
from latens.models import ConvLadder, Free, Ladder
from latens.nn import MLP
from latens.objectives import Distortion, FreeBits, Rate
from latens.training import EpochEnd, Linear
from latens.utils.errors import InputError

DIGITS, LABELS = load_digits(return_X_y=True)
IMAGES = DIGITS.reshape(-1, 8, 8)
RNG = np.random.default_rng(0)
TABLE = np.tanh(RNG.normal(size=(600, 2))) @ RNG.normal(size=(2, 3)) * [100.0, 1.0, 0.01] + [0.0, 5.0, 0.0]
TABLE += 0.3 * TABLE.std(0) * RNG.normal(size=TABLE.shape)
FEW = {"epochs": 2, "random_state": 0}
pytestmark = pytest.mark.filterwarnings("ignore:posterior collapse")  # of two epochs

FITS = {
    "table": lambda: (VAE(hierarchy=Ladder((3, 2, 1), width=16), **FEW), TABLE),
    "images": lambda: (VAE(hierarchy=ConvLadder((1, 2), (6, 4), levels=2), **FEW), IMAGES[:150]),
    "odd images": lambda: (VAE(hierarchy=ConvLadder((1, 1, 2), (4, 4, 4)), **FEW), IMAGES[:300, :7, 1:6]),
    "colours": lambda: (
        VAE(hierarchy=ConvLadder((1, 2), (4, 4), patch=3), **FEW),
        np.stack([IMAGES[:200]] * 3, -1)[:, 1:, :5].astype(np.uint8),
    ),
    "warmed up, free bits": lambda: (
        VAE(
            hierarchy=Ladder((3, 2), width=16),
            objective=Distortion() + Linear(0.0, 1.0, until=0.5) * (0.5 * Rate() + 0.5 * FreeBits(0.1)),
            likelihood=Bernoulli(),
            **FEW,
        ),
        (IMAGES > 7).astype(np.uint8),
    ),
    "conditional": lambda: (VAE(hierarchy=Ladder((3, 2), width=16), condition="y", **FEW), DIGITS),
}


@pytest.fixture(scope="module", params=FITS)
def fitted(request):
    estimator, X = FITS[request.param]()
    y = {"y": LABELS[: len(X)]} if estimator.condition else {}
    return estimator.fit(X, **y), X, y


def test_codes_are_all_levels_and_lead_back(fitted):
    estimator, X, y = fitted
    given = {name: labels[:7] for name, labels in y.items()}
    codes = estimator.transform(X[:7], **given)
    total = sum(math.prod(shape) for shape in estimator.model_.shapes)
    assert codes.shape == (7, total) == (7, estimator.settings_["latents"])
    rebuilt = estimator.reconstruct(X[:7], **given).astype(float)
    np.testing.assert_allclose(estimator.inverse_transform(codes, **given), rebuilt, rtol=1e-4, atol=1.0 * (X.ndim > 2))
    assert estimator.inverse_transform(codes + 3.0, **given).shape == rebuilt.shape
    assert not np.array_equal(estimator.inverse_transform(codes + 3.0, **given), rebuilt)


def test_draws_are_rows_like_those_fitted(fitted):
    estimator, X, y = fitted
    for drawn in (estimator.sample(9, y=3 if y else None), estimator.sample(9, y=3 if y else None, mean=True)):
        assert drawn.shape == (9, *X.shape[1:])
        assert drawn.dtype == X.dtype
        assert drawn.std(0).max() > 0


def test_figures_are_of_every_dimension(fitted):
    estimator, X, y = fitted
    total = estimator.settings_["latents"]
    last = estimator.history_.rows[-1]
    assert len(last["rate_per_dimension"]) == len(last["held_out_rate_per_dimension"]) == total
    assert sum(last["rate_per_dimension"]) == pytest.approx(last["rate"], rel=1e-5)
    found = evaluate(estimator, X[:40], *[labels[:40] for labels in y.values()], k=8)
    assert len(found.rate_per_dimension) == total
    assert sum(found.rate_per_dimension) == pytest.approx(found.rate, rel=1e-5)
    assert found.negative_elbo == pytest.approx(found.distortion + found.rate, rel=1e-6)
    assert found.log_likelihood > -found.negative_elbo


def test_a_score_is_the_density_that_quadrature_finds():
    vae = VAE(hierarchy=Ladder((1, 1), width=16), epochs=40, random_state=0, likelihood=Normal("shared")).fit(TABLE)
    x = vae.units_(torch.from_numpy(TABLE[:20])).double()
    e = torch.linspace(-7, 7, 281, dtype=torch.float64)
    nodes = [t.reshape(-1, 1) for t in torch.meshgrid(e, e, indexing="ij")]
    log_mass = sum(-0.5 * t.square() for t in nodes).flatten() - math.log(2 * math.pi) + 2 * math.log(e[1] - e[0])
    model = vae.model_.double()
    with torch.no_grad():
        p = model(lambda p, q: p.mean + p.stddev * nodes.pop(0))
        expected = (p.log_prob(x[:, None]) + log_mass).logsumexp(1).numpy() - np.log(vae.units_.scale.numpy()).sum()
    model.float()
    np.testing.assert_allclose(vae.score_samples(TABLE[:20], k=4000), expected, atol=0.05)
    assert vae.score_samples(TABLE, k=1).mean() < vae.score_samples(TABLE, k=64).mean()


class Killed(Exception):
    pass


@pytest.mark.parametrize("hierarchy", [Ladder((2, 1), width=8), ConvLadder((1,), (4,))])
def test_killed_and_resumed_gives_the_same_bits(hierarchy, tmp_path):
    def kill(event):
        if isinstance(event, EpochEnd) and event.row["epoch"] == 2:
            raise Killed

    settings = {"hierarchy": hierarchy, "epochs": 4, "random_state": 0}
    checkpoint = tmp_path / "checkpoint"
    whole = VAE(**settings).fit(IMAGES[:300])
    source = whole._source(IMAGES[:300])
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patch:
        patch.setattr("latens.training.loop.CHECKPOINT_SECONDS", 0.0)
        patch.setattr("latens.training.loop.CHECKPOINT_SHARE", 1e9)
        with pytest.raises(Killed):
            VAE(**settings)._fit(source, checkpoint=checkpoint, listener=kill)
    assert checkpoint.exists()
    again = VAE(**settings)._fit(source, checkpoint=checkpoint)
    for (name, a), b in zip(whole.model_.state_dict().items(), again.model_.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    np.testing.assert_array_equal(whole.score_samples(IMAGES[:9]), again.score_samples(IMAGES[:9]))


def test_missing_entries_are_completed():
    rows = TABLE[:300]
    gaps = np.where(np.random.default_rng(1).random(rows.shape) < 0.2, np.nan, rows)
    vae = VAE(hierarchy=Ladder((3, 2), width=16), epochs=80, batch_size=64, learning_rate=0.01, random_state=0).fit(
        gaps
    )
    filled = vae.complete(gaps)
    missing = np.isnan(gaps)
    assert (filled[~missing] == gaps[~missing]).all()
    error = ((filled - rows) / rows.std(0))[missing]
    by_mean = ((np.nanmean(gaps, 0) - rows) / rows.std(0))[missing]
    assert np.square(error).mean() < 0.8 * np.square(by_mean).mean()
    assert np.isfinite(vae.complete(gaps, n=2)).all()


WRONG = {
    "latents": ({"latents": 3}, r"Ladder\(width=8\) has latents, .* of its own; leave out latents\."),
    "networks": ({"encoder": MLP((8,)), "decoder": MLP((8,))}, "leave out encoder and decoder"),
    "prior": ({"prior": Free(Normal("element"))}, "leave out prior"),
    "posterior": ({"posterior": Normal("shared")}, "leave out posterior"),
    "kind": ({"hierarchy": ConvLadder()}, "ConvLadder expects images .* Use Ladder"),
    "number": ({"hierarchy": 3}, "a hierarchy of latents such as Ladder"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_does_not_go_together_is_refused_in_one_line(name):
    settings, message = WRONG[name]
    with pytest.raises(InputError, match=message) as caught:
        VAE(**{"hierarchy": Ladder(width=8), **FEW, **settings}).fit(TABLE)
    assert "\n" not in str(caught.value)


def test_no_prior_of_one_vector_is_fitted_to_levels():
    for hierarchy in (Ladder((2, 1), width=8), ConvLadder((1,), (4,))):
        vae = VAE(hierarchy=hierarchy, **FEW).fit(IMAGES[:60])
        with pytest.raises(InputError, match="one latent vector"):
            vae.fit_prior(Histogram(), IMAGES[:60])


def test_a_flow_has_no_levels():
    with pytest.raises(TypeError, match="hierarchy"):
        Flow(hierarchy=Ladder())
