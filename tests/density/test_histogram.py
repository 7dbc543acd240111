import itertools
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats
from sklearn.base import clone

from latens.density import DensityEstimator, Histogram
from latens.density.histogram import blocks
from latens.density.histogram.bins import MANY_BINS, NAMES, RULES, _penalised, bin_edges
from latens.density.histogram.blocks import bayesian_blocks
from latens.density.histogram.estimator import _bin_of
from latens.utils.errors import InputError

RNG = np.random.RandomState(0)
GAUSS = RNG.normal(3.0, 2.0, size=(500, 1))
TABLES = {
    "gauss": GAUSS,
    "skewed": RNG.exponential(size=(300, 1)) ** 2,
    "correlated": RNG.normal(size=(400, 2)) @ np.array([[1.0, 0.9], [0.0, 0.1]]),
    "three": RNG.normal(size=(200, 3)),
    "twelve": RNG.normal(size=(100, 12)),
    "constant": np.full((20, 1), 7.0),
    "constant_column": np.column_stack([np.full(50, -2.0), RNG.normal(size=50)]),
    "one_row": np.array([[1.0, -5.0]]),
    "integers": RNG.poisson(4.0, size=(300, 2)),
    "float32": RNG.normal(size=(200, 2)).astype(np.float32),
    "uint8": RNG.randint(0, 256, size=(300, 3)).astype(np.uint8),
    "boolean": RNG.uniform(size=(50, 2)) < 0.3,
    "float16": RNG.normal(size=(100, 1)).astype(np.float16),
    "ties": np.repeat(np.arange(4.0), 25)[:, None],
    "mostly_tied": np.r_[np.zeros(90), np.arange(1.0, 11.0)][:, None],
    "outlier": np.r_[RNG.normal(size=1000), 1e7][:, None],
    "huge": RNG.normal(size=(200, 1)) * 1e300,
    "tiny": RNG.normal(size=(200, 1)) * 1e-300,
    "far": 1e16 + np.arange(0.0, 200.0, 2.0)[:, None],
}
BINS = {**{name: name for name in NAMES}, "count": 7}
NUMPYS = {name: name for name in ("fd", "scott", "sturges", "doane")} | {"count": 7}


@pytest.fixture(params=list(TABLES))
def table(request):
    return TABLES[request.param]


@pytest.fixture(params=list(BINS))
def bins(request):
    return BINS[request.param]


def log_volumes(histogram):
    widths = [np.diff(edges) for edges in histogram.bin_edges_]
    return sum(np.log(width[i]) for width, i in zip(widths, histogram.cells_.T))


def test_cells_integrate_to_one(table, bins):
    histogram = Histogram(bins).fit(table)
    np.testing.assert_allclose(np.exp(histogram.log_density_ + log_volumes(histogram)).sum(), 1.0, rtol=1e-12)


def test_score_is_the_count_around_each_row(table, bins):
    histogram = Histogram(bins).fit(table)
    inside = np.ones((len(table), len(table)), dtype=bool)
    log_volume = np.zeros(len(table))
    for edges, column in zip(histogram.bin_edges_, table.astype(float).T):
        bin_ = np.array([max(k for k in range(len(edges) - 1) if edges[k] <= value) for value in column])
        inside &= bin_[:, None] == bin_
        log_volume += np.log(np.diff(edges)[bin_])
    expected = np.log(inside.sum(axis=1) / len(table)) - log_volume
    np.testing.assert_allclose(histogram.score_samples(table), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", ["gauss", "skewed", "ties", "constant", "integers"])
@pytest.mark.parametrize("bins", NUMPYS)
def test_one_dimension_equals_numpy(name, bins):
    bins = NUMPYS[bins]
    x = TABLES[name][:, 0]
    density, edges = np.histogram(x, bins=bins, density=True)
    histogram = Histogram(bins).fit(x[:, None])
    np.testing.assert_allclose(histogram.bin_edges_[0], edges, rtol=1e-12)
    query = np.r_[edges, (edges[1:] + edges[:-1]) / 2]
    expected = density[(np.searchsorted(edges, query, side="right") - 1).clip(max=len(density) - 1)]
    np.testing.assert_allclose(np.exp(histogram.score_samples(query[:, None])), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["correlated", "integers", "three", "constant_column"])
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_many_dimensions_equal_numpy(name, weighted):
    x = TABLES[name].astype(float)
    weights = np.random.RandomState(1).exponential(size=len(x)) if weighted else None
    density, edges = np.histogramdd(x, bins=5, density=True, weights=weights)
    histogram = Histogram(5).fit(x, sample_weight=weights)
    centres = np.array(list(itertools.product(*[(e[1:] + e[:-1]) / 2 for e in edges])))
    np.testing.assert_allclose(np.exp(histogram.score_samples(centres)), density.ravel(), rtol=1e-12)


def test_last_edge_is_closed_and_outside_is_minus_infinity():
    histogram = Histogram([0.0, 1.0, 2.0, 4.0]).fit([[0.0], [1.0], [4.0], [2.0]])
    query = [[-1e-9], [0.0], [1.0], [np.nextafter(2.0, 0)], [2.0], [4.0], [np.nextafter(4.0, 5)]]
    expected = [-np.inf, np.log(0.25), np.log(0.25), np.log(0.25), np.log(0.25), np.log(0.25), -np.inf]
    np.testing.assert_allclose(histogram.score_samples(query), expected, rtol=1e-15)


def test_empty_cell_between_occupied_ones_has_no_mass():
    histogram = Histogram(2).fit([[0.0, 0.0], [1.0, 1.0]])
    np.testing.assert_array_equal(histogram.score_samples([[0.2, 0.8], [0.8, 0.2]]), [-np.inf, -np.inf])
    np.testing.assert_allclose(histogram.score_samples([[0.2, 0.2]]), np.log(0.5 / 0.25), rtol=1e-15)


def test_samples_follow_the_density():
    histogram = Histogram((4, [-10.0, -0.5, 0.0, 10.0])).fit(TABLES["correlated"])
    n = 20_000
    sample = histogram.sample(n, random_state=1)
    observed = np.bincount(histogram._find(histogram._locate(sample)), minlength=len(histogram.mass_))
    assert stats.chisquare(observed, n * histogram.mass_).pvalue > 1e-3


def test_samples_are_uniform_inside_a_cell():
    sample = Histogram([0.0, 1.0, 5.0]).fit([[0.5], [3.0], [3.0]]).sample(5000, random_state=2)[:, 0]
    assert stats.kstest(sample[sample >= 1.0], stats.uniform(1.0, 4.0).cdf).pvalue > 1e-3
    assert stats.kstest(sample[sample < 1.0], stats.uniform(0.0, 1.0).cdf).pvalue > 1e-3


def test_samples_keep_shape_dtype_and_support(table, bins):
    histogram = Histogram(bins).fit(table)
    sample = histogram.sample(300, random_state=3)
    assert sample.shape == (300, table.shape[1])
    assert sample.dtype == table.dtype
    assert np.isfinite(histogram.score_samples(sample)).all()
    np.testing.assert_array_equal(sample, histogram.sample(300, random_state=3))
    edges = np.array([[e[0], e[-1]] for e in histogram.bin_edges_])
    assert (edges[:, 0] <= sample).all()
    assert (sample <= edges[:, 1]).all()


def test_integer_samples_reach_every_integer_of_the_last_bin():
    sample = Histogram([0, 2, 5]).fit(np.array([[0], [4], [4], [4]])).sample(4000, random_state=4)[:, 0]
    expected = 4000 * np.array([1 / 8, 1 / 8, 3 / 16, 3 / 16, 3 / 16, 3 / 16])
    assert stats.chisquare(np.bincount(sample, minlength=6), expected).pvalue > 1e-3


@pytest.mark.parametrize("given", [[0, 3, 9, 20], 6], ids=["edges", "count"])
def test_weights_are_repetitions(given):
    x = np.random.RandomState(5).uniform(0, 20, size=(60, 2))
    weights = np.random.RandomState(6).randint(0, 4, size=60)
    weighted = Histogram(given).fit(x, sample_weight=weights)
    repeated = Histogram(given).fit(np.repeat(x, weights, axis=0))
    np.testing.assert_allclose(weighted.score_samples(x), repeated.score_samples(x), rtol=1e-12)


@pytest.mark.parametrize("rule", NAMES)
def test_weights_have_no_unit_and_zero_means_absent(rule):
    weights = np.random.RandomState(7).exponential(size=len(GAUSS)) * (np.arange(len(GAUSS)) % 3 > 0)
    plain = Histogram(rule).fit(GAUSS, sample_weight=weights).score_samples(GAUSS)
    np.testing.assert_allclose(Histogram(rule).fit(GAUSS, sample_weight=1e-6 * weights).score_samples(GAUSS), plain)
    present = weights > 0
    removed = Histogram(rule).fit(GAUSS[present], sample_weight=weights[present])
    np.testing.assert_allclose(removed.score_samples(GAUSS), plain)
    equal = Histogram(rule).fit(GAUSS, sample_weight=np.full(len(GAUSS), 0.3)).score_samples(GAUSS)
    np.testing.assert_allclose(equal, Histogram(rule).fit(GAUSS).score_samples(GAUSS))


@pytest.mark.parametrize("rule", NAMES)
def test_rules_know_neither_unit_nor_origin(rule):
    shifted = Histogram(rule).fit(GAUSS * 1024.0 - 4096.0)
    expected = Histogram(rule).fit(GAUSS).score_samples(GAUSS) - np.log(1024.0)
    np.testing.assert_allclose(shifted.score_samples(GAUSS * 1024.0 - 4096.0), expected, rtol=1e-9)


@pytest.mark.parametrize("name", ["gauss", "skewed", "mostly_tied", "integers"])
def test_birge_rozenholc_is_the_best_penalised_likelihood(name):
    x = TABLES[name][:, 0].astype(float)
    u, n = (x - x.min()) / np.ptp(x), len(x)

    def penalised(count):
        inside = np.histogram(u, count, (0.0, 1.0))[0]
        likelihood = stats.multinomial.logpmf(inside, n, inside / n) - stats.multinomial.logpmf(
            inside, n, [1 / count] * count
        )
        return likelihood - (count - 1) - np.log(count) ** 2.5

    expected = max(range(1, int(n / np.log(n)) + 1), key=penalised)
    assert RULES["birge-rozenholc"](u, np.ones(n), n, 1) == expected


def test_birge_rozenholc_of_many_bins_is_better_than_all_near_it_and_all_of_few():
    rng = np.random.RandomState(11)
    heights = np.repeat(rng.dirichlet(np.ones(150)), 9) * np.tile(np.repeat([0.02, 0.2], [4, 5]), 150)
    u = np.sort((rng.choice(1350, 40_000, p=heights / heights.sum()) + rng.uniform(size=40_000)) / 1350)
    found = int(RULES["birge-rozenholc"](u, np.ones(40_000), 40_000, 1))
    assert 512 < found <= 40_000 / np.log(40_000)
    others = [*range(1, 513), *range(int(0.99 * found), int(1.01 * found))]
    assert _penalised(u, np.arange(40_001.0), found) == max(_penalised(u, np.arange(40_001.0), k) for k in others)


def fitness(x, w, edges, p0=0.05):
    inside = np.histogram(x, edges, weights=w)[0]
    return sum(m * np.log(m / t) for m, t in zip(inside, np.diff(edges))) - len(inside) * (
        4 - np.log(73.53 * p0 * w.sum() ** -0.478)
    )


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("p0", [0.05, 1.0])
def test_bayesian_blocks_are_the_best_of_all_partitions(seed, p0):
    rng = np.random.RandomState(seed)
    x = np.sort(np.r_[rng.normal(0.0, 1.0, 7), rng.normal(6.0, 0.05, 6)])
    w = rng.exponential(4.0, len(x))
    places = np.r_[x[0], (x[1:] + x[:-1]) / 2, x[-1]]
    inner = range(1, len(places) - 1)
    all_of_them = (places[[0, *some, -1]] for k in range(len(x)) for some in itertools.combinations(inner, k))
    best = max(all_of_them, key=lambda edges: fitness(x, w, edges, p0))
    np.testing.assert_allclose(bayesian_blocks(x, w, p0=p0), best, rtol=1e-12)


def test_bayesian_blocks_of_many_values_end_where_the_density_does(monkeypatch):
    monkeypatch.setattr(blocks, "MOST", 200)
    x = np.random.RandomState(12).uniform(0, 1, 3000) ** 0.5
    x = np.r_[x, 1 + 4 * np.random.RandomState(13).uniform(size=1000)]
    edges = bayesian_blocks(x, np.ones(4000))
    assert np.abs(edges - 1.0).min() < 0.01
    assert (edges[0], edges[-1]) == (x.min(), x.max())
    assert 3 <= len(edges) <= 20


def test_bayesian_blocks_of_many_values_that_cannot_be_told_apart(monkeypatch):
    monkeypatch.setattr(blocks, "MOST", 20)
    x = np.r_[np.linspace(0.0, 1.0, 100), np.nextafter(1.0, 2.0)]
    np.testing.assert_array_equal(bayesian_blocks(x, np.ones(101))[[0, -1]], [0.0, x[-1]])


def test_many_columns_widen_the_bins():
    x = np.random.RandomState(8).normal(size=1000)
    width = np.subtract(*np.percentile(x, [75, 25])) * 2 * 1000 ** (-1 / 6)
    assert len(bin_edges("fd", x, np.ones(1000), d=4)) - 1 == np.ceil(np.ptp(x) / width)


def test_an_outlier_costs_no_memory_and_no_accuracy():
    x = TABLES["outlier"]
    n_bins = len(np.histogram_bin_edges(x[:1000], "fd")) - 1
    width = 2 * np.subtract(*np.percentile(x, [75, 25])) * len(x) ** (-1 / 3)
    histogram = Histogram("fd").fit(x)
    assert np.ptp(x) / width > 100 * MANY_BINS
    assert len(histogram.bin_edges_[0]) < 4 * n_bins + 10
    index = np.floor((x[:, 0] - x.min()) / (np.ptp(x) / np.ceil(np.ptp(x) / width)))[:1000]
    counts = (index[:, None] == index).sum(axis=1)
    np.testing.assert_allclose(histogram.score_samples(x[:1000]), np.log(counts / len(x) / width), atol=1e-4)


def test_merging_empty_bins_leaves_the_density():
    x = np.random.RandomState(9).normal(size=(50, 1))
    density, edges = np.histogram(x, bins=200_000, density=True)
    histogram = Histogram(200_000).fit(x)
    assert len(histogram.bin_edges_[0]) <= 4 * 50 + 2
    query = np.random.RandomState(10).choice((edges[1:] + edges[:-1]) / 2, 5000)
    query = np.r_[query, x[:, 0]]
    expected = density[(np.searchsorted(edges, query, side="right") - 1).clip(max=len(density) - 1)]
    np.testing.assert_allclose(np.exp(histogram.score_samples(query[:, None])), expected, rtol=1e-9)


def test_a_constant_column_is_a_unit_bin():
    np.testing.assert_allclose(Histogram().fit([[7.0]] * 3).score_samples([[6.6], [7.4], [7.6]]), [0.0, 0.0, -np.inf])


def test_score_is_the_mean_of_score_samples():
    histogram = Histogram().fit(GAUSS)
    assert histogram.score(GAUSS) == pytest.approx(np.mean(histogram.score_samples(GAUSS)), rel=1e-15)
    assert isinstance(histogram.score(GAUSS), float)


def test_beats_its_own_data_range_on_held_out_gaussian():
    rng = np.random.RandomState(11)
    held_out = rng.normal(size=(4000, 1))
    histogram = Histogram().fit(rng.normal(size=(20_000, 1)))
    scores = histogram.score_samples(held_out)
    entropy = 0.5 * np.log(2 * np.pi * np.e)
    assert np.isfinite(scores).mean() > 0.995
    assert -entropy - 0.05 < scores[np.isfinite(scores)].mean() < -entropy + 0.05


@pytest.mark.parametrize("given", [np.array([0.0, 1.0, 30.0]), ("fd", 3), [0, 50]], ids=["array", "tuple", "list"])
def test_clone_keeps_bins_and_fits_alike(given):
    x = np.random.RandomState(12).uniform(0, 20, size=(40, 2))
    first, second = Histogram(given), clone(Histogram(given))
    np.testing.assert_array_equal(first.fit(x).score_samples(x), second.fit(x).score_samples(x))


BAD_FITS = {
    "empty": (Histogram(), np.empty((0, 2)), None, "0 sample"),
    "one axis": (Histogram(), [1.0, 2.0], None, "Reshape your data"),
    "nan": (Histogram(), [[1.0], [np.nan]], None, "NaN at row 1, column 0"),
    "inf": (Histogram(), [[1.0], [np.inf]], None, "infinity"),
    "strings": (Histogram(), [["a"], ["b"]], None, "column 0 holds no numbers, but 'a'"),
    "too wide": (Histogram(), [[-1.7e308], [1.7e308]], None, "divide them by a constant"),
    "negative weight": (Histogram(), [[1.0], [2.0]], [1.0, -2.0], "smallest is -2"),
    "zero weights": (Histogram(), [[1.0], [2.0]], [0.0, 0.0], "all are zero"),
    "nan weight": (Histogram(), [[1.0], [2.0]], [0.0, np.nan], "NaN at row 1"),
    "weights of another length": (Histogram(), [[1.0], [2.0]], [1.0], r"\(2,\); got shape \(1,\)"),
    "weights of text": (Histogram(), [[1.0], [2.0]], ["a", "b"], "numbers"),
    "no such rule": (Histogram("fdd"), [[1.0], [2.0]], None, "got 'fdd'; did you mean 'fd'"),
    "a pair of numbers": (Histogram({1: 2}), [[1.0], [2.0]], None, "list of edges.*got {1: 2}"),
    "no bins": (Histogram(0), [[1.0], [2.0]], None, "at least 1.*got 0"),
    "boolean": (Histogram(True), [[1.0], [2.0]], None, "got True"),
    "falling edges": (Histogram([1.0, 0.0]), [[0.5]], None, "increasing"),
    "an array of falling edges": (Histogram(np.linspace(1, 0, 40)), [[0.5]], None, "increasing"),
    "nested edges": (Histogram([[0.0, 1.0], [1.0]]), [[0.5]], None, "tuple"),
    "rows outside": (Histogram([0.0, 1.0]), [[0.5], [3.0]], None, r"1 of 2 lie outside \[0, 1\].*\[0.5, 3\]"),
    "two rules for one column": (Histogram((3, 4)), [[0.5]], None, "each of the 1 columns; got 2"),
}


@pytest.mark.parametrize("case", list(BAD_FITS))
def test_bad_input_is_refused_in_one_line(case):
    histogram, X, weights, message = BAD_FITS[case]
    with pytest.raises(InputError, match=message) as caught:
        histogram.fit(X, sample_weight=weights)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", True])
def test_bad_number_of_samples_is_refused(n_samples):
    with pytest.raises(InputError, match="n_samples must be a positive integer"):
        Histogram().fit(GAUSS).sample(n_samples)


def test_other_number_of_features_is_refused():
    with pytest.raises(InputError, match="X has 2 features, but Histogram is expecting 1"):
        Histogram().fit(GAUSS).score_samples(np.zeros((3, 2)))


def test_the_face_cannot_be_made_without_its_methods():
    with pytest.raises(TypeError, match="abstract"):
        DensityEstimator()


def test_the_room_needs_no_torch_pandas_or_matplotlib():
    script = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "pandas", "matplotlib"):
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
from latens.density import Histogram
histogram = Histogram().fit([[0.0], [1.0], [3.0]])
print(histogram.sample(2, random_state=0).shape, histogram.score([[1.0]]) < 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("(2, 1) True\n", 0), done.stderr


CHUNKED = ["gauss", "correlated", "integers", "three", "outlier", "uint8", "float32"]


@pytest.mark.parametrize("name", CHUNKED)
@pytest.mark.parametrize("weighted", [False, True], ids=["equal", "weighted"])
def test_parts_count_as_the_whole(name, weighted):
    x = TABLES[name]
    weights = np.random.RandomState(14).exponential(size=len(x)) if weighted else np.ones(len(x))
    edges = tuple(np.linspace(c.min(), c.max(), 6) for c in x.astype(float).T)
    whole, parts = Histogram(edges).fit(x, sample_weight=weights), Histogram(edges)
    for rows in np.array_split(np.arange(len(x)), 7):
        parts.partial_fit(x[rows], sample_weight=weights[rows])
    np.testing.assert_array_equal(parts.cells_, whole.cells_)
    np.testing.assert_allclose(parts.log_density_, whole.log_density_, rtol=1e-12)
    np.testing.assert_allclose(parts.weight_.sum(), weights.sum(), rtol=1e-12)


def test_bins_are_added_where_later_rows_lie_outside():
    histogram = Histogram(4).fit([[0.0], [4.0]]).partial_fit([[-1.5], [2.0], [6.0], [6.2]])
    np.testing.assert_allclose(histogram.bin_edges_[0], np.arange(-2.0, 8.0))
    query = [[-1.9], [-0.5], [0.5], [2.5], [3.5], [4.5], [6.9]]
    expected = np.array([1, 0, 1, 1, 1, 0, 2]) / 6  # 4 was counted into the last bin of its time
    np.testing.assert_allclose(np.exp(histogram.score_samples(query)), expected, rtol=1e-12)


def test_a_far_row_adds_few_bins():
    histogram = Histogram(10).fit(GAUSS).partial_fit([[1e12], [-1e15]])
    assert len(histogram.bin_edges_[0]) < 30
    assert (np.diff(histogram.bin_edges_[0]) > 0).all()
    np.testing.assert_allclose(histogram.mass_.sum(), 1.0)
    assert np.isfinite(histogram.score_samples([[1e12], [-1e15], [3.0]])).all()
    width = np.ptp(GAUSS) / 10
    np.testing.assert_allclose(histogram.score_samples([[1e12]]), -np.log(502 * width), rtol=1e-3)


def test_many_parts_take_no_more_memory_than_few():
    rng = np.random.RandomState(15)
    histogram = Histogram(50)
    for _ in range(40):
        histogram.partial_fit(rng.normal(size=(5000, 1)))
    assert histogram.weight_.sum() == 200_000
    assert len(histogram.mass_) < 150
    assert stats.kstest(histogram.sample(2000, random_state=0)[:, 0], "norm").pvalue > 1e-3


def test_a_part_outside_given_edges_is_refused_and_changes_nothing():
    histogram = Histogram([0.0, 1.0, 2.0]).fit([[0.5], [1.5]])
    before = histogram.log_density_.copy()
    with pytest.raises(InputError, match="1 of 2 lie outside"):
        histogram.partial_fit([[1.0], [2.5]])
    np.testing.assert_array_equal(histogram.log_density_, before)
    assert histogram.weight_.sum() == 2


def test_bins_of_equal_width_are_found_as_by_searching():
    """At edges and beside them, near and far from zero, and outside."""
    rng = np.random.RandomState(3)
    for _ in range(300):
        low, width = rng.normal() * 10 ** rng.uniform(-6, 6), 10 ** rng.uniform(-3, 6)
        edges = np.linspace(low, low + width, rng.randint(2, 400))
        beside = [np.nextafter(edges, -np.inf), np.nextafter(edges, np.inf)]
        x = np.concatenate([rng.uniform(low - width, low + 2 * width, 50), edges, *beside, [1e300, -1e300]])
        found = np.searchsorted(edges, x, side="right") - 1
        found[x == edges[-1]] = len(edges) - 2
        found[x > edges[-1]] = -1
        np.testing.assert_array_equal(_bin_of(edges, x), found)
