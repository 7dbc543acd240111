"""Models of codes: bounds against sums over all codes, with networks small enough to enumerate."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from latens import VAE
from latens.distributions import Bernoulli, Categorical, MixtureOf, Normal
from latens.models import Free, GumbelSoftmax, PlanarFlow, StandardNormal, UniformCodes, draw
from latens.nn import MLP
from latens.objectives import (
    ELBO,
    AdversarialMatching,
    Distortion,
    FreeBits,
    GradientPenalty,
    ImportanceWeighted,
    Rate,
    TotalCorrelation,
)
from latens.training import Cosine, Linear, loop
from latens.utils.errors import InputError

SMALL = {"latents": 2, "encoder": MLP((16,), "tanh"), "decoder": MLP((16,), "tanh"), "random_state": 0}


def bits(n=400):
    """Five bits, which three hidden causes switch on."""
    rng = np.random.default_rng(0)
    causes = rng.random((n, 3)) < 0.4
    on = causes @ np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0], [0, 1, 0, 0, 1]]) > 0
    return (on ^ (rng.random((n, 5)) < 0.05)).astype(np.uint8)


X = bits()
FITS = {
    "one-hot codes": lambda: (GumbelSoftmax(3), None),
    "a learned prior": lambda: (GumbelSoftmax(3), Free(Categorical(3))),
    "relaxed codes, a learned prior": lambda: (GumbelSoftmax(3, hard=False), Free(Categorical(3))),
}


@pytest.fixture(scope="module", params=FITS)
def fitted(request):
    posterior, prior = FITS[request.param]()
    warm = Distortion() + 0.3 * Rate()
    return VAE(
        posterior=posterior, prior=prior, epochs=15, learning_rate=0.01, batch_size=40, objective=warm, **SMALL
    ).fit(X)


def all_codes(vae):
    coder = vae.posterior
    size = vae._n_features_out
    return torch.tensor(list(itertools.product(range(coder.classes), repeat=size)), dtype=torch.float32)


@torch.no_grad()
def joint(vae, rows):
    """log p(x, c) of every code and row by torch's own distributions, ``(codes, rows)``."""
    codes = all_codes(vae)
    model = vae.model_
    values = model.posterior.quantiser.embed(codes)
    params = model.likelihood.network(values) + model.likelihood.offset
    p = torch.distributions.Bernoulli(logits=params.double())
    x = torch.from_numpy(rows).double()
    log_x = torch.stack([p.log_prob(row).sum(1) for row in x], 1)
    return log_x + model.prior().log_prob(codes).double()[:, None]


def test_scores_are_the_sum_over_all_codes(fitted):
    exact = logsumexp(joint(fitted, X[:20]).numpy(), axis=0)
    np.testing.assert_allclose(fitted.score_samples(X[:20], k=20_000), exact, atol=0.05)


def test_scores_are_lower_bounds_that_rise(fitted):
    torch.manual_seed(0)
    exact, n = logsumexp(joint(fitted, X[2:3]).numpy()), 4000
    with torch.no_grad():
        draws = [draw(fitted.model_, torch.from_numpy(X[2:3]).float().expand(n, 5), k) for k in (1, 4, 64)]
        bounds = [d.log_mean_exp(d.log_weight) for d in draws]
    means, errors = (np.array([f(b) for b in bounds]) for f in (torch.mean, lambda b: b.std() / math.sqrt(n)))
    assert (means < exact + 5 * errors + 1e-4).all()
    assert (np.diff(means) > 5 * errors[1:]).all()


def test_the_negative_elbo_is_its_sum_over_all_codes(fitted):
    torch.manual_seed(0)
    x, n = torch.from_numpy(X[:1]).float(), 20_000
    with torch.no_grad():
        values = ELBO()(draw(fitted.model_, x.expand(n, 5)))
        log_q = fitted.model_.posterior(x).log_prob(all_codes(fitted)).double()
    exact = (log_q.exp() * (log_q - joint(fitted, X[:1])[:, 0])).sum()
    assert (values.mean() - exact).abs() < 5 * values.std() / math.sqrt(n) + 1e-4


def test_masses_of_all_rows_sum_to_one_and_samples_have_them(fitted):
    every = np.array(list(itertools.product((0, 1), repeat=5)), dtype=np.uint8)
    mass = np.exp(logsumexp(joint(fitted, every).numpy(), axis=0))
    assert mass.sum() == pytest.approx(1.0, abs=1e-5)
    drawn = fitted.sample(20_000)
    seen = np.array([(drawn == x).all(1).mean() for x in every])
    assert (np.abs(seen - mass) < 5 * np.sqrt(mass * (1 - mass) / len(drawn)) + 1e-6).all()


def test_the_code_of_a_row_is_what_its_reconstruction_is_decoded_from(fitted):
    codes = fitted.transform(X)
    assert codes.shape == (len(X), fitted._n_features_out)
    assert len(np.unique(codes, axis=0)) > 2
    np.testing.assert_array_equal(fitted.inverse_transform(codes), fitted.reconstruct(X))
    with torch.no_grad():
        q = fitted.model_.posterior(torch.from_numpy(X).float())
        masses = torch.stack([q.log_prob(c.expand(len(X), -1)) for c in all_codes(fitted)])
    np.testing.assert_array_equal(codes, all_codes(fitted)[masses.argmax(0)])


def test_a_fit_tells_more_of_the_rows_than_independent_bits(fitted):
    rate = X.mean(0)
    alone = (X * np.log(rate) + (1 - X) * np.log(1 - rate)).sum(1).mean()
    assert fitted.score(X) > alone + 0.2


def test_relaxed_importance_weights_are_those_of_both_densities():
    vae = VAE(posterior=GumbelSoftmax(3, hard=False), epochs=1, objective=ImportanceWeighted(4), **SMALL).fit(X)
    model = vae.model_.train()
    torch.manual_seed(0)
    d = draw(model, torch.from_numpy(X[:7]).float(), 4)
    (latent,) = d.latents
    torch.testing.assert_close(latent.value, latent.code.exp())
    z = latent.value.double().unflatten(-1, (2, 3))
    log_pi = model.posterior.encoded(torch.from_numpy(X[:7]).float()).double().log_softmax(-1)

    def slow(log_pi, t=0.5):
        """eq. 10 of Maddison et al."""
        top = (log_pi - (t + 1) * z.log()).sum(-1) - 3 * (log_pi.exp() * z**-t).sum(-1).log()
        return (top + math.log(2) + 2 * math.log(t)).sum(-1)

    torch.testing.assert_close(d.log_posterior.double(), slow(log_pi), rtol=1e-3, atol=1e-3)
    uniform = torch.full((2, 3), -math.log(3.0), dtype=torch.float64)
    torch.testing.assert_close(d.log_prior.double(), slow(uniform), rtol=1e-3, atol=1e-3)
    ImportanceWeighted(4)(d).mean().backward()
    assert all(p.grad is not None for p in model.parameters())


def test_path_gradients_of_relaxed_codes_have_the_same_mean():
    fit = VAE(
        posterior=GumbelSoftmax(3, 0.7, False), epochs=1, objective=ImportanceWeighted(3, gradient="path"), **SMALL
    )
    model = fit.fit(X).model_.train()
    weights, means = list(model.posterior.parameters())[-2:], []
    for gradient in ("total", "path"):
        torch.manual_seed(0)
        parts = []
        for _ in range(40):
            d = draw(model, torch.from_numpy(X[2:3]).float().expand(500, 5), 3)
            loss = ImportanceWeighted(3, gradient=gradient)(d).mean()
            parts.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]))
        means.append((torch.stack(parts).mean(0), torch.stack(parts).var(0) / 40))
    (a, va), (b, vb) = means
    assert not torch.equal(a, b)
    assert ((a - b).abs() < 5 * (va + vb).sqrt() + 1e-6).all()


REFUSED = {
    "a prior over real numbers": (GumbelSoftmax(3), StandardNormal(), None, "need a prior over codes: UniformCodes"),
    "another number of classes": (GumbelSoftmax(3), Free(Categorical(4)), None, "3 classes; got a prior over 4"),
    "a prior without closed form": (GumbelSoftmax(3), Free(MixtureOf(Categorical(3), 2, "event")), None, "divergence"),
    "uniform codes of real numbers": (Normal("element"), UniformCodes(), None, "needs a posterior that makes them"),
    "learned codes of real numbers": (Normal("element"), Free(Categorical(3)), None, "makes real numbers; got a prior"),
    "importance weights": (GumbelSoftmax(3), None, ImportanceWeighted(5), "hard=False, or ELBO"),
    "parts of the rate": (GumbelSoftmax(3), None, 2.0 * TotalCorrelation() + Rate(), "Codes draws codes"),
    "a critic of latents": (GumbelSoftmax(3), None, Distortion() + AdversarialMatching(), "Codes draws codes"),
    "a slope in a code": (GumbelSoftmax(3), None, ELBO() + GradientPenalty(), "Codes draws codes"),
    "a flow": (PlanarFlow(GumbelSoftmax(3)), None, None, "PlanarFlow transforms real numbers"),
    "relaxed rates by dimension": (GumbelSoftmax(3, hard=False), None, Distortion() + FreeBits(0.1), "by dimension"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused_in_one_line(name):
    posterior, prior, objective, words = REFUSED[name]
    with pytest.raises(InputError, match=words) as caught:
        VAE(posterior=posterior, prior=prior, objective=objective or ELBO(), epochs=1, **SMALL).fit(X)
    assert "\n" not in str(caught.value)


def test_classes_and_temperatures_are_checked():
    for wrong in ((1,), (2.5,), (3, 0.0), (3, -1.0), (3, Linear(1.0, 0.0)), (3, Cosine(1.0, warmup=0.1)), (3, None)):
        with pytest.raises(InputError):
            GumbelSoftmax(*wrong)


@pytest.mark.parametrize("hard", [True, False], ids=["one-hot", "relaxed"])
def test_a_schedule_is_read_at_the_progress_of_training(hard):
    """A loss and its gradient at half the way are those of the temperature there; without progress, at the end."""
    model = VAE(posterior=GumbelSoftmax(3, Linear(1.0, 0.2), hard), epochs=1, **SMALL).fit(X).model_.train()
    x = torch.from_numpy(X[:9]).float()

    def found(temperature, progress):
        model.posterior.quantiser.temperature = temperature
        torch.manual_seed(0)
        loss = ELBO()(draw(model, x, progress=progress)).mean()
        return loss, torch.autograd.grad(loss, list(model.posterior.parameters()))

    same = [(found(Linear(1.0, 0.2), t), found(1.0 - 0.8 * float(t), 1.0)) for t in (0.25, torch.tensor(0.25), 1.0)]
    for (loss, slopes), (other, others) in same:
        torch.testing.assert_close(loss, other)
        torch.testing.assert_close(slopes, others)
    assert any(not torch.equal(a, b) for a, b in zip(same[0][0][1], same[2][0][1]))


def test_points_that_are_no_codes_are_refused(fitted):
    for wrong in ([[0.5, 0.0]], [[0.0, 3.0]], [[-1.0, 0.0]]):
        with pytest.raises(InputError, match=r"whole numbers 0 \.\. 2"):
            fitted.inverse_transform(wrong)


REPLAYED = {
    "one-hot codes": {"posterior": GumbelSoftmax(3), "prior": Free(Categorical(3))},
    "relaxed codes": {"posterior": GumbelSoftmax(3, hard=False)},
    "relaxed codes that cool down": {"posterior": GumbelSoftmax(3, Linear(1.0, 0.3), hard=False)},
}


@pytest.mark.parametrize("name", REPLAYED)
def test_replayed_training_has_the_same_bits(name, monkeypatch):
    states = []
    for steps in (0, 10**9):
        monkeypatch.setattr(loop, "REPLAY_STEPS", steps)
        kept = []
        monkeypatch.setattr(loop, "faithful", lambda *a, f=loop.faithful, kept=kept: kept.append(f(*a)) or kept[-1])
        states.append(VAE(**REPLAYED[name], epochs=3, batch_size=40, **SMALL).fit(X).model_.state_dict())
        assert [r is not None for r in kept] == ([True] if steps == 0 else [])
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])


@pytest.mark.filterwarnings("ignore:posterior collapse")
def test_a_row_with_a_missing_bit_scores_the_sum_over_both_values():
    table = np.where(np.arange(len(X))[:, None] % 9 == np.arange(5), np.nan, X.astype(float))
    vae = VAE(posterior=GumbelSoftmax(3), likelihood=Bernoulli(), epochs=5, **SMALL).fit(table)
    off, on, open_ = (np.where(np.arange(5) == 1, value, X[:12]).astype(float) for value in (0, 1, np.nan))
    whole = np.logaddexp(*(vae.score_samples(rows, k=20_000) for rows in (off, on)))
    np.testing.assert_allclose(vae.score_samples(open_, k=20_000), whole, atol=0.05)


def test_a_condition_stands_beside_the_codes():
    y = X[:, 0]
    vae = VAE(posterior=GumbelSoftmax(3), condition="y", epochs=10, learning_rate=0.01, **SMALL).fit(X[:, 1:], y)
    assert vae.sample(4000, y=1).mean(0)[0] > vae.sample(4000, y=0).mean(0)[0] + 0.1
    assert vae.score_samples(X[:5, 1:], y[:5]).shape == (5,)
    assert isinstance(vae.settings_["likelihood"], Bernoulli)
