"""Maximum likelihood against scipy, closed forms, numerical derivatives and simulation."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import approx_fprime

from latens.density import Parametric, storage
from latens.density.families import FAMILIES, Normal, Scipy, StudentT, of_rows
from latens.density.families.base import Univariate
from latens.density.families.product import Product

RNG = np.random.RandomState(0)

N = 400

COLUMNS = {
    "normal": RNG.normal(3, 2, N),
    "lognormal": RNG.lognormal(1, 0.5, N),
    "exponential": RNG.exponential(2, N),
    "gamma": RNG.gamma(2.5, 1.5, N),
    "beta": RNG.beta(2, 0.7, N),
    "weibull": 2 * RNG.weibull(1.7, N),
    "student-t": 2 * RNG.standard_t(3, N) + 1,
    "laplace": RNG.laplace(1, 2, N),
    "logistic": RNG.logistic(1, 2, N),
    "gumbel": RNG.gumbel(1, 2, N),
    "pareto": 2 * (1 + RNG.pareto(3, N)),
    "uniform": RNG.uniform(1, 3, N),
    "poisson": RNG.poisson(4, N),
    "binomial": RNG.binomial(12, 0.3, N),
    "negative-binomial": RNG.negative_binomial(3, 0.4, N),
    "geometric": RNG.geometric(0.3, N) - 1,
    "zero-inflated-poisson": RNG.poisson(4, N) * (RNG.uniform(size=N) < 0.7),
    "skewnorm": stats.skewnorm.rvs(3, size=N, random_state=RNG),
    "rayleigh": stats.rayleigh.rvs(size=N, random_state=RNG),
}

COUNTS = {"poisson", "binomial", "negative-binomial", "geometric", "zero-inflated-poisson"}

SMOOTH = sorted(set(COLUMNS) - {"laplace", "pareto", "uniform", "binomial"})

SCIPY = {
    "normal": (stats.norm, {}),
    "lognormal": (stats.lognorm, {"floc": 0}),
    "exponential": (stats.expon, {"floc": 0}),
    "gamma": (stats.gamma, {"floc": 0}),
    "beta": (stats.beta, {"floc": 0, "fscale": 1}),
    "weibull": (stats.weibull_min, {"floc": 0}),
    "student-t": (stats.t, {}),
    "laplace": (stats.laplace, {}),
    "logistic": (stats.logistic, {}),
    "gumbel": (stats.gumbel_r, {}),
    "pareto": (stats.pareto, {"floc": 0}),
    "uniform": (stats.uniform, {}),
    "skewnorm": (stats.skewnorm, {}),
    "rayleigh": (stats.rayleigh, {"floc": 0}),
}


def column(name):
    return COLUMNS[name][:, None]


def fitted(name, **changes):
    return Parametric(name, **changes).fit(column(name))


def theta_of(density):
    return np.array(list(density.params_.values()))


def mean_log_density(density, x):
    family = density.family_
    return lambda theta: family.log_density(family.statistics(x.astype(float)), np.asarray(theta)).mean()


@pytest.mark.parametrize("name", SCIPY)
def test_the_likelihood_is_scipy_s_or_better(name):
    law, fixed = SCIPY[name]
    ours = fitted(name)
    theirs = law(*law.fit(COLUMNS[name], **fixed))
    assert ours.log_likelihood_ >= theirs.logpdf(COLUMNS[name]).sum() - 1e-9
    assert ours.log_likelihood_ == pytest.approx(theirs.logpdf(COLUMNS[name]).sum(), abs=1e-3)
    assert ours.log_likelihood_ == pytest.approx(N * ours.score(column(name)), rel=1e-12)


LAWS = {
    "normal": lambda loc, scale: stats.norm(loc, scale),
    "lognormal": lambda loc, scale: stats.lognorm(scale, scale=np.exp(loc)),
    "exponential": lambda scale: stats.expon(scale=scale),
    "gamma": lambda shape, scale: stats.gamma(shape, scale=scale),
    "beta": lambda a, b: stats.beta(a, b),
    "weibull": lambda shape, scale: stats.weibull_min(shape, scale=scale),
    "student-t": lambda df, loc, scale: stats.t(df, loc, scale),
    "laplace": lambda loc, scale: stats.laplace(loc, scale),
    "logistic": lambda loc, scale: stats.logistic(loc, scale),
    "gumbel": lambda loc, scale: stats.gumbel_r(loc, scale),
    "pareto": lambda shape, scale: stats.pareto(shape, scale=scale),
    "uniform": lambda low, high: stats.uniform(low, high - low),
    "poisson": lambda rate: stats.poisson(rate),
    "binomial": lambda n, p: stats.binom(int(n), p),
    "negative-binomial": lambda r, mean: stats.nbinom(r, r / (r + mean)),
    "geometric": lambda p: stats.geom(p, loc=-1),
    "skewnorm": lambda a, loc, scale: stats.skewnorm(a, loc, scale),
    "rayleigh": lambda loc, scale: stats.rayleigh(loc, scale),
}


@pytest.mark.parametrize("name", LAWS)
def test_scores_and_cdf_are_scipy_s(name):
    density = fitted(name)
    law = LAWS[name](**density.params_)
    x = np.linspace(-5, 40, 91) if name in COUNTS else np.r_[np.linspace(-30, 30, 101), COLUMNS[name][:20]]
    exact = (law.logpmf if name in COUNTS else law.logpdf)(x)
    np.testing.assert_allclose(density.score_samples(x[:, None]), exact, rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(density.cdf(x), law.cdf(x), rtol=1e-12)
    if name in COUNTS:
        assert density.score_samples([[2.5]])[0] == -np.inf


def test_an_inflated_poisson_is_a_mixture():
    density = fitted("zero-inflated-poisson")
    rate, inflation = density.params_["rate"], density.params_["inflation"]
    k = np.arange(30)
    mass = (1 - inflation) * stats.poisson.pmf(k, rate) + inflation * (k == 0)
    np.testing.assert_allclose(np.exp(density.score_samples(k[:, None])), mass, rtol=1e-12)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_score_is_the_gradient_and_vanishes_at_the_top(name):
    density = fitted(name)
    family, theta = density.family_, theta_of(density)
    t, value = family.statistics(COLUMNS[name].astype(float)), mean_log_density(density, COLUMNS[name])
    free = [i for i, parameter in enumerate(family.names) if parameter not in family.given]
    away = theta * 1.1
    np.testing.assert_allclose(family.score(t, away).mean(axis=1), approx_fprime(away, value), rtol=2e-4, atol=2e-6)
    np.testing.assert_allclose(family.score(t, theta).mean(axis=1)[free], 0.0, atol=1e-8)


@pytest.mark.parametrize("name", SMOOTH)
def test_information_is_minus_the_numerical_hessian(name):
    density = fitted(name)
    family, theta = density.family_, theta_of(density)
    value, free = mean_log_density(density, COLUMNS[name]), [n not in family.given for n in family.names]
    at = np.flatnonzero(free)
    hessian, h = np.zeros((len(at), len(at))), 1e-4 * np.maximum(np.abs(theta), 0.1)
    for i, a in enumerate(at):
        for j, b in enumerate(at):
            e, f = np.eye(len(theta))[a] * h[a], np.eye(len(theta))[b] * h[b]
            corners = value(theta + e + f) - value(theta + e - f) - value(theta - e + f) + value(theta - e - f)
            hessian[i, j] = corners / (4 * h[a] * h[b])
    np.testing.assert_allclose(density.information_, -N * hessian, rtol=1e-3, atol=1e-4 * N * np.abs(hessian).max())
    errors = np.sqrt(np.diag(np.linalg.inv(density.information_)))
    np.testing.assert_allclose([density.standard_errors_[family.names[i]] for i in at], errors, rtol=1e-12)


@pytest.mark.parametrize("name", ["laplace", "logistic", "student-t", "gamma", "negative-binomial", "beta"])
def test_errors_are_those_of_repeated_samples(name):
    """The spread of 300 estimates, each from 400 rows, is the standard error within five of its own errors."""
    truth = fitted(name)
    drawn = truth.sample(300 * N, random_state=1).reshape(300, N, 1)
    fits = [Parametric(name).fit(rows) for rows in drawn]
    for key, value in truth.params_.items():
        estimates = np.array([fit.params_[key] for fit in fits])
        claimed = np.array([fit.standard_errors_[key] for fit in fits])
        if key != "loc":
            estimates, claimed = np.log(estimates), claimed / estimates
        assert estimates.std() == pytest.approx(np.median(claimed), rel=0.25)
        low, high = np.array([fit.confidence_interval(0.9)[key] for fit in fits]).T
        assert 0.84 < np.mean((low <= value) & (value <= high)) < 0.95


FIXED = {
    "normal": {"loc": 2.0},
    "lognormal": {"scale": 0.4},
    "gamma": {"shape": 2.0},
    "beta": {"b": 0.8},
    "weibull": {"scale": 2.5},
    "student-t": {"df": 4.0, "loc": 0.0},
    "laplace": {"loc": 0.5},
    "logistic": {"scale": 2.5},
    "gumbel": {"loc": 0.7},
    "pareto": {"scale": 1.0},
    "uniform": {"low": 0.0},
    "negative-binomial": {"mean": 4.0},
    "binomial": {"p": 0.25},
    "zero-inflated-poisson": {"rate": 3.5},
    "rayleigh": {"loc": -0.2},
}


@pytest.mark.parametrize("name", FIXED)
def test_what_is_fixed_stays_and_the_rest_is_highest(name):
    density = fitted(name, fixed=FIXED[name])
    assert {key: density.params_[key] for key in FIXED[name]} == FIXED[name]
    assert all(np.isnan(density.standard_errors_[key]) for key in FIXED[name])
    value, theta = mean_log_density(density, COLUMNS[name]), theta_of(density)
    for i, key in enumerate(density.family_.names):
        for factor in () if key in FIXED[name] else (0.98, 1.02):
            other = theta.copy()
            other[i] = np.rint(theta[i] + 50 * (factor - 1)) if key == "n" else theta[i] * factor
            assert value(other) < value(theta)


def test_a_negative_binomial_s_r_is_any_number():
    """statsmodels' optimum of these counts, to its last digits, is r = 1 / alpha."""
    counts = np.repeat(np.arange(9), [70, 38, 17, 10, 9, 3, 2, 1, 0])  # Bliss's mites on apple leaves
    density = Parametric("negative-binomial").fit(counts[:, None])
    assert density.params_["r"] == pytest.approx(1.0245, abs=1e-4)
    assert density.params_["mean"] == pytest.approx(1.14667, abs=1e-5)


def test_limits_are_told():
    even = np.tile(np.arange(3, 8), 40)[:, None]
    limit = Parametric("negative-binomial").fit(even)
    assert limit.params_["r"] == np.inf
    np.testing.assert_allclose(limit.score_samples(even), Parametric("poisson").fit(even).score_samples(even))
    flat = np.linspace(-1, 1, 101)[:, None]
    normal = Parametric("normal").fit(flat)
    t = Parametric("student-t").fit(flat)
    assert t.params_["df"] == np.inf
    np.testing.assert_allclose(t.score_samples(flat), normal.score_samples(flat), rtol=1e-9)
    assert np.isnan(t.standard_errors_["df"])
    assert t.standard_errors_["loc"] == pytest.approx(normal.standard_errors_["loc"])
    np.testing.assert_allclose(t.quantile([0.1, 0.9]), normal.quantile([0.1, 0.9]))
    few = np.tile([0, 1, 2, 3, 1, 2], 20)[:, None]
    assert Parametric("zero-inflated-poisson").fit(few).params_ == {"rate": pytest.approx(1.5), "inflation": 0.0}


def test_a_large_r_loses_no_digits():
    x = np.arange(60.0)
    density = Parametric("negative-binomial", fixed={"r": 1e7, "mean": 20.0}).fit(x[:, None])
    j = np.cumsum(np.r_[0.0, np.log1p(np.arange(59) / 1e7)])  # log of (r)_x / r^x
    exact = stats.poisson.logpmf(x, 20) + 20 + j - (1e7 + x) * np.log1p(2e-6)
    np.testing.assert_allclose(density.score_samples(x[:, None]), exact, rtol=1e-9)


STREAMS = sorted(name for name, family in FAMILIES.items() if family.streams)


@pytest.mark.parametrize("name", STREAMS)
def test_parts_are_the_whole(name):
    rng = np.random.RandomState(31)
    if name == "dirichlet":
        rows = rng.dirichlet([2.0, 3.0, 4.0], size=N)
    elif name == "multivariate-normal":
        rows = rng.normal(size=(N, 3)) @ rng.normal(size=(3, 3)) + 1e6
    else:
        rows = column(name)
    weights = rng.uniform(0.5, 2.0, N)
    whole = Parametric(name).fit(rows, sample_weight=weights)
    parts = Parametric(name)
    for at in np.split(np.arange(N), [7, 50, 51]):
        parts.partial_fit(rows[at], sample_weight=weights[at])
    for key, value in whole.params_.items():
        np.testing.assert_allclose(parts.params_[key], value, rtol=1e-8)
        np.testing.assert_allclose(parts.standard_errors_[key], whole.standard_errors_[key], rtol=1e-6)
    assert parts.log_likelihood_ == pytest.approx(whole.log_likelihood_, rel=1e-9)


def test_a_far_mean_costs_no_digits_of_the_variance():
    rng = np.random.RandomState(32)
    rows = rng.normal(size=(3000, 1)) + 1e9
    parts = Parametric("normal")
    for part in np.split(rows, 30):
        parts.partial_fit(part)
    exact = np.std((rows - 1e9)[:, 0])
    assert parts.params_["scale"] == pytest.approx(exact, rel=1e-7)


def test_families_without_statistics_offer_no_partial_fit():
    assert not any(hasattr(Parametric(name), "partial_fit") for name in ("auto", "student-t", "weibull", "cauchy"))


def plane():
    rng = np.random.RandomState(11)
    return rng.normal(size=(500, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.7], [0.0, 0.0, 0.4]]) + [1.0, 2.0, 3.0]


def test_intervals_stay_in_the_domain_and_are_wald_s():
    density = fitted("normal")
    low, high = density.confidence_interval(0.95)["loc"]
    assert (low + high) / 2 == pytest.approx(density.params_["loc"])
    assert high - low == pytest.approx(2 * 1.959964 * density.standard_errors_["loc"], rel=1e-6)
    few = Parametric("gamma").fit([[0.1], [3.0], [1.0]])
    for low, high in few.confidence_interval(0.999).values():
        assert 0 < low < high


@pytest.mark.parametrize("family", [*FAMILIES.values(), Scipy("cauchy")], ids=repr)
def test_a_family_prints_as_written_and_names_itself(family):
    assert repr(family) == (f"{type(family).__name__}()" if family != Scipy("cauchy") else "Scipy('cauchy')")
    assert not isinstance(family, Univariate) or of_rows(family, 2) == Product((family, family))


@pytest.mark.parametrize("name", ["student-t", "cauchy", "poisson"])
def test_a_saved_family_is_the_one_fitted(name, tmp_path):
    rows = column(name) if name in COLUMNS else column("student-t")
    density = Parametric(name).fit(rows)
    storage.save(density, tmp_path / "p.safetensors")
    again = storage.load(tmp_path / "p.safetensors")
    assert again.family_ == density.family_
    np.testing.assert_array_equal(again.score_samples(rows), density.score_samples(rows))
    assert again.confidence_interval() == density.confidence_interval()


def test_values_stand_for_names():
    rows = plane()
    assert Parametric(Normal()).fit(rows).params_["loc"] == pytest.approx(rows.mean(axis=0))
    value, name = Parametric(StudentT()).fit(column("student-t")), fitted("student-t")
    assert value.params_ == name.params_
    cauchy = Parametric("cauchy").fit(column("student-t"))
    single = Parametric("student-t", fixed={"df": 1.0}).fit(column("student-t"))
    assert cauchy.params_["loc"] == pytest.approx(single.params_["loc"], abs=1e-6)
    assert cauchy.standard_errors_["scale"] == pytest.approx(single.standard_errors_["scale"], rel=1e-5)


@pytest.mark.parametrize("law", ["gennorm", "laplace_asymmetric", "invgamma", "halfnorm"])
def test_scipy_s_other_laws_are_fitted_at_least_as_well(law):
    """Kinks too."""
    dist = getattr(stats, law)
    shapes = {"gennorm": (1.2,), "laplace_asymmetric": (2.0,), "invgamma": (4.0,)}.get(law, ())
    x = dist.rvs(*shapes, size=150, random_state=0)
    theirs = dist.fit(x, **({"floc": 0.0} if np.isfinite(dist.a) else {}))
    assert Parametric(law).fit(x[:, None]).log_likelihood_ >= dist.logpdf(x, *theirs).sum() - 1e-6


LIMITS = {
    "student-t": (np.random.RandomState(0).uniform(-1, 1, size=(300, 1)), "df"),
    "negative-binomial": (np.random.RandomState(0).binomial(10, 0.5, size=(300, 1)), "r"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_draws_has_quantiles_and_a_goodness_of_fit(name):
    """The rows have thinner tails than any member: the limit is the normal, or Poisson's, law."""
    X, endless = LIMITS[name]
    density = Parametric(name).fit(X)
    assert density.params_[endless] == np.inf
    law = stats.norm(X.mean(), X.std()) if name == "student-t" else stats.poisson(X.mean())
    drawn = density.sample(4000, random_state=0)[:, 0]
    assert abs(drawn.mean() - law.mean()) < 4 * law.std() / 4000**0.5
    assert drawn.std() == pytest.approx(law.std(), rel=0.05)
    np.testing.assert_allclose(density.quantile([0.1, 0.9]), law.ppf([0.1, 0.9]), rtol=1e-6)
    verdicts = density.goodness_of_fit(X[:60], fitted=False, n_resamples=9, random_state=0)
    assert all(0 < verdict.p_value <= 1 for verdict in verdicts.values())


def test_a_geometric_that_is_always_zero():
    density = Parametric("geometric").fit(np.zeros((20, 1), dtype=int))
    np.testing.assert_array_equal(density.cdf([-1.0, 0.0, 1.0]), [0.0, 1.0, 1.0])
    np.testing.assert_array_equal(density.quantile([0.0, 0.5]), [0.0, 0.0])
    assert not density.sample(5, random_state=0).any()


@pytest.mark.parametrize("name", ["normal", "lognormal", "gamma", "student-t", "poisson", "zero-inflated-poisson"])
@pytest.mark.parametrize("size", [1e-200, 1e160, 1e300])
def test_the_size_of_weights_changes_nothing(name, size):
    """Not even where their squares are no numbers; in parts as at once."""
    x, w = COLUMNS[name][:, None], RNG.uniform(0.5, 2.0, N)
    plain, sized = Parametric(name).fit(x, sample_weight=w), Parametric(name).fit(x, sample_weight=size * w)
    for figure in ("standard_errors_", "params_"):
        np.testing.assert_allclose(
            list(getattr(sized, figure).values()), list(getattr(plain, figure).values()), rtol=1e-6
        )
    assert (sized.n_effective_, sized.aic_) == pytest.approx((plain.n_effective_, plain.aic_), rel=1e-9)
    if hasattr(sized, "_digest"):
        parts = Parametric(name).partial_fit(x[:100], sample_weight=size * w[:100])
        parts.partial_fit(x[100:], sample_weight=size * w[100:])
        assert parts.n_effective_ == pytest.approx(plain.n_effective_, rel=1e-9)


@pytest.mark.parametrize(("origin", "unit"), [(1e12, 1.0), (-1e9, 1e-3), (0.0, 1e70), (0.0, 1e-70)])
def test_errors_of_a_normal_are_known_wherever_it_lies(origin, unit):
    z = COLUMNS["normal"][:, None]
    z = z - z.mean()
    there = Parametric("normal").fit(origin + unit * z)
    scale = float(z.std() * unit)
    assert there.standard_errors_["loc"] == pytest.approx(scale / N**0.5, rel=1e-3)
    assert there.standard_errors_["scale"] == pytest.approx(scale / (2 * N) ** 0.5, rel=1e-3)


@pytest.mark.parametrize("unit", [1e-160, 1e-300])
def test_a_normal_holds_what_its_variance_would_not(unit):
    """The squares of such deviations are 0, or have lost most of their digits."""
    z = COLUMNS["normal"][:, None]
    tiny, plain = Parametric("normal").fit(unit * z), Parametric("normal").fit(z)
    np.testing.assert_allclose(tiny.score_samples(unit * z) + np.log(unit), plain.score_samples(z), rtol=1e-9)
    half = [Parametric("normal").partial_fit(unit * z[:150]).partial_fit(unit * z[150:]).params_["scale"]]
    np.testing.assert_allclose(half, unit * plain.params_["scale"], rtol=1e-9)
