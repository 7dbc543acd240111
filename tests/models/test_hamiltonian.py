"""The Hamiltonian posterior: its volume, its density, its gradients, and its bounds against exact evidence."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from sklearn.datasets import load_digits
from torch import nn

import latens
from latens import VAE
from latens.distributions import (
    Bernoulli,
    Beta,
    ContinuousBernoulli,
    Delta,
    DiscretizedLogistic,
    Laplace,
    MixtureOf,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    VonMisesFisher,
    noise,
)
from latens.metrics import evaluate
from latens.models import (
    Conditional,
    ExemplarPrior,
    Free,
    GumbelSoftmax,
    Hamiltonian,
    InverseAutoregressiveFlow,
    NormalizingFlow,
    Riemannian,
    StandardNormal,
    UniformSphere,
    VampPrior,
    VariationalAutoencoder,
    draw,
    encode,
)
from latens.neural.vae import build
from latens.neural.vocabulary import read
from latens.nn import MLP, Site
from latens.objectives import ELBO, ImportanceWeighted, TotalCorrelation
from latens.training import loop
from latens.utils.errors import InputError
from latens.utils.text import text

SMALL = MLP((6,), "tanh")
ROWS = np.random.default_rng(0).normal(size=(60, 3)) @ np.random.default_rng(1).normal(size=(3, 3))
X = torch.tensor(ROWS[:3] / ROWS.std(0))
CASES = {
    "one step": (Hamiltonian(steps=1, step_size=0.2), StandardNormal()),
    "fixed tempering": (Hamiltonian(step_size=0.2), StandardNormal()),
    "free tempering": (Hamiltonian(step_size=0.2, tempering="free"), StandardNormal()),
    "no tempering": (Hamiltonian(step_size=0.2, tempering="none"), StandardNormal()),
    "many steps": (Hamiltonian(steps=8, step_size=0.15), StandardNormal()),
    "full normal": (Hamiltonian(MultivariateNormal()), Free(MixtureOf(Normal("element"), 2, "event"))),
    "on a flow": (Hamiltonian(InverseAutoregressiveFlow(network=SMALL, context=0)), StandardNormal()),
    "twice": (Hamiltonian(Hamiltonian(steps=1), steps=2), StandardNormal()),
    "a metric": (Hamiltonian(step_size=0.2, metric=Riemannian(4, repeats=25)), StandardNormal()),
    "a metric, one step": (Hamiltonian(steps=1, step_size=0.3, metric=Riemannian(2, repeats=25)), StandardNormal()),
    "vamp prior": (Hamiltonian(), VampPrior(4)),
    "exemplar prior": (Hamiltonian(steps=1), ExemplarPrior(4)),
    "flow prior": (Hamiltonian(steps=2), NormalizingFlow(1, "coupling")),
}
every = pytest.mark.parametrize("name", CASES)


def model_of(posterior, prior, likelihood=Normal(1.0), spread=0.06):
    """A model of three numbers whose weights are all moved, in double precision."""
    settings = {"latents": 2, "likelihood": likelihood, "encoder": SMALL, "decoder": SMALL}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = build(Site((3,), None, X.float()), settings, posterior, prior)
        with torch.no_grad():
            for p in model.parameters():
                p.add_(spread * torch.randn_like(p))
            if isinstance(prior, VampPrior):  # within the bounds beyond which gradients only pull back
                model.prior.inputs.copy_(model.prior.inputs.clamp(model.prior.low + 0.01, model.prior.high - 0.01))
    return model.double()


# -- the map


@every
def test_the_volume_changes_by_the_cooling_alone(name):
    q = model_of(*CASES[name]).posterior(X[:1])
    torch.manual_seed(0)
    for start in torch.randn(4, 4, dtype=torch.float64):
        jacobian = torch.autograd.functional.jacobian(
            lambda s: torch.cat(q.leap(s[None, :2], s[None, 2:]), 1).squeeze(0), start
        )
        stated = 2 * q.cooling.log().sum()
        torch.testing.assert_close(jacobian.det().abs().log(), stated, atol=1e-9, rtol=0)
        assert (jacobian - torch.eye(4)).abs().max() > 1e-2
    assert (stated.abs() < 1e-12) == (q.cooling == 1).all()


@pytest.mark.parametrize("name", ["no tempering", "fixed tempering", "free tempering", "flow prior"])
def test_steps_are_undone_by_the_slow_obvious_formula_backwards(name):
    q = model_of(*CASES[name]).posterior(X)
    torch.manual_seed(0)
    start = torch.randn(2, 5, 3, 2, dtype=torch.float64)
    z, rho = (t.detach() for t in q.leap(*start))
    assert (z - start[0]).abs().max() > 0.1
    for c in reversed(q.cooling.detach().tolist()):
        rho = rho / c
        rho = rho - q.step.detach() / 2 * slope(q, z)
        z = z - q.step.detach() * rho
        rho = rho - q.step.detach() / 2 * slope(q, z)
    torch.testing.assert_close(torch.stack([z, rho]), start, atol=1e-9, rtol=0)


def slope(q, z, h=1e-6):
    """The gradient of log p(x, z), by differences."""
    unit = h * torch.eye(2, dtype=torch.float64)
    with torch.no_grad():
        return torch.stack([(q.log_joint(z + e) - q.log_joint(z - e)) / (2 * h) for e in unit], -1)


def test_the_temperature_follows_the_quadratic_of_the_paper():
    posterior = model_of(*CASES["fixed tempering"]).posterior
    with torch.no_grad():
        posterior.cooling_logit.fill_(0.4)
        cooling = posterior.cooling.tolist()
    root = math.prod(cooling)  # of beta_0
    betas = [((1 - 1 / root) * (k / 3) ** 2 + 1 / root) ** -2 for k in range(4)]
    assert 0.05 < root < 0.9
    assert betas[-1] == pytest.approx(1)
    assert cooling == pytest.approx([math.sqrt(a / b) for a, b in pairwise(betas)])


# -- the density


def test_the_log_density_of_a_draw_is_that_of_the_extended_space():
    """Normal(0, I / beta_0) for the first momentum, and the determinant by autodiff, term by term."""
    model = model_of(*CASES["free tempering"])
    q = model.posterior(X)
    torch.manual_seed(0)
    z, log_q = q.rsample_and_log_prob((4,))
    torch.manual_seed(0)
    first, of_base = q.base.rsample_and_log_prob((4,))
    momentum = torch.randn(4, 3, 2, dtype=torch.float64) / q.cooling.prod()
    last, rho = q.leap(first, momentum)
    torch.testing.assert_close(z, last)
    normal = torch.distributions.Normal(0.0, 1.0)
    of_momentum = torch.distributions.Normal(0.0, 1.0 / q.cooling.prod()).log_prob(momentum).sum(-1)
    expected = of_base + of_momentum - 2 * q.cooling.log().sum() - normal.log_prob(rho).sum(-1)
    torch.testing.assert_close(log_q, expected)


def log_weights(name, n):
    """log p(x, z) - log q of n draws, and log p(x) by quadrature over the plane, ``(n, 3)`` and ``(3,)``."""
    model = model_of(*CASES[name])
    axis = torch.linspace(-7.0, 7.0, 101, dtype=torch.float64)
    points = torch.cartesian_prod(axis, axis)
    torch.manual_seed(0)
    with torch.no_grad():
        likelihood = model.likelihood(points[:, None].expand(-1, 3, -1)).log_prob(X)
        evidence = (likelihood + model.prior().log_prob(points)[:, None]).logsumexp(0) + 2 * math.log(0.14)
        return draw(model, X, n).log_weight, evidence


@every
def test_weights_are_unbiased_whatever_the_prior_and_the_base(name):
    log_w, evidence = log_weights(name, 1 << 13)
    weight = (log_w - evidence).exp()
    error = weight.std(0) / math.sqrt(len(weight))
    assert ((weight.mean(0) - 1) / error).abs().max() < 5
    assert error.max() < 0.05
    assert (log_w.mean(0) < evidence - 0.005).all()


@pytest.mark.parametrize("name", ["one step", "fixed tempering", "no tempering"])
def test_importance_weighted_bounds_rise_to_the_evidence(name):
    n = 1 << 17
    log_w, evidence = log_weights(name, n)
    bounds = {k: log_w.reshape(n // k, k, 3).logsumexp(1) - math.log(k) for k in (1, 4, 64, 4096)}
    means = torch.stack([b.mean(0) for b in bounds.values()])
    errors = torch.stack([b.std(0) / math.sqrt(len(b)) for b in bounds.values()])
    assert (means.diff(dim=0) > -5 * errors[1:]).all(), means
    assert (means < evidence + 5 * errors).all(), (means, evidence)
    assert (means[-1] - evidence).abs().max() < 0.01, (means[-1], evidence)


def linear(seed=0):
    """x = A z + b + 0.5 e with correlated columns of A, under a base posterior that knows nothing of that."""
    generator = torch.Generator().manual_seed(seed)
    decoder = nn.Linear(2, 3)
    encoder = nn.Linear(3, 4)
    with torch.no_grad():
        decoder.weight.copy_(torch.tensor([[1.0, 0.9], [0.2, 0.1], [-0.5, -0.6]]))
        decoder.bias.copy_(torch.tensor([0.1, -0.2, 0.3]))
        encoder.weight.copy_(0.2 * torch.randn(4, 3, generator=generator))
        encoder.bias.zero_()
    return encoder, decoder


def linear_model(spec=None):
    encoder, decoder = linear()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        modules = {
            "posterior": Conditional(Normal("element"), encoder).build(Site((2,), (3,))),
            "likelihood": Conditional(Normal(0.5), decoder).build(Site((3,), (2,))),
            "prior": StandardNormal().build(Site((2,))),
        }
        if spec is not None:
            modules["posterior"] = spec.build(Site((2,), (3,), modules=dict(modules)))
    return VariationalAutoencoder(**modules).double()


def exact_evidence():
    _, decoder = linear()
    weight, bias = decoder.weight.detach().double().numpy(), decoder.bias.detach().double().numpy()
    return torch.from_numpy(multivariate_normal(bias, weight @ weight.T + 0.25 * np.eye(3)).logpdf(X.numpy()))


@pytest.mark.parametrize("tempering", ["none", "fixed", "free"])
def test_weights_are_unbiased_on_a_linear_gaussian_model(tempering):
    model, n = linear_model(Hamiltonian(steps=4, step_size=0.3, tempering=tempering)), 50_000
    torch.manual_seed(1)
    with torch.no_grad():
        weight = (draw(model, X, n).log_weight - exact_evidence()).exp()
    error = (weight.mean(0) - 1) / (weight.std(0) / math.sqrt(n))
    assert error.abs().max() < 5, error
    assert (weight.std(0) / math.sqrt(n)).max() < 0.05


def test_it_is_better_than_its_base_where_the_posterior_is_correlated():
    """It begins at the best diagonal normal there is, whose divergence from the exact posterior is known."""
    _, decoder = linear()
    weight, bias = decoder.weight.detach(), decoder.bias.detach()
    precision = torch.eye(2) + weight.T @ weight / 0.25
    to_mean = torch.linalg.solve(precision, weight.T / 0.25)
    least = 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()
    model = linear_model(Hamiltonian(step_size=0.1))
    with torch.no_grad():
        base = model.posterior.base.network
        base.weight.copy_(torch.cat([to_mean, torch.zeros(2, 3)]))
        base.bias.copy_(torch.cat([-to_mean @ bias, -0.5 * precision.diagonal().log()]))
    torch.manual_seed(0)
    optimiser = torch.optim.Adam(model.posterior.parameters(), 0.05)
    for _ in range(50):
        optimiser.zero_grad()
        ELBO()(draw(model, X, 256)).mean().backward()
        optimiser.step()
    with torch.no_grad():
        gap = (exact_evidence() - draw(model, X, 20_000).log_weight).mean(1)
    error = gap.std().item() / math.sqrt(len(gap))
    assert least > 0.5
    assert 0 < gap.mean().item() + 5 * error < least - 0.03


# -- gradients

UNIT, WHOLE, SIGNED = X.sigmoid(), X.abs().mul(3).round(), X.sigmoid().mul(15).round() / 7.5 - 1
LIKELIHOODS = {
    "normal fixed": (Normal(1.0), X),
    "normal shared": (Normal("shared"), X),
    "normal element": (Normal("element"), X),
    "normal optimal": (Normal("optimal"), X),
    "laplace": (Laplace("element"), X),
    "student": (StudentT("element", df=5.0), X),
    "bernoulli": (Bernoulli(), UNIT.round()),
    "continuous bernoulli": (ContinuousBernoulli(), UNIT),
    "poisson": (Poisson(), WHOLE),
    "negative binomial": (NegativeBinomial("element"), WHOLE),
    "beta": (Beta(), UNIT),
    "logistic": (DiscretizedLogistic(16), SIGNED),
    "mixture of logistics": (MixtureOf(DiscretizedLogistic(16), 2), SIGNED),
    "event mixture": (MixtureOf(Normal("element"), 2, "event"), X),
}


def along(model, x, objective, observed=None):
    """The derivative of a bound along a direction in all weights and one in the step sizes, and by differences."""

    def bound():
        with noise.keyed([np.random.default_rng(r) for r in range(3)]):
            return objective(draw(model, x, objective.samples, observed=observed)).sum()

    generator = torch.Generator().manual_seed(0)
    known = dict(model.named_parameters())
    for names in (list(known), [name for name in known if name.endswith("step_logit")]):
        weights = [known[name] for name in names]
        ways = [torch.randn(w.shape, generator=generator, dtype=w.dtype) for w in weights]
        grads = torch.autograd.grad(bound(), weights, allow_unused=True)
        found = sum((g * d).sum() for g, d in zip(grads, ways) if g is not None).item()
        values = []
        with torch.no_grad():
            for h in (1e-5, -1e-5):
                for w, d in zip(weights, ways):
                    w.add_(d, alpha=h)
                values.append(bound().item())
                for w, d in zip(weights, ways):
                    w.sub_(d, alpha=h)
        yield found, (values[0] - values[1]) / 2e-5


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_gradients_are_those_of_differences_under_every_likelihood(name):
    likelihood, x = LIKELIHOODS[name]
    model = model_of(Hamiltonian(step_size=0.2), StandardNormal(), likelihood, 0.2)
    for found, differences in along(model, x, ELBO()):
        assert found == pytest.approx(differences, rel=2e-5, abs=1e-6)
        assert abs(found) > 1e-4


@every
def test_gradients_are_those_of_differences_under_every_prior_and_base(name):
    model = model_of(*CASES[name], spread=0.2).eval()
    observed = torch.tensor([[True, True, False], [True, True, True], [False, True, True]])
    for objective in (ELBO(), ImportanceWeighted(3)):
        for found, differences in along(model, X, objective, observed):
            assert found == pytest.approx(differences, rel=2e-5, abs=1e-6)


# -- what it looks at


class Blind(nn.Module):
    """A view that hides from the encoder what is missing, and nothing else."""

    def forward(self, x, observed=None):
        return x if observed is None else x * observed


def test_the_force_is_of_the_observed_entries():
    model = model_of(*CASES["fixed tempering"])
    observed = torch.tensor([[True, False, True]]).expand(3, 3)
    other = X.clone()
    other[:, 1] = -4.0

    def drawn(x, observed):
        with noise.keyed([np.random.default_rng(r) for r in range(3)]):
            return draw(model, x, 5, observed=observed).latents[0].value

    base = model.posterior.base
    base.view = Blind()
    torch.testing.assert_close(drawn(other, observed), drawn(X, observed), rtol=0, atol=0)
    assert (drawn(other, None) - drawn(X, None)).abs().max() > 1e-2


def test_likelihood_and_prior_are_learned_and_saved_once():
    posterior = model_of(*CASES["vamp prior"]).posterior
    assert {name.split(".")[0] for name in posterior.state_dict()} == {"base", "step_logit", "cooling_logit"}


def test_the_point_is_where_the_steps_lead_from_rest():
    model = model_of(*CASES["fixed tempering"])
    q = model.posterior(X)
    z, rho = q.base.mean.detach(), torch.zeros(3, 2, dtype=torch.float64)
    for c in q.cooling.detach():
        rho = rho + q.step.detach() / 2 * slope(q, z)
        z = z + q.step.detach() * rho
        rho = c * (rho + q.step.detach() / 2 * slope(q, z))
    for quiet in (torch.no_grad(), torch.inference_mode()):
        with quiet:
            (point,) = encode(model, X.clone())
        assert not point.requires_grad
        torch.testing.assert_close(point, z, atol=1e-8, rtol=0)
    assert (q.log_joint(q.location) > q.log_joint(q.base.mean)).all()


def test_no_output_of_a_network_makes_nan():
    for name in ("fixed tempering", "free tempering", "many steps"):
        model = model_of(*CASES[name], spread=0.2).float()
        for scale in (1.0, 1e3, 1e18):
            q = model.posterior((scale * X).float())
            z, log_q = q.rsample_and_log_prob((20,))
            assert all(torch.isfinite(t).all() for t in (z, q.location, log_q))
            loss = (log_q - model.prior().log_prob(z)).clamp(-1e30, 1e30).sum()
            assert not any(g.isnan().any() for g in torch.autograd.grad(loss, list(model.posterior.parameters())))


# -- the estimator

OPTIONS = {"latents": 2, "encoder": SMALL, "decoder": SMALL, "epochs": 2, "random_state": 0, "score_samples_k": 8}


@pytest.mark.parametrize("name", ["fixed tempering", "vamp prior", "twice"])
def test_it_trains_scores_and_reads_back_to_the_bit(name, tmp_path):
    posterior, prior = CASES[name]
    vae = VAE(posterior=posterior, prior=prior, **OPTIONS).fit(ROWS)
    vae.save(tmp_path / "model")
    again = latens.load(tmp_path / "model")
    assert read(text(vae)).get_params(deep=False) == vae.get_params(deep=False)
    for ask in ("transform", "score_samples", "reconstruct"):
        np.testing.assert_array_equal(getattr(vae, ask)(ROWS), getattr(again, ask)(ROWS))
    scores = vae.score_samples(ROWS)
    assert np.isfinite(scores).all()
    np.testing.assert_array_equal(vae.score_samples(ROWS[::-3]), scores[::-3])  # neither order nor number tells
    np.testing.assert_array_equal(vae.transform(ROWS[7:9]), vae.transform(ROWS)[7:9])
    figures = evaluate(vae, ROWS, k=4)
    assert figures.mutual_information is None
    assert figures.log_likelihood > -figures.negative_elbo
    (vae.model_.prior().log_prob(vae.model_.posterior(X.float()).rsample()).sum()).backward()


def test_gaps_conditions_and_priors_that_come_afterwards():
    gaps = np.where(np.random.default_rng(2).random(ROWS.shape) < 0.2, np.nan, ROWS)
    labels = (ROWS[:, 0] > 0).astype(int)
    vae = VAE(posterior=Hamiltonian(steps=2), condition="y", **OPTIONS).fit(gaps, labels)
    scores = vae.score_samples(gaps, labels)
    assert np.isfinite(scores).all()
    assert (np.abs(vae.score_samples(gaps, 1 - labels) - scores) > 0).any()
    assert np.isfinite(vae.complete(gaps, y=labels, k=4)).all()
    vae.fit_prior(latens.GaussianMixture(2, random_state=0), gaps, labels)
    assert np.isfinite(vae.score_samples(gaps, labels)).all()


def test_a_recorded_step_has_the_bits_of_the_step_as_written(monkeypatch):
    """What is replayed includes double backward passes."""
    monkeypatch.setattr(loop, "REPLAY_STEPS", 0)
    options = OPTIONS | {"epochs": 8, "batch_size": 10, "validation_fraction": 0.0}
    replayed = VAE(posterior=Hamiltonian(steps=2), **options).fit(ROWS)
    monkeypatch.setattr(VAE, "_replayable", lambda *_: False)
    written = VAE(posterior=Hamiltonian(steps=2), **options).fit(ROWS)
    losses = [[row["loss"] for row in vae.history_.rows] for vae in (replayed, written)]
    assert losses[0] == losses[1]
    assert losses[0][-1] < losses[0][0]
    assert replayed.model_.posterior.step.ne(0.05).all()


REFUSED = {
    "a point": (Hamiltonian(Delta()), StandardNormal(), "its base is a point"),
    "the sphere": (Hamiltonian(VonMisesFisher()), UniformSphere(), "its base draws from the sphere"),
    "codes": (Hamiltonian(GumbelSoftmax(3)), None, "makes codes"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bases_without_a_density_over_real_vectors_are_refused_before_training(name):
    posterior, prior, why = REFUSED[name]
    with pytest.raises(InputError, match=why) as caught:
        VAE(posterior=posterior, prior=prior, **OPTIONS | {"latents": 3}).fit(ROWS)
    assert "\n" not in str(caught.value)


def test_what_needs_a_density_at_a_point_is_refused_in_one_line():
    model = model_of(*CASES["fixed tempering"])
    for objective in (ELBO("path"), TotalCorrelation()):
        with pytest.raises(InputError, match="Hamiltonian") as caught:
            objective(draw(model, X, objective.samples))
        assert "\n" not in str(caught.value)
    for settings in ({"tempering": "hot"}, {"steps": 0}, {"step_size": 0.5}):
        with pytest.raises(InputError):
            Hamiltonian(**settings)
    with pytest.raises(InputError, match="stands as the posterior of a VAE"):
        Hamiltonian().build(Site((2,), (3,)))


def test_pictures_train():
    X = load_digits().images[:100]
    vae = VAE(posterior=Hamiltonian(steps=1), **OPTIONS).fit(X)
    assert vae.transform(X[:5]).shape == (5, 2)
