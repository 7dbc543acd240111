"""What single families promise beyond the common laws."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy import stats

from latens.distributions import (
    Categorical,
    ContinuousBernoulli,
    DiscretizedLogistic,
    Elementwise,
    Laplace,
    MixtureOf,
    NegativeBinomial,
    Normal,
    Poisson,
    StudentT,
    kl_factors,
    standard_normal,
)
from latens.distributions.blocks import blocks
from latens.distributions.bounds import bounded, tame
from latens.distributions.location_scale import NormalElement
from latens.utils.errors import InputError


@mpmath.workdps(3200)
def logistic_log_mass(x, loc, log_scale, levels):
    """The definition, in as many digits as exp(-7000) asks for."""
    half, scale = mpmath.mpf(1) / (levels - 1), mpmath.exp(log_scale)
    cdf = lambda edge: 1 / (1 + mpmath.exp(-(edge - loc) / scale))  # noqa: E731
    above = 1 if x > 1 - half else cdf(x + half)
    below = 0 if x < half - 1 else cdf(x - half)
    return float(mpmath.log(above - below))


CELLS = [(0.0, 0.0), (0.3, -4.0), (-0.9, -7.0), (2.5, -3.0), (-40.0, -5.0), (0.99, -6.5), (0.5, 2.5)]


@pytest.mark.parametrize(("loc", "log_scale"), CELLS)
@pytest.mark.parametrize("levels", [2, 5, 256])
def test_logistic_mass_is_exact_into_the_far_tails(loc, log_scale, levels):
    log_scale = max(log_scale, math.log(2 / (levels - 1)) - 3)  # the narrowest there is
    params = torch.tensor([loc, log_scale + 1.5], dtype=torch.float64)
    step = 2 / (levels - 1)
    places = sorted({0, 1, levels // 2, levels - 2, levels - 1})
    x = torch.tensor([[-1 + step * k] for k in places], dtype=torch.float64)
    exact = [logistic_log_mass(v, loc, log_scale, levels) for v in x[:, 0].tolist()]
    ours = DiscretizedLogistic(levels)(params, (1,)).log_prob(x)
    np.testing.assert_allclose(ours.numpy(), exact, rtol=1e-11, atol=1e-13)
    single = DiscretizedLogistic(levels)(params.float(), (1,)).log_prob(x.float())
    np.testing.assert_allclose(single.numpy(), exact, rtol=3e-5, atol=3e-5)


def test_logistic_moments_are_sums_over_the_levels():
    g = torch.Generator().manual_seed(0)
    params = torch.randn(50, 2, generator=g, dtype=torch.float64) * torch.tensor([0.8, 1.5])
    p = DiscretizedLogistic()(params, (1,))
    levels = torch.linspace(-1, 1, 256, dtype=torch.float64)
    mass = torch.stack([p.log_prob(v.expand(50, 1)) for v in levels], -1).exp()
    mean = mass @ levels
    torch.testing.assert_close(p.mean[:, 0], mean, atol=1e-3, rtol=0)  # of a step of 0.0078
    torch.testing.assert_close(p.stddev[:, 0].square(), mass @ levels.square() - mean.square(), atol=1e-10, rtol=0)


def test_logistic_draws_lie_on_the_lattice():
    torch.manual_seed(0)
    x = DiscretizedLogistic(5)(torch.zeros(1000, 2), (1,)).sample()
    assert set(x.flatten().tolist()) == {-1.0, -0.5, 0.0, 0.5, 1.0}


def test_logistic_blocks_do_not_show():
    """Large batches are worked off in blocks; the result is that of each row by itself."""
    g = torch.Generator().manual_seed(0)
    params = torch.randn(60, 12, 20, 20, generator=g).requires_grad_()
    x = torch.randint(0, 256, (60, 1, 20, 20), generator=g) * (2 / 255) - 1
    family = MixtureOf(DiscretizedLogistic(256), 4)
    together = family(params, (1, 20, 20)).log_prob(x)
    (grad,) = torch.autograd.grad(together.sum(), params)
    rows = [family(params[i], (1, 20, 20)).log_prob(x[i]) for i in range(60)]
    torch.testing.assert_close(together, torch.stack(rows))
    torch.testing.assert_close(grad, torch.autograd.grad(sum(rows), params)[0])


@pytest.mark.parametrize("shape", [(3,), (100_000,), (2, 3, 50_000), (1, 64, 4, 1, 28, 28), (0, 5)])
def test_blocks_cover_a_tensor_once(shape):
    seen = torch.zeros(shape)
    sizes = []
    for block in blocks(shape, seen):
        seen[block] += 1
        sizes.append(seen[block].numel())
    assert (seen == 1).all()
    assert max(sizes, default=0) <= 65_536


@mpmath.workdps(60)
@pytest.mark.parametrize("eta", [0.0, 1e-8, -1e-6, 1e-4, 3e-3, -0.1, 0.999, 1.001, -7.0, 40.0, 700.0])
def test_continuous_bernoulli_is_exact_near_and_far(eta):
    """Log density, mean, spread and gradient against 60 digits, in single precision too."""
    t = mpmath.mpf(eta)
    norm = mpmath.log(mpmath.expm1(t) / t) if eta else mpmath.mpf(0)
    mean = 1 / (1 - mpmath.exp(-t)) - 1 / t if eta else mpmath.mpf("0.5")
    var = 1 / t**2 - 1 / (4 * mpmath.sinh(t / 2) ** 2) if eta else mpmath.mpf(1) / 12
    for dtype, rtol in ((torch.float64, 1e-11), (torch.float32, 1e-6)):
        params = torch.tensor([eta], dtype=dtype, requires_grad=True)
        p = ContinuousBernoulli()(params, (1,))
        density = p.log_prob(torch.tensor([0.25], dtype=dtype))
        torch.testing.assert_close(density.item(), float(t / 4 - norm), rtol=rtol, atol=rtol)
        torch.testing.assert_close(p.mean.item(), float(mean), rtol=rtol, atol=0)
        torch.testing.assert_close(p.stddev.item(), float(mpmath.sqrt(var)), rtol=3 * rtol, atol=0)
        (grad,) = torch.autograd.grad(density, params)
        torch.testing.assert_close(grad.item(), float(mpmath.mpf("0.25") - mean), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("family", [Normal("optimal"), Laplace("optimal")], ids=str)
class TestOptimalScale:
    def pair(self, family, batch=(6,)):
        g = torch.Generator().manual_seed(0)
        loc, x = (torch.randn(*batch, 3, generator=g, dtype=torch.float64) for _ in range(2))
        return loc.requires_grad_(), x

    def test_no_other_scale_makes_the_data_likelier(self, family):
        loc, x = self.pair(family)
        best = family(loc, (3,)).log_prob(x).sum()
        found = family.calibrate(family(loc, (3,)), x)
        at = lambda s: family(loc, (3,), shared=s).log_prob(x).sum()  # noqa: E731
        torch.testing.assert_close(at(found), best)
        assert at(found - 0.01) < best
        assert at(found + 0.01) < best

    def test_the_scale_has_no_gradient(self, family):
        loc, x = self.pair(family)
        found = family.calibrate(family(loc, (3,)), x)
        grads = [torch.autograd.grad(family(loc, (3,), s).log_prob(x).sum(), loc)[0] for s in (None, found)]
        torch.testing.assert_close(*grads)
        assert not found.requires_grad

    def test_only_what_is_observed_counts(self, family):
        loc, x = self.pair(family)
        observed = torch.tensor([True, False, True])
        holed = torch.where(observed, x, math.nan)
        p = family(loc, (3,)).restrict(observed)
        keep = [0, 2]
        part = family(loc[:, keep], (2,))
        torch.testing.assert_close(p.log_prob(holed), part.log_prob(x[:, keep]))
        torch.testing.assert_close(family.calibrate(p, holed), family.calibrate(part, x[:, keep]))

    def test_several_draws_share_one_scale(self, family):
        loc, x = self.pair(family, (2, 6))
        error = (x[0] - loc).abs().detach()
        scale = error.square().mean().sqrt() if isinstance(family, Normal) else error.mean()
        torch.testing.assert_close(family.calibrate(family(loc, (3,)), x[0]), scale.log())

    def test_exact_reconstruction_stays_finite(self, family):
        x = torch.ones(4, 3)
        params = x.clone().requires_grad_()
        density = family(params, (3,)).log_prob(x).sum()
        assert torch.isfinite(density)
        assert torch.isfinite(torch.autograd.grad(density, params)[0]).all()


def test_scales_have_their_shapes():
    event = (2, 4, 4)
    scales = (Normal(), Normal(1), Normal("optimal"), Normal("element"))
    assert [f.param_shape(event)[0] for f in scales] == [2, 2, 2, 4]
    assert [f.shared_shape(event) for f in scales] == [(), None, (), None]
    assert [f.calibrated for f in scales] == [False, False, True, False]
    assert NegativeBinomial().shared_shape(event) == event
    assert MixtureOf(NegativeBinomial(), 3).shared_shape(event) == (3, *event)
    assert Categorical(7).param_shape(event) == (14, 4, 4)
    assert MixtureOf(Normal("element"), 3, "event").param_shape(event) == (15, 4, 4)


@pytest.mark.parametrize(
    ("family", "oracle"),
    [
        (Poisson(), lambda x: stats.poisson.logpmf(x, 1e6)),
        (NegativeBinomial("element"), lambda x: stats.nbinom.logpmf(x, math.exp(14), 1 / (1 + 1e6 / math.exp(14)))),
    ],
    ids=["poisson", "negative binomial"],
)
def test_large_counts_keep_their_digits_in_single_precision(family, oracle):
    """Terms of 10^7 cancel to 10: single precision alone would be off by a nat."""
    params = torch.tensor([0.0, 14.0][: family.param_shape((1,))[0]])
    offset = torch.tensor([math.log(1e6)])
    p = family(params, (1,), offset=offset)
    for x in (998_000.0, 1_000_000.0, 1_002_500.0):
        assert p.log_prob(torch.tensor([x])).item() == pytest.approx(oracle(x), abs=2e-2)


def test_offset_multiplies_the_mean_of_counts():
    sizes = torch.tensor([[0.5], [3.0]]).log()
    for family in (Poisson(), NegativeBinomial("element"), MixtureOf(Poisson(), 3)):
        params = torch.linspace(-1, 1, family.param_shape((4,))[0]).expand(2, -1)
        ratio = family(params, (4,), offset=sizes).mean / family(params, (4,)).mean
        torch.testing.assert_close(ratio, torch.tensor([[0.5], [3.0]]).expand(2, 4))


def test_weights_of_an_event_ignore_where_they_come_from():
    """The k logits are averages over the pixels, and infinite ones do no harm."""
    family = MixtureOf(Normal(1.0), 2, "event")
    params = torch.zeros(4, 2, 2)
    params[2:, 0] = torch.tensor([[2.0, 4.0], [-1.0, 1.0]])
    p = family(params, (1, 2, 2))
    torch.testing.assert_close(p.weights.flatten(), torch.tensor([1.5, 0.0]).softmax(0))
    params[2, 0] = torch.tensor([math.inf, -math.inf])
    assert torch.isfinite(family(params, (1, 2, 2)).log_prob(torch.zeros(1, 2, 2)))


def test_draws_of_an_event_mixture_choose_once_for_all_elements():
    torch.manual_seed(0)
    params = torch.tensor([-10.0, -10.0, 10.0, 10.0, 0.0, 0.0])  # locations of both, then two logits
    x = MixtureOf(Normal(0.1), 2, "event")(params, (2,)).sample((500,))
    assert (x[:, 0].sign() == x[:, 1].sign()).all()
    assert 0.4 < (x[:, 0] > 0).double().mean() < 0.6


def test_a_mixture_far_from_the_data_keeps_its_gradient():
    params = torch.tensor([500.0, 900.0, 0.0, 0.0], requires_grad=True)
    density = MixtureOf(Normal(1.0), 2)(params, (1,)).log_prob(torch.zeros(1))
    assert density.item() == pytest.approx(-(500.0**2) / 2 - 0.5 * math.log(2 * math.pi) - math.log(2), rel=1e-6)
    assert torch.autograd.grad(density, params)[0][0].item() == pytest.approx(-500.0)


@pytest.mark.parametrize("df", [0.7, 1.0, 3.0, 30.0])
def test_student_draws_have_its_distribution(df):
    torch.manual_seed(0)
    x = StudentT(2.0, df=df)(torch.ones(1, dtype=torch.float64), (1,)).sample((4000,)).flatten().numpy()
    assert stats.kstest(x, stats.t(df, loc=1.0, scale=2.0).cdf).pvalue > 1e-3


def test_bounded_lets_the_way_back_through():
    x = torch.tensor([-9.0, -9.0, 0.5, 9.0, 9.0, math.inf], requires_grad=True)
    y = bounded(x, -1.0, 1.0)
    assert y.tolist() == [-1.0, -1.0, 0.5, 1.0, 1.0, 1.0]
    y.backward(torch.tensor([1.0, -1.0, 3.0, 1.0, -1.0, 2.0]))
    assert x.grad.tolist() == [0.0, -1.0, 3.0, 1.0, 0.0, 2.0]


def test_torchs_own_distributions_serve_as_elements():
    gumbel = torch.distributions.Gumbel(torch.zeros(4, 3), torch.ones(4, 3), validate_args=False)
    p = Elementwise(gumbel, 1)
    x = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(p.log_prob(x), stats.gumbel_r.logpdf(x.numpy()).sum(-1), rtol=1e-5)
    assert p.reparameterised


REFUSED = {
    "negative scale": (lambda: Normal(-1.0), "positive number.*got -1.0"),
    "unknown scale": (lambda: Normal("learned"), "'shared', 'optimal', 'element'; got 'learned'"),
    "no scale": (lambda: Laplace(None), "got None"),
    "optimal student": (lambda: StudentT("optimal"), "'shared', 'element'; got 'optimal'"),
    "degrees of freedom": (lambda: StudentT(df=0.0), "positive, finite df; got 0.0"),
    "one level": (lambda: DiscretizedLogistic(1), "at least 2 levels; got 1"),
    "logistic scale": (lambda: DiscretizedLogistic(256, "optimal"), "got 'optimal'"),
    "one class": (lambda: Categorical(1), "at least 2 classes; got 1"),
    "dispersion": (lambda: NegativeBinomial("gene"), "'shared' or 'element'; got 'gene'"),
    "no component": (lambda: MixtureOf(Poisson(), 0), "at least 1 component; got 0"),
    "over what": (lambda: MixtureOf(Poisson(), 2, "pixel"), "'element' or 'event'; got 'pixel'"),
    "mixture of optimal": (lambda: MixtureOf(Normal("optimal"), 2), r"got Normal\('optimal'\)"),
    "mixture of shared mixtures": (lambda: MixtureOf(MixtureOf(Normal(), 2), 2), "share nothing"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
def test_unusable_settings_are_refused_in_one_line(make, message):
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize("family", [Normal(), NegativeBinomial(), DiscretizedLogistic(256, "shared")], ids=str)
def test_a_forgotten_shared_parameter_is_an_error(family):
    with pytest.raises(ValueError, match="expects its shared"):
        family(torch.zeros(3), (3,))


def test_parameters_of_zero_are_a_start():
    """What an untrained network gives: spread over the range of standardised, unit or lattice data."""
    z = lambda f: f(torch.zeros(f.param_shape((1,))), (1,))  # noqa: E731
    assert (z(Normal("element")).mean.item(), z(Normal("element")).stddev.item()) == (0.0, 1.0)
    assert (z(Poisson()).mean.item(), z(NegativeBinomial("element")).stddev.item()) == (1.0, pytest.approx(2**0.5))
    assert z(ContinuousBernoulli()).log_prob(torch.tensor([0.1])).item() == 0.0
    logistic = z(DiscretizedLogistic())
    assert 0.3 < logistic.stddev.item() < 0.6
    assert logistic.factors(torch.linspace(-1, 1, 256)[:, None]).min() > math.log(1e-4)


def test_gradients_written_by_hand_are_those_of_autodiff():
    generator = torch.Generator().manual_seed(0)
    r, x, loc = (3.0 * torch.randn(7, 4, generator=generator, dtype=torch.float64) for _ in range(3))
    plain = {
        lambda r: tame(r, -99.0, 99.0): lambda r: r.clamp(max=0.0) + r.clamp(min=0.0).log1p(),
        lambda r: kl_factors(normal(loc, r), standard_normal(torch.zeros(4, dtype=torch.float64))): lambda r: (
            0.5 * ((2.0 * r).exp() + loc.square() - 1.0) - r
        ),
        lambda r: kl_factors(normal(r, x), standard_normal(torch.zeros(4, dtype=torch.float64))): lambda r: (
            0.5 * ((2.0 * x).exp() + r.square() - 1.0) - x
        ),
    }
    for ours, theirs in plain.items():
        leaf = r.clone().requires_grad_()
        torch.testing.assert_close(ours(leaf), theirs(leaf), rtol=1e-12, atol=1e-12)
        weights = torch.arange(28.0, dtype=torch.float64).reshape(7, 4)
        gradients = [torch.autograd.grad((f(leaf) * weights).sum(), leaf)[0] for f in (ours, theirs)]
        torch.testing.assert_close(*gradients, rtol=1e-12, atol=1e-12)
        assert torch.autograd.gradgradcheck(ours, leaf)


def normal(loc, log_scale):
    return Elementwise(NormalElement(loc, log_scale), 1)


@pytest.mark.parametrize("exposure", [None, "total"])
def test_a_shared_scatter_begins_at_four_times_that_of_the_moments(exposure):
    """Counts of which r is known; of rows of very different totals where these are given, which 60 elements make."""
    rng = np.random.default_rng(0)
    r = np.tile([0.5, 2.0, 8.0], 20)
    m = 6.0 * (rng.lognormal(0, 0.7, (5000, 1)) if exposure else np.ones((5000, 1)))
    x = torch.from_numpy(rng.poisson(rng.gamma(r, m / r))).float()
    found = NegativeBinomial(exposure=exposure).common(x)
    np.testing.assert_allclose((found.exp() / 4).reshape(20, 3).mean(0), r[:3], rtol=0.1)
    assert torch.isfinite(NegativeBinomial(exposure=exposure).common(torch.zeros(5, 3))).all()
    assert NegativeBinomial("element", exposure).common(x) is None


def test_slopes_of_negative_binomial_counts_are_those_of_the_formula():
    """One row of r beside many of means: of zeros no log-gamma function is computed, and nothing is lost by it."""
    x = torch.tensor([[0.0, 3.0, 0.0], [1.0, 0.0, 40.0]], dtype=torch.float64)
    m, r = (torch.randn(*shape, dtype=torch.float64).requires_grad_() for shape in ((2, 3), (3,)))
    slow = torch.distributions.NegativeBinomial(r.exp(), logits=m - r).log_prob(x).sum()
    fast = NegativeBinomial()(m, (3,), shared=r).log_prob(x).sum()
    for one, other in zip(torch.autograd.grad(fast, (m, r)), torch.autograd.grad(slow, (m, r))):
        torch.testing.assert_close(one, other)
