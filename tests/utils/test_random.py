import hashlib

import numpy as np
import pytest
from scipy import stats

from latens.utils import row_streams


def draws(X, seed=0, count=4):
    return np.array([stream.standard_normal(count) for stream in row_streams(X, seed)]).reshape(-1, count)


@pytest.fixture
def X():
    return np.random.default_rng(0).standard_normal((200, 5))


def test_the_order_of_rows_does_not_matter(X):
    order = np.random.default_rng(1).permutation(len(X))
    np.testing.assert_array_equal(draws(X[order]), draws(X)[order])


def test_the_key_is_that_of_the_row_and_the_seed(X):
    digest = hashlib.blake2b(X[3].astype(np.float32).tobytes(), digest_size=16, key=(7).to_bytes(16, "little")).digest()
    slow = np.random.Generator(np.random.Philox(key=np.frombuffer(digest, np.uint64)))
    np.testing.assert_array_equal(draws(X, seed=7, count=50)[3], slow.standard_normal(50))


def test_subsets_and_batches_do_not_matter(X):
    whole = draws(X)
    np.testing.assert_array_equal(draws(X[[3, 77]]), whole[[3, 77]])
    np.testing.assert_array_equal(np.concatenate([draws(X[i : i + 7]) for i in range(0, 200, 7)]), whole)


def test_memory_layout_does_not_matter(X):
    np.testing.assert_array_equal(draws(np.asfortranarray(X)), draws(X))
    np.testing.assert_array_equal(draws(np.repeat(X, 2, axis=0)[::2]), draws(X))


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64, ">f8"])
def test_the_type_of_the_same_numbers_does_not_matter(dtype):
    X = np.random.default_rng(0).integers(0, 256, (20, 3, 4))
    np.testing.assert_array_equal(draws(X.astype(dtype)), draws(X))


def test_zeros_and_missing_values_have_one_form():
    other_nan = np.array([np.uint64(0x7FF8000000000123)]).view(np.float64)[0]
    np.testing.assert_array_equal(draws(np.array([[-0.0, other_nan]])), draws(np.array([[0.0, np.nan]])))


def test_another_seed_or_row_gives_other_noise(X):
    assert not np.any(draws(X, 0) == draws(X, 1))
    assert not np.any(draws(X, 0) == draws(X, -1))
    assert len(np.unique(draws(X)[:, 0])) == len(X)
    near = X.copy()
    near[:, 4] += 1e-3
    assert not np.any(draws(near) == draws(X))


def test_streams_of_neighbouring_rows_are_independent_and_normal():
    X = np.arange(2000.0)[:, None]
    noise = draws(X, count=20)
    assert stats.kstest(noise.ravel(), "norm").pvalue > 1e-3
    pairs = {
        "within a row": (noise[:, :-1], noise[:, 1:]),
        "between rows": (noise[:-1], noise[1:]),
        "between seeds": (noise, draws(X, seed=1, count=20)),
        "with the row": (noise[:, :1], X),
    }
    for name, (a, b) in pairs.items():
        correlation = np.corrcoef(a.ravel(), b.ravel())[0, 1]
        assert abs(correlation) < 4 / np.sqrt(a.size), name
