"""Bandwidth rules against their definitions, computed pair by pair."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import eval_hermitenorm, logsumexp

from latens.density import KernelDensity
from latens.density.kernel.bandwidth import (
    automatic,
    improved_sheather_jones,
    likelihood,
    local_likelihood,
    sheather_jones,
)
from latens.utils.errors import InputError


def rows(n, seed=0):
    rng = np.random.RandomState(seed)
    return np.sort(np.where(rng.uniform(size=n) < 0.4, rng.normal(-2, 1, n), rng.normal(2, 0.5, n)))


def roughness(x, s, variance):
    """The integral of the squared s-th derivative of the mean of Gaussians of this variance around the rows."""
    u = (x[:, None] - x) / (2 * variance) ** 0.5
    pairs = eval_hermitenorm(2 * s, u) * stats.norm.pdf(u) / (2 * variance) ** (s + 0.5)
    return (-1) ** s * pairs.mean()


def test_improved_sheather_jones_solves_its_equation():
    x = rows(400)

    def chain(h):
        f = roughness(x, 7, h**2)
        for s in range(6, 1, -1):
            odd = np.prod(np.arange(1.0, 2 * s, 2)) / (2 * np.pi) ** 0.5
            f = roughness(x, s, ((1 + 0.5 ** (s + 0.5)) / 3 * 2 * odd / len(x) / f) ** (2 / (3 + 2 * s)))
        return (2 * len(x) * np.pi**0.5 * f) ** -0.2

    h = improved_sheather_jones(x)
    assert chain(h) == pytest.approx(h, rel=1e-3)


def test_sheather_jones_solves_its_equation():
    x = rows(400)
    n, scale = len(x), min(x.std(), np.subtract(*np.percentile(x, [75, 25])) / 1.349)
    second = roughness(x, 2, (1.241 * scale * n ** (-1 / 7)) ** 2 / 2)
    third = roughness(x, 3, (1.230 * scale * n ** (-1 / 9)) ** 2 / 2)

    def off(h):
        pilot = 1.357 * (second / third) ** (1 / 7) * h ** (5 / 7)
        return h - (2 * np.pi**0.5 * n * roughness(x, 2, pilot**2 / 2)) ** -0.2

    assert sheather_jones(x) == pytest.approx(brentq(off, 0.05, 1.5), rel=3e-3)


@pytest.mark.parametrize("rule", [improved_sheather_jones, sheather_jones])
def test_plug_in_is_near_the_best_for_a_normal_density(rule):
    found = [rule(np.sort(np.random.RandomState(seed).normal(size=10_000))) for seed in range(10)]
    assert np.mean(found) == pytest.approx((4 / 3 / 10_000) ** 0.2, rel=0.04)


@pytest.mark.parametrize("rule", [improved_sheather_jones, sheather_jones, automatic])
def test_plug_in_knows_weights_and_outliers(rule):
    x = rows(2000)
    weights = np.full(len(x), 0.7)
    assert rule(x, weights) == pytest.approx(rule(x), rel=2e-3)
    assert rule(np.append(x, 1e6)) == pytest.approx(rule(x), rel=0.1)
    assert rule(np.append(x, x + 1e7)) == pytest.approx(rule(x), rel=0.25)


def test_left_out_likelihood_is_highest_at_its_bandwidth():
    x = np.random.RandomState(0).standard_t(3, size=150)
    x = np.append(x, x[:10])  # ties

    def score(h):
        terms = stats.norm.pdf((x[:, None] - x) / h) / h
        others = x[:, None] != x
        return np.log((terms * others).sum(axis=1)).mean()

    h = likelihood(x[:, None])
    assert score(h) >= max(score(h * factor) for factor in np.geomspace(0.3, 3.0, 60)) - 1e-5


def test_rounded_values_are_not_taken_for_peaks():
    x = np.sort(np.random.RandomState(0).normal(scale=3.0, size=20_000).round())
    assert improved_sheather_jones(x) < 0.5
    assert automatic(x) == 1.0
    assert automatic(x + np.linspace(0.0, 0.9, 20_000)) < 0.5


@pytest.mark.parametrize("rule", ["scott", "silverman"])
@pytest.mark.parametrize("d", [1, 3])
def test_rules_of_thumb_are_scipys(rule, d):
    rng = np.random.RandomState(0)
    X, weights = rng.normal(size=(80, d)) @ rng.normal(size=(d, d)), rng.exponential(size=80)
    theirs = stats.gaussian_kde(X.T, bw_method=rule, weights=weights)
    ours = KernelDensity(rule).fit(X, sample_weight=weights)
    np.testing.assert_allclose(np.atleast_2d(ours.bandwidth_ ** (2 if d == 1 else 1)), theirs.covariance, rtol=1e-9)
    np.testing.assert_allclose(ours.score_samples(X), theirs.logpdf(X.T), rtol=1e-9)


def test_another_kernel_gets_the_same_standard_deviation():
    x = rows(200)[:, None]
    gaussian, tophat = KernelDensity("isj").fit(x), KernelDensity("isj", "tophat").fit(x)
    assert tophat.bandwidth_ / 3**0.5 == pytest.approx(gaussian.bandwidth_, rel=1e-12)


def test_left_out_likelihood_follows_the_shape_of_the_data():
    rng = np.random.RandomState(0)
    X = np.r_[rng.normal(-3, 1, (300, 2)), rng.normal(3, 1, (300, 2))] @ [[1.0, 0.5], [0.0, 10.0]]
    new = np.r_[rng.normal(-3, 1, (300, 2)), rng.normal(3, 1, (300, 2))] @ [[1.0, 0.5], [0.0, 10.0]]
    assert KernelDensity().fit(X).score(new) > KernelDensity("scott").fit(X).score(new) + 0.02


UNFIT = {
    "no rule": ({"bandwidth": "scot"}, "did you mean 'scott'"),
    "zero": ({"bandwidth": 0}, "bandwidth must be a positive number; got 0"),
    "negative": ({"bandwidth": [-1.0]}, "positive numbers"),
    "NaN": ({"bandwidth": [np.nan]}, "positive numbers"),
    "shape": ({"bandwidth": [1.0, 2.0]}, r"shape \(1,\)"),
    "text": ({"bandwidth": ["a"]}, "a rule or numbers"),
    "kernel": ({"kernel": "gausian"}, "did you mean 'gaussian'"),
    "adaptive": ({"adaptive": 2.0}, "power from 0 to 1"),
    "adaptive text": ({"adaptive": "yes"}, "adaptive is one of auto"),
    "bounds": ({"bounds": (0.0, 1.0)}, "outside the bounds 0 to 1"),
    "empty bounds": ({"bounds": (1.0, 1.0)}, "low < high"),
    "no bounds": ({"bounds": 3.0}, r"bounds expects \(low, high\)"),
    "words": ({"bounds": ("a", "b")}, "pairs of numbers"),
    "open circle": ({"periodic": True}, "periodic expects both bounds"),
    "no bool": ({"periodic": [True, False]}, "periodic expects a bool"),
}


@pytest.mark.parametrize("what", UNFIT)
def test_what_is_wrong_is_said_in_one_line(what):
    settings, message = UNFIT[what]
    with pytest.raises(InputError, match=message) as caught:
        KernelDensity(**settings).fit(np.linspace(-3, 3, 20)[:, None])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rule", ["auto", "scott", "cv_ml"])
@pytest.mark.parametrize("table", [np.full((5, 1), 3.0), np.ones((1, 1)), np.c_[np.ones(9), np.arange(9.0)]])
def test_no_spread_has_no_bandwidth(rule, table):
    with pytest.raises(InputError, match="finds no spread"):
        KernelDensity(rule).fit(table)


def test_rules_of_one_column_are_refused_for_several():
    with pytest.raises(InputError, match="is for one column; there are 2"):
        KernelDensity("isj").fit(np.eye(2))


def test_a_matrix_must_be_positive_definite():
    for wrong in ([[1.0, 2.0], [2.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]]):
        with pytest.raises(InputError, match="symmetric positive definite"):
            KernelDensity(wrong).fit(np.eye(2))


@pytest.mark.parametrize("rule", [improved_sheather_jones, sheather_jones, automatic])
@pytest.mark.parametrize("power", [-160, -100, 100, 160])
def test_a_rule_of_one_column_goes_with_its_unit(rule, power):
    name = {improved_sheather_jones: "isj", sheather_jones: "sheather-jones", automatic: "auto"}[rule]
    x, unit = rows(300), 2.0**power
    fitted = KernelDensity(name, adaptive=False).fit(unit * x[:, None])
    assert fitted.bandwidth_ / unit == pytest.approx(rule(x), rel=1e-3)


TAILS = {
    "heavy": (lambda rng, n: rng.standard_t(2, size=(n, 2)), {0.5}),
    "normal": (lambda rng, n: rng.normal(size=(n, 2)), {0.0, 0.25}),
    "sharp edges": (lambda rng, n: rng.uniform(size=(n, 2)), {0.0}),
}


@pytest.mark.parametrize("kind", TAILS)
def test_local_scales_of_several_columns_are_those_that_rows_left_out_like(kind):
    """As KernelDensity with each power, fitted without each row in turn, would have it."""
    draw, expected = TAILS[kind]
    x = draw(np.random.RandomState(0), 600)
    assert local_likelihood(x / likelihood(x))[1] in expected
    x = x[:40]
    h = likelihood(x)
    factor, power = local_likelihood(x / h)

    def posterior(power, factor):
        def score(i):
            others = np.delete(x, i, axis=0)
            log_p = KernelDensity(h, exact=True).fit(others).score_samples(others)
            scales = factor * h * np.exp(-power * (log_p - centre))
            terms = stats.norm.logpdf((x[i] - others) / scales[:, None]).sum(axis=1) - 2 * np.log(scales)
            return logsumexp(terms) - np.log(39)

        centre = KernelDensity(h, exact=True).fit(x).score_samples(x).mean() + np.log(40 / 39)
        return np.mean([score(i) for i in range(40)]) - np.log(factor) ** 2 / 0.02 / 40

    found = posterior(power, factor)
    for other in (0.0, 0.25, 0.5):
        assert found > posterior(other, factor) - 1e-9
    assert found > max(posterior(power, factor * 1.05), posterior(power, factor / 1.05))


@pytest.mark.parametrize("d", [2, 4])
def test_the_default_of_several_columns_knows_normal_rows_better_than_scipy_s(d):
    rng, gained = np.random.RandomState(0), []
    for _ in range(4):
        seen, unseen = rng.normal(size=(300, d)), rng.normal(size=(1000, d))
        theirs = stats.gaussian_kde(seen.T).logpdf(unseen.T).mean()
        gained.append(KernelDensity().fit(seen).score(unseen) - theirs)
    assert np.mean(gained) > 0.001
