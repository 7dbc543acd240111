"""Figures of a fitted model, each against its slow formula over torch's own distributions."""

import json
import math
import sys

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from sklearn.datasets import load_digits

from latens import VAE, AutoEncoder, Flow
from latens.data import load
from latens.distributions import DiscretizedLogistic, MixtureOf, Normal, StudentT
from latens.metrics import Evaluation, evaluate
from latens.models import InverseAutoregressiveFlow
from latens.neural.scoring import draws
from latens.nn import MLP
from latens.utils.errors import InputError

DIGITS, LABELS = load_digits(return_X_y=True)
IMAGES = DIGITS.reshape(-1, 8, 8)
RNG = np.random.default_rng(0)
TABLE = (RNG.normal(size=(600, 2)) @ RNG.normal(size=(2, 4)) + 0.4 * RNG.normal(size=(600, 4))) * [1e3, 1e-3, 1.0, 7.0]
SMALL = {"encoder": MLP((16,)), "decoder": MLP((16,)), "epochs": 15, "learning_rate": 0.01, "random_state": 0}


@pytest.fixture(scope="module")
def vae():
    return VAE(latents=3, likelihood=Normal("shared"), **SMALL).fit(TABLE)


@pytest.fixture(scope="module")
def figures(vae):
    return evaluate(vae, TABLE[:300], k=64)


@pytest.fixture(scope="module")
def posterior(vae):
    """Mean and standard deviation of q(z | x) and the model's x, in float64."""
    x = vae.units_(torch.from_numpy(TABLE[:300]))
    with torch.no_grad():
        q = vae.model_.posterior(x)
    return q.mean.double().numpy(), q.stddev.double().numpy(), x.double().numpy()


def test_the_likelihood_is_that_of_score_samples(vae, figures):
    scores = vae.score_samples(TABLE[:300], k=64)
    assert figures.log_likelihood == pytest.approx(scores.mean(), rel=1e-12)
    assert figures.standard_error == pytest.approx(scores.std(ddof=1) / math.sqrt(300), rel=1e-12)
    assert (figures.n, figures.k, figures.measure) == (300, 64, "density")


def test_the_rate_is_that_of_the_slow_formula(figures, posterior):
    mean, std, _ = posterior
    kl = 0.5 * (std**2 + mean**2 - 1.0) - np.log(std)
    np.testing.assert_allclose(figures.rate_per_dimension, kl.mean(0), rtol=1e-4)
    assert figures.rate == pytest.approx(kl.sum(1).mean(), rel=1e-5)


def test_the_distortion_is_an_expectation_in_the_users_units(vae, figures, posterior):
    mean, std, x = posterior
    rng, total = np.random.default_rng(1), []
    scale = vae.model_.likelihood.shared.exp().item()
    for _ in range(200):
        z = torch.tensor(mean + std * rng.normal(size=mean.shape)).float()
        with torch.no_grad():
            loc = vae.model_.likelihood(z).mean.double().numpy()
        squares = ((x - loc) / scale) ** 2
        total.append((0.5 * squares + math.log(scale) + 0.5 * math.log(2 * math.pi)).sum(1).mean())
    volume = np.log(vae.units_.scale.numpy()).sum()
    assert figures.distortion == pytest.approx(np.mean(total) + volume, abs=0.02)


def test_the_bound_is_distortion_and_rate_below_the_likelihood(figures):
    assert figures.negative_elbo == pytest.approx(figures.distortion + figures.rate, rel=1e-12)
    assert -figures.negative_elbo < figures.log_likelihood


def test_bits_per_dimension_are_nats_over_d_log_two(figures):
    assert figures.bits_per_dimension == pytest.approx(-figures.log_likelihood / (4 * math.log(2)))
    assert figures.elbo_bits_per_dimension == pytest.approx(figures.negative_elbo / (4 * math.log(2)))


def test_active_units_are_those_whose_mean_moves(figures, posterior):
    variances = posterior[0].var(0)
    assert figures.active_units == (variances > 0.01).sum() > 0


def test_the_reconstruction_error_is_that_of_the_rows(vae, figures):
    slow = np.mean((vae.reconstruct(TABLE[:300]).astype(float) - TABLE[:300]) ** 2)
    assert figures.reconstruction_error == pytest.approx(slow, rel=1e-6)


def test_the_information_is_that_of_the_mixture_of_posteriors(figures, posterior):
    """The same expectation with other draws, by scipy, all pairs at once."""
    mean, std, _ = posterior
    rng, estimates = np.random.default_rng(2), []
    for _ in range(20):
        z = mean + std * rng.normal(size=mean.shape)
        terms = -0.5 * ((z[:, None] - mean) / std) ** 2 - np.log(std)
        log_q = terms.sum(2)
        estimates.append((np.diag(log_q) - logsumexp(log_q, axis=1) + math.log(300)).mean())
    spread = np.std(estimates)
    assert figures.mutual_information == pytest.approx(np.mean(estimates), abs=5 * spread)
    assert 0.5 < figures.mutual_information < min(math.log(300), figures.rate)


def test_the_information_of_a_flow_is_that_of_fewer_posteriors(figures):
    """Each pair of a row and a posterior takes an inverse."""
    flow = InverseAutoregressiveFlow(Normal("element"), transforms=2, network=MLP((8,)))
    vae = VAE(latents=3, likelihood=Normal("shared"), posterior=flow, **SMALL).fit(TABLE)
    found = evaluate(vae, TABLE, k=2)
    assert (figures.mixture, found.mixture) == (300, 500)
    torch.manual_seed(0)
    x, n = vae.units_(torch.from_numpy(TABLE[np.linspace(0, 599, 500).astype(int)])), 500
    estimates = []
    with torch.no_grad():
        for _ in range(8):
            z = vae.model_.posterior(x).rsample()
            log_q = vae.model_.posterior(x.repeat(n, 1)).log_prob(z.repeat_interleave(n, 0)).view(n, n).double()
            estimates.append((log_q.diagonal() - log_q.logsumexp(1)).mean().item() + math.log(n))
    assert found.mutual_information == pytest.approx(np.mean(estimates), abs=5 * np.std(estimates))


def test_the_information_of_two_rows_far_apart_is_one_bit():
    X = np.repeat([[0.0, 0.0], [100.0, 100.0]], 100, axis=0) + RNG.normal(size=(200, 2))
    apart = VAE(latents=1, likelihood=Normal(0.1), **SMALL | {"epochs": 60}).fit(X)
    assert evaluate(apart, X[[0, 150]], k=2).mutual_information == pytest.approx(math.log(2), abs=1e-3)
    assert evaluate(apart, X[[0, 0, 0]], k=2).mutual_information == pytest.approx(0.0, abs=1e-6)


def test_figures_are_the_same_for_any_kind_of_data(vae, figures, tmp_path):
    np.save(tmp_path / "x.npy", TABLE[:300])
    assert evaluate(vae, load(TABLE[:300]), k=64) == figures
    assert evaluate(vae, tmp_path / "x.npy", k=64) == figures
    assert evaluate(vae, TABLE[:300], k=64) == figures


def test_the_order_of_the_rows_changes_rounding_alone(vae, figures):
    other = evaluate(vae, TABLE[:300][::-1], k=64).as_dict()
    for name, value in figures.as_dict().items():
        assert other[name] == (pytest.approx(value, rel=1e-9) if isinstance(value, (float, list)) else value), name


def test_one_row_is_enough(vae):
    one = evaluate(vae, TABLE[:1], k=8)
    assert one.log_likelihood == pytest.approx(vae.score_samples(TABLE[:1], k=8)[0])
    assert (one.n, one.standard_error, one.active_units) == (1, None, None)


def test_effective_draws_are_those_of_the_weights(vae, monkeypatch):
    """Of the median row, also where the draws come in parts."""
    model, slow = vae.model_, []
    for row in TABLE[:30]:
        (d,) = draws(model, vae.units_, row[None], torch.from_numpy(row[None]), None, 64, 64, vae.seed_)
        w = d.log_weight.double()[:, 0].detach().exp().numpy()
        slow.append(w.sum() ** 2 / (w**2).sum())
    assert 2 < np.median(slow) < 60
    assert evaluate(vae, TABLE[:30], k=64).effective_draws == pytest.approx(np.median(slow), rel=1e-4)
    monkeypatch.setattr(sys.modules["latens.metrics.evaluate"], "block_shape", lambda units, k: (32, 16))
    assert evaluate(vae, TABLE[:30], k=64).effective_draws == pytest.approx(np.median(slow), rel=0.2)
    assert evaluate(vae, TABLE[:30], k=1).effective_draws == pytest.approx(1.0)


def test_masses_are_told_from_densities():
    levels = VAE(latents=2, likelihood=MixtureOf(DiscretizedLogistic(17), 2), **SMALL | {"epochs": 2}).fit(IMAGES)
    found = evaluate(levels, IMAGES[:50], k=4)
    assert found.measure == "mass"
    assert 0 < found.bits_per_dimension < math.log2(17) + 1


def test_a_rate_not_known_by_dimension_is_a_sum_alone():
    heavy = VAE(latents=2, likelihood=Normal("shared"), posterior=StudentT("element"), **SMALL).fit(TABLE)
    found = evaluate(heavy, TABLE[:50], k=200)
    assert found.rate_per_dimension is None
    assert 0 < found.rate < 20
    assert found.mutual_information > 0


def test_a_conditional_density_is_judged_under_its_labels():
    vae = VAE(latents=2, condition="y", **SMALL | {"epochs": 5}).fit(IMAGES, LABELS)
    right = evaluate(vae, IMAGES[:200], LABELS[:200], k=8)
    wrong = evaluate(vae, IMAGES[:200], (LABELS[:200] + 5) % 10, k=8)
    assert right.log_likelihood > wrong.log_likelihood + 2
    with pytest.raises(InputError, match=r"p\(x \| y\): give y"):
        evaluate(vae, IMAGES[:5])


def test_an_autoencoder_has_distortion_and_error_alone():
    plain = AutoEncoder(latents=2, likelihood=Normal("shared"), **SMALL).fit(TABLE)
    found = evaluate(plain, TABLE[:100])
    assert found.reconstruction_error == pytest.approx(plain.reconstruction_error(TABLE[:100]).mean())
    x = plain.units_(torch.from_numpy(TABLE[:100]))
    with torch.no_grad():
        p = plain.model_.likelihood(plain.model_.posterior(x).mean)
        slow = -p.log_prob(x).double().mean() + plain.units_.scale.log().sum()
    assert found.distortion == pytest.approx(slow.item(), rel=1e-5)
    known = {name for name, value in found.as_dict().items() if value is not None}
    assert known == {"n", "measure", "distortion", "reconstruction_error"}


def test_a_flow_has_an_exact_density_and_no_bounds():
    flow = Flow(epochs=1, network=MLP((8,)), random_state=0).fit(TABLE)
    found, scores = evaluate(flow, TABLE[:100]), flow.score_samples(TABLE[:100])
    assert found.log_likelihood == pytest.approx(scores.mean())
    assert found.standard_error == pytest.approx(scores.std(ddof=1) / 10)
    assert found.bits_per_dimension == pytest.approx(-scores.mean() / (TABLE.shape[1] * np.log(2)))
    known = {name for name, value in found.as_dict().items() if value is not None}
    assert known == {"n", "measure", "log_likelihood", "standard_error", "bits_per_dimension"}


def test_figures_are_plain_numbers(figures):
    assert Evaluation(**json.loads(json.dumps(figures.as_dict()))) == figures


WRONG = {
    "no draws": (lambda vae: evaluate(vae, TABLE, k=0), "k must be a positive integer"),
    "half a draw": (lambda vae: evaluate(vae, TABLE, k=1.5), "k must be a positive integer"),
    "other rows": (lambda vae: evaluate(vae, TABLE[:, :3]), "3 features"),
    "infinite": (lambda vae: evaluate(vae, np.full((2, 4), np.inf)), "infinity"),
    "unfitted": (lambda vae: evaluate(VAE(), TABLE), "not fitted"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_judged_is_refused(name, vae):
    call, message = WRONG[name]
    with pytest.raises(ValueError, match=message):
        call(vae)
