import numpy as np
import pytest
from scipy import linalg

from latens.metrics import samples
from latens.metrics.samples import density_coverage, frechet_distance, precision_recall, sample_quality
from latens.utils.errors import InputError

RNG = np.random.default_rng(0)
CLOUDS = {
    "same law": (RNG.normal(size=(60, 3)), RNG.normal(size=(50, 3))),
    "shifted": (RNG.normal(size=(40, 2)), RNG.normal(1.0, 0.5, size=(70, 2))),
    "far from the origin": (1e6 + RNG.normal(size=(40, 2)), 1e6 + RNG.normal(size=(30, 2))),
    "wide": (RNG.normal(size=(20, 100)), RNG.normal(size=(30, 100))),
    "one column": (RNG.normal(size=(50, 1)), RNG.normal(size=(50, 1))),
    "integers with ties": (RNG.integers(0, 4, size=(60, 2)), RNG.integers(0, 5, size=(50, 2))),
    "duplicates": (np.repeat(RNG.normal(size=(8, 3)), 8, axis=0),) * 2,
    "huge": (1e200 * RNG.normal(size=(30, 2)), 1e200 * RNG.normal(size=(30, 2))),
    "outlier": (RNG.normal(size=(40, 2)), np.vstack([RNG.normal(size=(40, 2)), [[1e9, 0.0]]])),
}


def distance(a, b):
    return float(np.hypot.reduce(a - b))


def slow_radius(cloud, k):
    return [sorted(distance(a, b) for j, b in enumerate(cloud) if j != i)[k - 1] for i, a in enumerate(cloud)]


def slow_quality(real, fake, k):
    """The definitions, one pair at a time."""
    real, fake = np.asarray(real, float), np.asarray(fake, float)
    real_radius, fake_radius = slow_radius(real, k), slow_radius(fake, k)
    near = [[distance(f, r) for r in real] for f in fake]
    real_ball = [[near[j][i] <= real_radius[i] for i in range(len(real))] for j in range(len(fake))]
    fake_ball = [[near[j][i] <= fake_radius[j] for i in range(len(real))] for j in range(len(fake))]
    precision = sum(any(row) for row in real_ball) / len(fake)
    recall = sum(any(column) for column in zip(*fake_ball)) / len(real)
    density = sum(map(sum, real_ball)) / (k * len(fake))
    coverage = sum(any(column) for column in zip(*real_ball)) / len(real)
    return precision, recall, density, coverage


@pytest.mark.parametrize("name", list(CLOUDS))
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("block", [1 << 22, 100], ids=["one block", "blocks"])
def test_equals_the_double_loop(name, k, block, monkeypatch):
    monkeypatch.setattr(samples, "_BLOCK_ENTRIES", block)
    real, fake = CLOUDS[name]
    np.testing.assert_allclose(sample_quality(real, fake, k), slow_quality(real, fake, k), rtol=1e-12)


def test_pairs_are_those_of_the_four():
    real, fake = CLOUDS["same law"]
    assert precision_recall(real, fake) == sample_quality(real, fake, 3)[:2]
    assert density_coverage(real, fake) == sample_quality(real, fake, 5)[2:]


def test_precision_and_recall_swap_with_their_arguments():
    real, fake = CLOUDS["shifted"]
    assert precision_recall(real, fake) == precision_recall(fake, real)[::-1]


def test_a_copy_is_perfect():
    real = RNG.normal(size=(200, 7))
    quality = sample_quality(real, real.copy())
    assert quality == (1.0, 1.0, pytest.approx(6 / 5), 1.0)  # each point, and the k neighbours of each ball


def test_expected_density_and_coverage_of_equal_laws():
    n, k = 2000, 5
    quality = sample_quality(RNG.normal(size=(n, 2)), RNG.normal(size=(n, 2)), k)
    expected = 1 - np.prod([(n - 1 - i) / (2 * n - 1 - i) for i in range(k)])
    assert quality.coverage == pytest.approx(expected, abs=0.02)
    assert quality.density == pytest.approx(1.0, abs=0.05)


def test_collapse_costs_variety_and_noise_costs_fidelity():
    real = RNG.normal(size=(500, 2))
    collapsed = sample_quality(real, 0.05 * RNG.normal(size=(500, 2)))
    noisy = sample_quality(real, 10.0 * RNG.normal(size=(500, 2)))
    assert collapsed.precision > 0.99
    assert collapsed.recall < 0.05
    assert collapsed.coverage < 0.2
    assert noisy.precision < 0.3
    assert noisy.density < 0.3


def test_a_fake_outlier_buys_recall_but_not_coverage():
    real, fake = RNG.normal(size=(200, 2)), np.vstack([np.zeros((50, 2)), [[1e3, 0.0]]])
    quality = sample_quality(real, fake, k=1)
    assert quality.recall > 0.4
    assert quality.coverage < 0.05


def moments(n, mean, root):
    """n rows with exactly this mean and covariance root root^T."""
    white = np.linalg.qr(np.column_stack([np.ones(n), RNG.normal(size=(n, len(mean)))]))[0][:, 1:]
    return white * np.sqrt(n - 1) @ root.T + mean


def test_frechet_equals_the_closed_form_of_gaussians():
    d = 6
    means, roots = RNG.normal(size=(2, d)), RNG.normal(size=(2, d, d))
    covariances = [root @ root.T for root in roots]
    cross = linalg.sqrtm(covariances[0] @ covariances[1])
    expected = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * cross.real)
    got = frechet_distance(moments(50, means[0], roots[0]), moments(80, means[1], roots[1]))
    assert got == pytest.approx(expected, rel=1e-9)


def test_frechet_of_commuting_covariances_is_the_distance_of_deviations():
    first, second = np.array([1.0, 2.0, 0.0]), np.array([3.0, 0.5, 1.0])
    got = frechet_distance(moments(20, np.zeros(3), np.diag(first)), moments(30, np.ones(3), np.diag(second)))
    assert got == pytest.approx(3 + ((first - second) ** 2).sum(), rel=1e-12)


def test_frechet_in_one_dimension():
    real, fake = RNG.normal(size=(100, 1)), 3 + 2 * RNG.normal(size=(80, 1))
    expected = (real.mean() - fake.mean()) ** 2 + (real.std(ddof=1) - fake.std(ddof=1)) ** 2
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-12)


def test_frechet_with_fewer_rows_than_columns():
    real, fake = RNG.normal(size=(5, 40)), RNG.normal(size=(7, 40))
    covariances = [np.cov(x, rowvar=False) for x in (real, fake)]
    values, vectors = np.linalg.eigh(covariances[0])
    root = vectors * np.sqrt(values.clip(min=0)) @ vectors.T
    cross = np.sqrt(np.linalg.eigvalsh(root @ covariances[1] @ root).clip(min=0)).sum()
    gap = ((real.mean(axis=0) - fake.mean(axis=0)) ** 2).sum()
    expected = gap + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * cross
    assert frechet_distance(real, fake) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_a_cloud_to_itself_is_zero_and_it_is_symmetric():
    real, fake = CLOUDS["same law"]
    assert 0 <= frechet_distance(real, real) < 1e-13
    assert frechet_distance(real, fake) == pytest.approx(frechet_distance(fake, real), rel=1e-12)


@pytest.mark.parametrize("unit", [1e-120, 1e3, 1e150])
def test_frechet_has_the_squared_unit_and_no_origin(unit):
    real, fake = CLOUDS["shifted"]
    expected = frechet_distance(real, fake) * unit * unit
    assert frechet_distance(unit * (real + 5), unit * (fake + 5)) == pytest.approx(expected, rel=1e-9, abs=0)


GOOD = np.arange(12.0).reshape(6, 2)
BAD = {
    "images": (np.zeros((6, 2, 2)), GOOD, r"real expects features .* \(6, 2, 2\)"),
    "no columns": (GOOD, np.zeros((6, 0)), r"fake expects features .* \(6, 0\)"),
    "columns differ": (GOOD, np.zeros((6, 3)), "got 2 and 3"),
    "too few rows": (GOOD, GOOD[:1], "fake expects more than . rows; got 1"),
    "nan": (np.where(GOOD == 3, np.nan, GOOD), GOOD, "real holds NaN at row 1, column 1"),
    "text": (GOOD, [["a", "b"]] * 6, "fake expects numbers"),
}


@pytest.mark.parametrize("case", list(BAD))
@pytest.mark.parametrize("metric", [sample_quality, precision_recall, density_coverage, frechet_distance])
def test_bad_input_is_refused_in_one_line(case, metric):
    real, fake, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        metric(real, fake)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("k", [0, -1, 2.0, True, "3"])
def test_bad_neighbour_is_refused(k):
    with pytest.raises(InputError, match="k must be a positive integer"):
        sample_quality(GOOD, GOOD, k)


def test_neighbour_beyond_the_rows_is_refused():
    with pytest.raises(InputError, match="real expects more than 6 rows; got 6"):
        sample_quality(GOOD, GOOD, 6)
