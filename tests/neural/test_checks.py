"""Settings of the wrong kind are refused in one line before anything is built."""

import inspect

import numpy as np
import pytest
import torch

from latens import VAE, AutoEncoder
from latens.distributions import Normal
from latens.neural.checks import check_settings
from latens.objectives import ELBO
from latens.utils.errors import InputError

X = np.random.default_rng(0).normal(size=(40, 3))

WRONG = {
    "latents": [-1, 0, 1.5, "3", True],
    "posterior": [None, "Normal", 3],
    "likelihood": ["Bernoulli", Normal, ELBO()],
    "prior": ["StandardNormal", 3],
    "objective": ["ELBO", ELBO, 4.0],
    "encoder": ["MLP", (64,), Normal()],
    "decoder": [3],
    "condition": ["z", True, 1],
    "epochs": [0, -1, 1.5, "3"],
    "batch_size": [0, -5, 1.5, "8"],
    "learning_rate": [-1, 0, "a", float("nan"), float("inf")],
    "weight_decay": [-1, "a", None],
    "clip": [-1, 0, "a"],
    "ema": [1.0, -1, "x", None],
    "patience": [-1, 1.5, "a"],
    "validation_fraction": [1, 2, -0.1, "a", None],
    "precision": ["fp8", None],
    "device": [3, "gpu", "meta"],
    "random_state": [-1, 2**63, "a", 1.5],
    "score_samples_k": [0, -1, 1.5, "a", None],
}
CASES = [(name, value) for name, values in WRONG.items() for value in values]


@pytest.mark.parametrize(("name", "value"), CASES, ids=[f"{n}={v!r}"[:40] for n, v in CASES])
def test_refused_by_name(name: str, value: object) -> None:
    word = {"random_state": "seed"}.get(name, name)
    with pytest.raises(InputError, match=word) as caught:
        VAE(**{"epochs": 1, name: value}).fit(X, np.zeros(len(X)))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", [VAE, AutoEncoder])
def test_every_setting_is_looked_at(kind: type) -> None:
    free = {"random_state", "verbose"}
    for name in set(inspect.signature(kind).parameters) - free:
        with pytest.raises(InputError, match=f"^--{name} "):
            check_settings({name: object()}, lambda name: "--" + name)


@pytest.mark.parametrize("kind", [VAE, AutoEncoder])
def test_defaults_pass(kind: type) -> None:
    check_settings(kind().get_params(deep=False))


def test_tensors_are_arrays() -> None:
    rows = torch.from_numpy(X).float()
    expected = VAE(epochs=1, random_state=0).fit(rows.numpy()).score_samples(rows.numpy())
    fitted = VAE(epochs=1, random_state=0).fit(rows.requires_grad_())
    assert np.array_equal(fitted.score_samples(rows), expected)


def test_ragged_rows_and_no_points_are_refused() -> None:
    with pytest.raises(InputError, match="differ in length"):
        VAE(epochs=1).fit([[1.0, 2.0], [3.0]])
    fitted = VAE(epochs=1, random_state=0).fit(X)
    with pytest.raises(InputError, match="at least one latent point"):
        fitted.inverse_transform(fitted.transform(X)[:0])


@pytest.mark.parametrize("factor", [1e-300, 1e-30, 1e30, 1e140])
def test_scores_follow_the_unit_of_the_data(factor: float) -> None:
    plain = VAE(epochs=2, random_state=0).fit(X)
    scaled = VAE(epochs=2, random_state=0).fit(X * factor)
    shift = -X.shape[1] * np.log(factor)
    assert scaled.score_samples(X * factor) == pytest.approx(plain.score_samples(X) + shift, abs=0.3)
    assert scaled.sample(50) / factor == pytest.approx(plain.sample(50), rel=1e-3)


def test_numbers_whose_squares_overflow_are_refused() -> None:
    with pytest.raises(InputError, match="Divide the data"):
        VAE(epochs=1).fit(X * 1e300)


@pytest.mark.filterwarnings("ignore::latens.neural.PosteriorCollapse")
def test_labels_of_a_condition_are_complete_and_named_briefly() -> None:
    with pytest.raises(InputError, match="3 are NaN"):
        VAE(epochs=1, condition="y").fit(X, np.r_[np.zeros(len(X) - 3), [np.nan] * 3])
    fitted = VAE(epochs=1, condition="y", random_state=0).fit(X, np.arange(len(X)))
    with pytest.raises(InputError, match="and 20 more"):
        fitted.sample(2)
