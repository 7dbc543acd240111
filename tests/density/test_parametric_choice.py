"""Which family, and does it fit: held-out likelihood, independent columns, tests of goodness."""

import numpy as np
import pytest
from scipy import stats

from latens.density import Parametric, storage
from latens.density.families import FAMILIES, Normal, StudentT
from latens.utils.errors import InputError

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
    "gumbel": RNG.gumbel(1, 2, N),
    "uniform": RNG.uniform(1, 3, N),
    "poisson": RNG.poisson(4, N),
    "binomial": RNG.binomial(12, 0.3, N),
    "negative-binomial": RNG.negative_binomial(3, 0.4, N),
    "zero-inflated-poisson": RNG.poisson(4, N) * (RNG.uniform(size=N) < 0.7),
}


def column(name):
    return COLUMNS[name][:, None]


def fitted(name, **changes):
    return Parametric(name, **changes).fit(column(name))


LAWS = {
    "normal": lambda loc, scale: stats.norm(loc, scale),
    "lognormal": lambda loc, scale: stats.lognorm(scale, scale=np.exp(loc)),
    "exponential": lambda scale: stats.expon(scale=scale),
    "gamma": lambda shape, scale: stats.gamma(shape, scale=scale),
    "beta": lambda a, b: stats.beta(a, b),
    "weibull": lambda shape, scale: stats.weibull_min(shape, scale=scale),
    "student-t": lambda df, loc, scale: stats.t(df, loc, scale),
    "laplace": lambda loc, scale: stats.laplace(loc, scale),
    "gumbel": lambda loc, scale: stats.gumbel_r(loc, scale),
    "uniform": lambda low, high: stats.uniform(low, high - low),
    "poisson": lambda rate: stats.poisson(rate),
    "binomial": lambda n, p: stats.binom(int(n), p),
    "negative-binomial": lambda r, mean: stats.nbinom(r, r / (r + mean)),
}


def test_columns_are_independent():
    rows = np.column_stack([COLUMNS["gamma"], COLUMNS["weibull"]])
    both, first = Parametric("gamma").fit(rows), Parametric("gamma").fit(rows[:, :1])
    second = Parametric("gamma").fit(rows[:, 1:])
    np.testing.assert_allclose(both.params_["shape"], [first.params_["shape"], second.params_["shape"]], rtol=1e-12)
    total = first.score_samples(rows[:, :1]) + second.score_samples(rows[:, 1:])
    np.testing.assert_allclose(both.score_samples(rows), total, rtol=1e-12)
    left = both.condition({0: 1.0})
    np.testing.assert_allclose(left.score_samples(rows[:, 1:]), second.score_samples(rows[:, 1:]), rtol=1e-12)
    assert both.complete([[np.nan, 2.0]])[0, 0] == pytest.approx(COLUMNS["gamma"].mean())
    fixed = Parametric("gamma", fixed={"shape": [2.0, 3.0]}).fit(rows)
    np.testing.assert_array_equal(fixed.params_["shape"], [2.0, 3.0])


AUTO = {
    "normal": {"normal"},
    "student-t": {"student-t"},
    "laplace": {"laplace"},
    "gumbel": {"gumbel", "lognormal"},
    "lognormal": {"lognormal"},
    "beta": {"beta"},
    "negative-binomial": {"negative-binomial"},
    "poisson": {"poisson"},
    "zero-inflated-poisson": {"zero-inflated-poisson"},
}


@pytest.mark.parametrize("name", AUTO)
def test_auto_finds_the_family(name):
    density = Parametric().fit(column(name))
    table = density.table_
    assert table["family"][0] in AUTO[name]
    assert density.family_ == FAMILIES[table["family"][0]]
    able = [i for i, note in enumerate(table["note"]) if not note]
    fits = [(i, Parametric(table["family"][i]).fit(column(name))) for i in able]
    for i, fit in fits:
        assert (fit.aic_, fit.bic_) == (pytest.approx(table["aic"][i]), pytest.approx(table["bic"][i]))
        assert fit.aic_ == pytest.approx(2 * table["n_parameters"][i] - 2 * fit.score(column(name)) * N)
        assert table["behind"][i] == pytest.approx(table["held_out"][0] - table["held_out"][i], abs=1e-12)
        assert table["held_out"][i] < table["log_likelihood"][i] / N + 1e-3
    assert (np.diff(table["held_out"][able][1:]) <= 0).all()
    assert (table["held_out"][able] < table["held_out"][0] + 1 / N).all()


def test_held_out_likelihood_is_leave_one_out_at_n_folds():
    x = COLUMNS["normal"][:12]
    table = Parametric(folds=12).fit(x[:, None]).table_
    left = [stats.norm(np.delete(x, i).mean(), np.delete(x, i).std()).logpdf(x[i]) for i in range(12)]
    at = table["family"].index("normal")
    assert table["held_out"][at] == pytest.approx(np.mean(left), rel=1e-12)
    assert table["held_out_error"][at] == pytest.approx(np.std(left) / 12**0.5, rel=1e-12)


def test_auto_says_why_not():
    few = Parametric().fit(np.array([[3], [3], [4], [4], [3], [4]]))
    notes = dict(zip(few.table_["family"], few.table_["note"]))
    assert not notes["poisson"]
    spread = Parametric().fit(COLUMNS["negative-binomial"][:, None])
    assert "variance" in dict(zip(spread.table_["family"], spread.table_["note"]))["binomial"]


def test_auto_of_several_columns():
    rng = np.random.RandomState(35)
    rows = rng.normal(size=(200, 2)) @ np.array([[1.0, 2.0], [0.0, 1.0]])
    assert Parametric().fit(rows).table_["family"][0] in ("multivariate-normal", "multivariate-t")
    assert Parametric().fit(rng.dirichlet([1.0, 2.0, 3.0], size=50)).table_["family"] == ["dirichlet"]


def plane():
    rng = np.random.RandomState(11)
    return rng.normal(size=(500, 3)) @ np.array([[1.0, 0.5, 0.0], [0.0, 1.0, -0.7], [0.0, 0.0, 0.4]]) + [1.0, 2.0, 3.0]


def test_p_values_are_uniform_though_parameters_were_learnt():
    """Under the null the p-value is uniform; a test that forgot the fit would hardly go below one half."""
    rng = np.random.RandomState(16)
    values = {"kolmogorov-smirnov": [], "anderson-darling": []}
    for _ in range(40):
        rows = rng.normal(3.0, 2.0, size=(40, 1))
        found = Parametric("normal").fit(rows).goodness_of_fit(rows, n_resamples=49, random_state=rng)
        for name, test in found.items():
            values[name].append(test.p_value)
    for p in values.values():
        assert stats.kstest(p, "uniform").pvalue > 1e-3
        assert np.mean(p) == pytest.approx(0.5, abs=0.2)


def test_goodness_of_fit_is_scipy_s_and_rejects_the_wrong():
    rows, wrong = column("gamma"), column("lognormal")
    density = Parametric("gamma").fit(rows)
    found = density.goodness_of_fit(rows, n_resamples=99, random_state=0)
    law = LAWS["gamma"](**density.params_)
    assert found["kolmogorov-smirnov"].statistic == pytest.approx(stats.kstest(rows[:, 0], law.cdf).statistic)
    square = stats.goodness_of_fit(
        stats.gamma,
        rows[:, 0],
        known_params={"a": law.args[0], "loc": 0, "scale": law.kwds["scale"]},
        statistic="ad",
        n_mc_samples=2,
    )
    assert found["anderson-darling"].statistic == pytest.approx(square.statistic)
    assert min(test.p_value for test in found.values()) > 0.02
    bad = Parametric("exponential").fit(wrong).goodness_of_fit(wrong, n_resamples=99, random_state=0)
    assert max(test.p_value for test in bad.values()) == 0.01


def test_goodness_of_fit_of_counts():
    rows = column("poisson")
    good = Parametric("poisson").fit(rows).goodness_of_fit(rows, n_resamples=99, random_state=0)
    assert good["chi-square"].p_value > 0.02
    rows = column("negative-binomial")
    bad = Parametric("poisson").fit(rows).goodness_of_fit(rows, n_resamples=99, random_state=0)
    assert bad["chi-square"].p_value == 0.01


def test_goodness_of_fit_of_new_rows_needs_no_refit():
    density, fresh = Parametric("normal").fit(column("normal")), np.random.RandomState(17).normal(3, 2, (50, 1))
    found = density.goodness_of_fit(fresh, fitted=False, n_resamples=1999, random_state=0)["kolmogorov-smirnov"]
    exact = stats.kstest(fresh[:, 0], density.cdf)
    assert found.p_value == pytest.approx(exact.pvalue, abs=0.05)


MIXED = ("normal", "gamma", "poisson")


def mixed_rows():
    return np.column_stack([COLUMNS[name] for name in MIXED]).astype(float)


def test_columns_of_different_families_are_fitted_each_by_itself(tmp_path):
    rows = mixed_rows()
    density = Parametric(MIXED).fit(rows)
    each = [fitted(name) for name in MIXED]
    assert density.params_ == {j: pytest.approx(fit.params_, rel=1e-12) for j, fit in enumerate(each)}
    assert density.standard_errors_[2] == pytest.approx(each[2].standard_errors_, rel=1e-9)
    assert density.confidence_interval()[1]["shape"] == pytest.approx(each[1].confidence_interval()["shape"])
    total = sum(fit.score_samples(rows[:, [j]]) for j, fit in enumerate(each))
    np.testing.assert_allclose(density.score_samples(rows), total, rtol=1e-12)
    assert density.aic_ == pytest.approx(sum(fit.aic_ for fit in each))
    assert density.sample(5, random_state=0)[:, 2] == pytest.approx(np.rint(density.sample(5, random_state=0)[:, 2]))
    storage.save(density, tmp_path / "p.safetensors")
    again = storage.load(tmp_path / "p.safetensors")
    np.testing.assert_array_equal(again.score_samples(rows), density.score_samples(rows))
    last = density.condition({0: 1.0, 1: 2.0})
    np.testing.assert_allclose(last.score_samples(rows[:, 2:]), each[2].score_samples(rows[:, 2:]), rtol=1e-12)
    assert density.complete([[np.nan, 1.0, np.nan]])[0] == pytest.approx([rows[:, 0].mean(), 1.0, rows[:, 2].mean()])


def test_columns_of_different_families_stream_and_take_fixed_parameters():
    rows = mixed_rows()
    whole = Parametric(MIXED, fixed={0: {"loc": 3.0}}).fit(rows)
    parts = Parametric(MIXED, fixed={0: {"loc": 3.0}})
    for part in np.split(rows, 4):
        parts.partial_fit(part)
    assert parts.params_ == {j: pytest.approx(params, rel=1e-9) for j, params in whole.params_.items()}
    assert whole.params_[0]["loc"] == 3.0
    assert np.isnan(whole.standard_errors_[0]["loc"])


def test_auto_takes_the_best_family_of_each_column():
    rng = np.random.RandomState(19)
    rows = np.column_stack([rng.laplace(size=400), rng.gamma(2.0, size=400), rng.standard_t(2.0, size=400)])
    density = Parametric().fit(rows)
    assert density.table_["family"][0] == "independent columns"
    each = [Parametric().fit(rows[:, [j]]) for j in range(3)]
    assert density.family_ == tuple(fit.family_ for fit in each)
    single = Parametric(density.family_).fit(rows)
    assert density.table_["log_likelihood"][0] == pytest.approx(400 * single.score(rows), rel=1e-10)


MISMATCHED = {
    "too few families": (lambda: Parametric(("normal", "gamma")).fit(plane()), "each of 3 columns"),
    "a joint family in a column": (lambda: Parametric(("normal", "dirichlet", "gamma")).fit(plane()), "one number"),
    "auto in a column": (lambda: Parametric(("normal", "auto", "normal")).fit(plane()), "for all columns"),
    "fixed by name": (lambda: Parametric(MIXED, fixed={"loc": 1.0}).fit(mixed_rows()), "column"),
    "fixed of a wrong length": (lambda: Parametric(Normal(), fixed={"loc": [1.0, 2.0]}).fit(plane()), "3 of them"),
}


@pytest.mark.parametrize("what", MISMATCHED)
def test_families_that_do_not_match_the_columns_are_refused(what):
    ask, match = MISMATCHED[what]
    with pytest.raises(InputError, match=match) as caught:
        ask()
    assert "\n" not in str(caught.value)


def test_a_nat_in_all_is_no_difference():
    """Of twenty tables of normal rows, Student's t has the higher held-out likelihood in some, and is taken in none."""
    ahead = 0
    for seed in range(20):
        density = Parametric().fit(np.random.RandomState(seed).normal(size=(1000, 1)))
        table = density.table_
        ahead += table["behind"][table["family"].index("student-t")] < 0
        close = table["behind"] * 1000 > -1
        assert close.all()
        assert density.family_ != StudentT()
    assert ahead > 0


def test_chi_square_by_hand():
    counts = np.repeat([0, 1, 2, 3, 5], [30, 40, 20, 8, 2])[:, None]
    density = Parametric("poisson").fit(counts)
    found = density.goodness_of_fit(counts, n_resamples=1)["chi-square"]
    rate = density.params_["rate"]
    expected = 100 * np.r_[stats.poisson.pmf([0, 1, 2], rate), stats.poisson.sf(2, rate)]
    assert found.statistic == pytest.approx(stats.chisquare([30, 40, 20, 10], expected).statistic, rel=1e-12)


def test_large_counts_need_no_large_tables():
    counts = np.random.RandomState(20).negative_binomial(2, 1e-9, size=(200, 1))
    found = Parametric("negative-binomial").fit(counts).goodness_of_fit(counts, n_resamples=9, random_state=0)
    assert found["chi-square"].p_value > 0.1
