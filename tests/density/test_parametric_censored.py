"""Maximum likelihood of rows known to lie between bounds, against scipy, closed forms and the slow formula."""

import numpy as np
import pytest
from scipy import stats

from latens.density import Parametric

RNG = np.random.RandomState(0)

N = 400

COLUMNS = {
    "normal": RNG.normal(3, 2, N),
    "lognormal": RNG.lognormal(1, 0.5, N),
    "exponential": RNG.exponential(2, N),
    "gamma": RNG.gamma(2.5, 1.5, N),
    "weibull": 2 * RNG.weibull(1.7, N),
    "student-t": 2 * RNG.standard_t(3, N) + 1,
    "laplace": RNG.laplace(1, 2, N),
    "logistic": RNG.logistic(1, 2, N),
    "pareto": 2 * (1 + RNG.pareto(3, N)),
    "poisson": RNG.poisson(4, N),
}

SCIPY = {
    "normal": (stats.norm, {}),
    "lognormal": (stats.lognorm, {"floc": 0}),
    "exponential": (stats.expon, {"floc": 0}),
    "gamma": (stats.gamma, {"floc": 0}),
    "weibull": (stats.weibull_min, {"floc": 0}),
    "student-t": (stats.t, {}),
    "laplace": (stats.laplace, {}),
    "logistic": (stats.logistic, {}),
    "pareto": (stats.pareto, {"floc": 0}),
}


def theta_of(density):
    return np.array(list(density.params_.values()))


LAWS = {
    "normal": lambda loc, scale: stats.norm(loc, scale),
    "lognormal": lambda loc, scale: stats.lognorm(scale, scale=np.exp(loc)),
    "exponential": lambda scale: stats.expon(scale=scale),
    "gamma": lambda shape, scale: stats.gamma(shape, scale=scale),
    "weibull": lambda shape, scale: stats.weibull_min(shape, scale=scale),
    "student-t": lambda df, loc, scale: stats.t(df, loc, scale),
    "laplace": lambda loc, scale: stats.laplace(loc, scale),
    "logistic": lambda loc, scale: stats.logistic(loc, scale),
    "pareto": lambda shape, scale: stats.pareto(shape, scale=scale),
    "poisson": lambda rate: stats.poisson(rate),
}

CENSORED = ["normal", "lognormal", "exponential", "gamma", "weibull", "logistic"]
"""scipy's fit of the others is too slow, or too far from the top."""


@pytest.mark.parametrize("name", CENSORED)
def test_censored_rows_as_scipy_s(name):
    law, fixed = SCIPY[name]
    x = COLUMNS[name][:200]
    low, high, middle = np.quantile(x, [0.2, 0.8, 0.5])
    kind = np.select([x < low, x > high, np.abs(x - middle) < 0.2], [1, 2, 3], 0)
    lower = np.select([kind == 1, kind == 2, kind == 3], [-np.inf, high, middle - 0.2], x)
    upper = np.select([kind == 1, kind == 2, kind == 3], [low, np.inf, middle + 0.2], x)
    density = Parametric(name).fit(lower[:, None], upper=upper[:, None])
    data = stats.CensoredData(
        x[kind == 0],
        left=np.full((kind == 1).sum(), low),
        right=np.full((kind == 2).sum(), high),
        interval=np.tile([middle - 0.2, middle + 0.2], ((kind == 3).sum(), 1)),
    )
    theirs, ours = law(*law.fit(data, **fixed)), LAWS[name](**density.params_)
    assert density.log_likelihood_ == pytest.approx(censored(ours, lower, upper), rel=1e-10)
    assert density.log_likelihood_ >= censored(theirs, lower, upper) - 1e-8
    np.testing.assert_allclose(theirs.ppf([0.1, 0.5, 0.9]), ours.ppf([0.1, 0.5, 0.9]), rtol=2e-3, atol=2e-3)


def censored(law, lower, upper):
    """The slow obvious formula."""
    exact = lower == upper
    with np.errstate(divide="ignore"):
        return np.where(exact, law.logpdf(np.where(exact, lower, 1.0)), np.log(law.cdf(upper) - law.cdf(lower))).sum()


def test_lifetimes_cut_off_have_a_closed_form():
    """Exponential lifetimes: total time over deaths, with error mean / root of deaths."""
    rng = np.random.RandomState(33)
    time = rng.exponential(5.0, 300)
    lower, upper = np.minimum(time, 4.0), np.where(time < 4.0, time, np.inf)
    density = Parametric("exponential").fit(lower[:, None], upper=upper)
    deaths = (time < 4.0).sum()
    assert density.params_["scale"] == pytest.approx(lower.sum() / deaths, rel=1e-9)
    assert density.standard_errors_["scale"] == pytest.approx(lower.sum() / deaths**1.5, rel=1e-5)


def test_censored_counts_include_both_ends():
    counts = COLUMNS["poisson"]
    lower, upper = np.where(counts > 5, 6, counts), np.where(counts > 5, np.inf, counts)
    lower, upper = np.where(counts == 2, 1, lower), np.where(counts == 2, 2, upper)
    density = Parametric("poisson").fit(lower[:, None], upper=upper[:, None])
    rates = density.params_["rate"] + np.linspace(-0.01, 0.01, 201)
    law = stats.poisson(rates[:, None])
    inner = np.where(upper == np.inf, law.sf(5), law.pmf(1) + law.pmf(2))
    total = np.log(np.where(lower == upper, law.pmf(lower), inner)).sum(axis=1)
    assert np.argmax(total) == 100
    assert density.log_likelihood_ == pytest.approx(total[100], rel=1e-10)


def test_censoring_and_weights_go_together():
    rng = np.random.RandomState(34)
    time = rng.weibull(1.5, 80)
    lower, upper = np.minimum(time, 1.0), np.where(time < 1.0, time, np.inf)
    weights = rng.randint(0, 3, 80)
    weighted = Parametric("weibull").fit(lower[:, None], sample_weight=weights, upper=upper)
    repeated = Parametric("weibull").fit(np.repeat(lower, weights)[:, None], upper=np.repeat(upper, weights))
    for name in ("shape", "scale"):
        assert weighted.params_[name] == pytest.approx(repeated.params_[name], rel=1e-8)
    kish = weights.sum() ** 2 / (weights**2).sum()
    assert weighted.n_effective_ == pytest.approx(kish)
    ratio = (weights.sum() / kish) ** 0.5
    expected = ratio * repeated.standard_errors_["shape"]
    assert weighted.standard_errors_["shape"] == pytest.approx(expected, rel=1e-6)


def test_auto_of_censored_rows():
    time = np.random.RandomState(5).weibull(3.0, 300)
    lower, upper = np.minimum(time, 1.1), np.where(time < 1.1, time, np.inf)
    density = Parametric().fit(lower[:, None], upper=upper)
    assert density.table_["family"][0] == "weibull"
    assert density.params_["shape"] == pytest.approx(3.0, abs=0.4)


def test_censored_rows_where_an_end_of_the_support_is_known():
    """Pareto lifetimes cut off: deaths over the total of log(x / scale)."""
    time = 2 * (1 + np.random.RandomState(18).pareto(3.0, 200))
    lower, upper = np.minimum(time, 3.0), np.where(time < 3.0, time, np.inf)
    density = Parametric("pareto", fixed={"scale": 2.0}).fit(lower[:, None], upper=upper)
    assert density.params_["shape"] == pytest.approx((time < 3.0).sum() / np.log(lower / 2).sum(), rel=1e-9)


def test_censored_laplace_is_at_its_maximum():
    x = COLUMNS["laplace"][:100]
    lower, upper = np.minimum(x, 3.0), np.where(x < 3.0, x, np.inf)
    density = Parametric("laplace").fit(lower[:, None], upper=upper)
    best = density.log_likelihood_
    loc, scale = density.params_["loc"], density.params_["scale"]
    for step in (-0.05, 0.05):
        assert censored(stats.laplace(loc + step, scale), lower, upper) < best
        assert censored(stats.laplace(loc, scale + step), lower, upper) < best
    assert censored(stats.laplace(loc, scale), lower, upper) == pytest.approx(best, rel=1e-12)


def test_censored_t_is_at_its_maximum_with_its_curvature():
    x = COLUMNS["student-t"][:200]
    lower, upper = np.maximum(x, -2.0), np.where(x > -2.0, x, -2.0)
    lower = np.where(x > -2.0, x, -np.inf)
    density = Parametric("student-t").fit(lower[:, None], upper=upper)
    top = theta_of(density)
    central, h = [], 1e-4
    for i in range(3):
        e = np.eye(3)[i] * h
        up, down = (censored(stats.t(*(top + s * e)), lower, upper) for s in (1, -1))
        central.append((up - down) / (2 * h))
        here = censored(stats.t(*top), lower, upper)
        assert density.information_[i, i] == pytest.approx(-(up - 2 * here + down) / h**2, rel=1e-3)
    np.testing.assert_allclose(central, 0.0, atol=1e-4)


def test_whole_numbers_stay_counts_when_censored():
    counts = COLUMNS["poisson"]
    upper = np.where(counts > 6, np.inf, counts)
    density = Parametric().fit(np.minimum(counts, 7)[:, None], upper=upper)
    assert density.family_.discrete
    assert density.sample(3, random_state=0).dtype == counts.dtype


@pytest.mark.parametrize("name", ["weibull", "logistic", "student-t", "normal", "gamma"])
def test_one_death_is_enough(name):
    """One exact row among censored ones, against a grid around the parameters found."""
    lower = np.array([0.5, 0.8, 1.0, 1.2, 1.9])
    upper = np.array([0.5, np.inf, np.inf, np.inf, np.inf])
    fixed = {"df": 5.0} if name == "student-t" else {}
    density = Parametric(name, fixed=fixed).fit(lower[:, None], upper=upper)
    for key in {"loc", "scale", "shape"} & set(density.params_):
        for factor in (0.97, 1.03):
            moved = LAWS[name](**{**density.params_, key: density.params_[key] * factor})
            assert censored(moved, lower, upper) < density.log_likelihood_
