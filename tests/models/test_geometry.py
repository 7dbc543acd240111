"""The metric of Hamiltonian steps: against loops, autodiff, torch's densities, and the laws of mechanics."""

import math

import numpy as np
import pytest
import torch

import latens
from latens import VAE
from latens.distributions import Normal
from latens.models import ExemplarPrior, Hamiltonian, Riemannian, StandardNormal, VampPrior, draw
from latens.models.geometry import Curved, Flat
from latens.neural.vae import build
from latens.nn import MLP, Site
from latens.utils.errors import InputError

SMALL = MLP((6,), "tanh")
ROWS = np.random.default_rng(0).normal(size=(60, 3)) @ np.random.default_rng(1).normal(size=(3, 3))
X = torch.tensor(ROWS[:3] / ROWS.std(0))

REACH, FLOOR = 1.3, 0.05


def model_of(posterior):
    """A model of three numbers, in double precision."""
    settings = {"latents": 2, "likelihood": Normal(1.0), "encoder": SMALL, "decoder": SMALL}
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return build(Site((3,), None, X.float()), settings, posterior, StandardNormal()).double()


def curved(repeats=60, size=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    centres = torch.randn(4, size, generator=g, dtype=torch.float64)
    roots = torch.randn(4, size, size, generator=g, dtype=torch.float64).tril()
    return Curved(centres, roots, REACH, FLOOR, repeats), centres, roots


def points(n=6, size=3, seed=1):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, n, size, generator=g, dtype=torch.float64)


def test_the_metric_is_the_sum_over_its_centres():
    geometry, centres, roots = curved()
    z, _ = points()
    for point, inverse in zip(z, geometry.inverse(z)):
        slow = FLOOR * torch.eye(3, dtype=torch.float64)
        for c, r in zip(centres, roots):
            slow = slow + r @ r.T * math.exp(-((point - c) ** 2).sum().item() / REACH**2)
        torch.testing.assert_close(inverse, slow)


def test_momenta_are_drawn_from_their_density():
    geometry, _, _ = curved()
    z, kick = points()
    normal = torch.distributions.MultivariateNormal(torch.zeros(3, dtype=torch.float64), geometry.inverse(z).inverse())
    rho = geometry.momentum(z, kick)
    found = geometry.log_density(z, rho) - 1.5 * math.log(2 * math.pi)
    torch.testing.assert_close(found, normal.log_prob(rho))
    spread = geometry.momentum(z[:1].expand(40_000, 3), torch.randn(40_000, 3).double()).T.cov()
    torch.testing.assert_close(spread, normal.covariance_matrix[0], rtol=0.1, atol=0.1)


def test_velocity_and_slope_are_derivatives_of_the_energy():
    geometry, _, _ = curved()
    z, rho = (t.requires_grad_() for t in points())
    by_z, by_rho = torch.autograd.grad(-geometry.log_density(z, rho).sum(), (z, rho))
    torch.testing.assert_close(geometry.slope(z)(rho), by_z)
    torch.testing.assert_close(geometry.velocity(z, rho), by_rho)
    assert by_z.abs().max() > 0.1


def travel(geometry, z, rho, size, steps):
    """Under -log p(x, z) = |z|^2 / 2."""
    for _ in range(steps):
        z, rho, _, left = geometry.step(z, rho, -z, size, torch.neg)
        assert left.max() < 1e-9
    return z, rho


def test_a_step_is_its_own_inverse_with_the_momentum_turned_round():
    geometry, _, _ = curved()
    start, kick = points()
    momentum = geometry.momentum(start, kick)
    z, rho = travel(geometry, start, momentum, torch.tensor([0.05, 0.1, 0.02]), 5)
    assert (z - start).abs().max() > 0.05
    z, rho = travel(geometry, z, -rho, torch.tensor([0.05, 0.1, 0.02]), 5)
    torch.testing.assert_close(z, start, atol=1e-8, rtol=0)
    torch.testing.assert_close(-rho, momentum, atol=1e-8, rtol=0)


def test_the_energy_is_kept_to_the_second_order_of_the_step():
    geometry, _, _ = curved()
    start, kick = points()
    momentum = geometry.momentum(start, kick)

    def energy(z, rho):
        return 0.5 * z.square().sum(-1) - geometry.log_density(z, rho)

    before, errors = energy(start, momentum), []
    for n in (20, 40, 80):
        z, rho = travel(geometry, start, momentum, torch.tensor(0.4 / n), n)
        errors.append((energy(z, rho) - before).abs().max().item())
        assert (z - start).abs().max() > 0.1
    assert errors[0] < 0.05
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    assert errors[1] / errors[2] == pytest.approx(4, rel=0.1)


def test_a_metric_that_is_the_same_everywhere_is_none():
    z, kick = points()
    same = Curved(torch.zeros(1, 3).double(), torch.zeros(1, 3, 3).double(), 1.0, 1.0, 3)
    for geometry in (same, Flat()):
        momentum = geometry.momentum(z, kick)
        torch.testing.assert_close(momentum, kick)
        torch.testing.assert_close(geometry.log_density(z, kick), -0.5 * kick.square().sum(-1))
    ours, flat = (g.step(z, kick, -z, torch.tensor(0.3), torch.neg) for g in (same, Flat()))
    for a, b in zip(ours, flat):
        torch.testing.assert_close(a, b)


def test_it_begins_as_about_the_identity_where_data_are():
    posterior = model_of(Hamiltonian(metric=Riemannian(20))).posterior
    found = posterior.metric(posterior.base).inverse(posterior.base(X).location)
    assert (found - torch.eye(2)).abs().max() < 0.5


def test_unsolved_equations_make_no_draw_worth_more():
    """One repetition, where the volume is not what is stated: the mean weight stays below the evidence."""
    model = model_of(Hamiltonian(step_size=0.45, metric=Riemannian(4, repeats=1)))
    q = model.posterior(X[:1])
    start = torch.tensor([0.8, -0.6, 2.0, 1.5], dtype=torch.float64)
    jacobian = torch.autograd.functional.jacobian(lambda s: torch.cat(q.leap(s[None, :2], s[None, 2:]), 1)[0], start)
    gap = (jacobian.det().abs().log() - 2 * q.cooling.log().sum()).abs().item()
    assert gap > 0.03
    assert 100 * q._leap(start[None, :2], start[None, 2:])[2].item() > gap
    axis = torch.linspace(-7.0, 7.0, 101, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    torch.manual_seed(0)
    with torch.no_grad():
        log_w = draw(model, X, 2000).log_weight
        likelihood = model.likelihood(grid[:, None].expand(-1, 3, -1)).log_prob(X)
        evidence = (likelihood + model.prior().log_prob(grid)[:, None]).logsumexp(0) + 2 * math.log(0.14)
    assert ((log_w - evidence).exp().mean(0) < 1).all()


def test_it_learns():
    options = {"latents": 2, "encoder": SMALL, "decoder": SMALL, "epochs": 15, "batch_size": 10, "random_state": 0}
    vae = VAE(posterior=Hamiltonian(steps=2, metric=Riemannian(8)), learning_rate=0.01, **options).fit(ROWS)
    assert vae.history_.rows[-1]["loss"] < vae.history_.rows[0]["loss"] - 0.3
    roots = vae.model_.posterior.metric.roots
    assert (roots.diff(dim=0).abs() > 0).any()


PARTS = {
    "a metric": {"posterior": Hamiltonian(steps=1, metric=Riemannian(5))},
    "pseudo-inputs": {"prior": VampPrior(5)},
    "exemplars": {"prior": ExemplarPrior(5)},
}


@pytest.mark.parametrize("name", PARTS)
def test_exemplars_keep_their_conditions(name, tmp_path):
    options = {"latents": 2, "encoder": SMALL, "decoder": SMALL, "epochs": 2, "random_state": 0}
    labels = (ROWS[:, 0] > 0).astype(int)
    vae = VAE(condition="y", **options, **PARTS[name]).fit(ROWS, labels)
    holder = vae.model_.posterior.metric if name == "a metric" else vae.model_.prior
    assert set(map(tuple, holder.given.tolist())) == {(0.0, 1.0), (1.0, 0.0)}
    vae.save(tmp_path / "m")
    again = latens.load(tmp_path / "m")
    np.testing.assert_array_equal(again.score_samples(ROWS, labels, k=4), vae.score_samples(ROWS, labels, k=4))
    np.testing.assert_array_equal(again.sample(3, y=1), vae.sample(3, y=1))


WRONG = [{"k": 0}, {"reach": 0.0}, {"floor": 0.0}, {"repeats": 0}]


@pytest.mark.parametrize("settings", WRONG, ids=str)
def test_wrong_settings_are_refused(settings):
    with pytest.raises(InputError):
        Riemannian(**settings)
    with pytest.raises(InputError, match="expects Riemannian"):
        Hamiltonian(metric="riemannian")
