"""A fitted estimator as a file: what is read back is, to the bit, what was written."""

import json

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import latens
from latens import VAE, AutoEncoder, Histogram
from latens.distributions import Bernoulli, Categorical, Laplace, MixtureOf, NegativeBinomial, Normal
from latens.models import (
    AutoregressiveCodes,
    Conditional,
    ConvLadder,
    FiniteScalar,
    Free,
    GumbelSoftmax,
    Ladder,
    VectorQuantised,
    draw,
)
from latens.nn import MLP, Conv
from latens.objectives import Commitment, Distortion, Rate
from latens.training import Linear
from latens.utils.errors import InputError
from latens.utils.storage import load_tensors, save_tensors

pytestmark = pytest.mark.filterwarnings("ignore:posterior collapse")  # of two epochs
DIGITS, LABELS = load_digits(return_X_y=True)
IMAGES = DIGITS.reshape(-1, 8, 8)
RNG = np.random.default_rng(0)
TABLE = RNG.normal(size=(200, 4)) @ RNG.normal(size=(4, 4)) * [1000.0, 1.0, 0.001, 5.0]
COUNTS = RNG.negative_binomial(2, 0.05, size=(200, 4)) * RNG.integers(1, 4, size=(200, 1))
FEW = {"epochs": 2, "random_state": 3}
SMALL = {"latents": 2, "epochs": 2, "encoder": MLP((8,)), "decoder": MLP((8,)), "random_state": 3}

COMMITTED = Distortion() + Commitment()

FITS = {
    "table": lambda: VAE(**SMALL).fit(TABLE),
    "optimal scale": lambda: VAE(likelihood=Normal("optimal"), **SMALL).fit(TABLE),
    "counts": lambda: VAE(likelihood=NegativeBinomial(), **SMALL).fit(COUNTS),
    "bits": lambda: VAE(likelihood=Bernoulli(), **SMALL).fit((IMAGES > 7).astype(np.uint8)),
    "levels": lambda: VAE(**SMALL).fit(IMAGES),
    "convolution": lambda: VAE(**SMALL | {"encoder": Conv((4,)), "decoder": Conv((4,))}).fit(IMAGES),
    "conditional": lambda: VAE(condition="y", **SMALL).fit(IMAGES, LABELS),
    "learned prior": lambda: VAE(
        prior=Free(Normal("element")),
        posterior=Conditional(Laplace("element"), MLP((4,))),
        objective=Distortion() + Linear(0.0, 1.0) * Rate(),
        likelihood=Laplace("shared"),
        **SMALL,
    ).fit(TABLE),
    "mixture prior": lambda: VAE(prior=Free(MixtureOf(Normal("element"), 3, over="event")), **SMALL).fit(TABLE),
    "codes": lambda: VAE(posterior=GumbelSoftmax(4), prior=Free(Categorical(4)), **SMALL).fit(TABLE),
    "codebooks": lambda: VAE(posterior=VectorQuantised(4, 2, stages=2), objective=COMMITTED, **SMALL).fit(TABLE),
    "levels of latents": lambda: VAE(posterior=FiniteScalar((3, 2)), prior=AutoregressiveCodes(MLP((4,))), **SMALL).fit(
        TABLE
    ),
    "autoencoder": lambda: AutoEncoder(**SMALL).fit(TABLE),
    "autoencoder with a prior": lambda: AutoEncoder(**SMALL).fit(IMAGES).fit_prior(Histogram(bins=5), IMAGES),
    "ladder": lambda: VAE(hierarchy=Ladder((2, 1), width=8), **FEW).fit(TABLE),
    "conditional ladder of images": lambda: VAE(hierarchy=ConvLadder((1, 2), (4, 4)), condition="y", **FEW).fit(
        IMAGES[:300], LABELS[:300]
    ),
    "random state object": lambda: VAE(**SMALL | {"random_state": np.random.RandomState(4)}).fit(TABLE),
}


def data_of(estimator):
    shape, name = estimator.schema_.shape, estimator.settings_["likelihood"]
    if shape == (4,):
        return COUNTS if isinstance(name, NegativeBinomial) else TABLE
    return (IMAGES > 7).astype(np.uint8) if isinstance(name, Bernoulli) else IMAGES


@pytest.fixture(scope="module", params=FITS)
def pair(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("saved") / "model.latens"
    fitted = FITS[request.param]()
    fitted.save(path)
    return fitted, latens.load(path)


def test_everything_is_read_back_to_the_bit(pair):
    fitted, again = pair
    X = data_of(fitted)[:10]
    y = {"y": LABELS[:10]} if fitted.condition else {}
    np.testing.assert_array_equal(fitted.transform(X, **y), again.transform(X, **y))
    np.testing.assert_array_equal(fitted.reconstruct(X, **y), again.reconstruct(X, **y))
    if isinstance(fitted, VAE):
        np.testing.assert_array_equal(fitted.score_samples(X, **y), again.score_samples(X, **y))
    if isinstance(fitted, VAE) or hasattr(fitted, "prior_"):
        digit = {"y": 3} if y else {}
        np.testing.assert_array_equal(fitted.sample(20, **digit), again.sample(20, **digit))


def test_what_was_learned_about_the_data_is_read_back(pair):
    fitted, again = pair
    assert again.history_ == fitted.history_
    assert again.schema_ == fitted.schema_
    assert again.settings_ == fitted.settings_
    assert again.reasons_ == fitted.reasons_
    assert again.condition_ == fitted.condition_
    assert (again.n_iter_, again.seed_) == (fitted.n_iter_, fitted.seed_)
    assert again.active_units_ == fitted.active_units_
    assert getattr(again, "n_features_in_", None) == getattr(fitted, "n_features_in_", None)
    same = {name: value for name, value in fitted.get_params(deep=False).items() if name != "random_state"}
    assert same.items() <= again.get_params(deep=False).items()


def test_saving_again_writes_the_same(pair, tmp_path):
    fitted, again = pair
    fitted.save(tmp_path / "a")
    again.save(tmp_path / "b")
    (a, text_a), (b, text_b) = load_tensors(tmp_path / "a"), load_tensors(tmp_path / "b")
    assert text_a == text_b
    assert a.keys() == b.keys()
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_loaded_model_can_be_trained_on(pair):
    """Scoring first, without gradients, must leave nothing behind that gradients cannot pass."""
    fitted, again = pair
    X = data_of(fitted)[:5]
    y = {"y": LABELS[:5]} if fitted.condition else {}
    again.reconstruct(X, **y)
    x = again.units_(torch.from_numpy(np.asarray(X)))
    context = torch.from_numpy(again.condition_.encode(LABELS[:5], 5)) if fitted.condition else None
    d = draw(again.model_, x, context=context)
    loss = d.log_likelihood.sum()
    if all(latent.q.has_density for latent in d.latents):
        loss = loss + d.log_prior.sum() - d.log_posterior.sum()
    loss.backward()
    assert all(p.grad is not None for p in again.model_.parameters())


class Own(nn.Module):
    def __init__(self, ins, outs):
        super().__init__()
        self.norm, self.linear = nn.BatchNorm1d(ins), nn.Linear(ins, outs)

    def forward(self, x):
        return self.linear(self.norm(x.flatten(1)))


def test_a_module_of_ones_own_is_copied_and_supplied_again(tmp_path):
    own = Own(4, 4)
    before = {name: t.clone() for name, t in own.state_dict().items()}
    vae = VAE(**SMALL | {"encoder": own}).fit(TABLE)
    assert vae.encoder is own
    assert own.training
    assert all(torch.equal(before[name], t) for name, t in own.state_dict().items())
    assert not torch.equal(vae.model_.posterior.network.linear.weight, own.linear.weight)
    vae.save(tmp_path / "own")
    with pytest.raises(InputError, match=r"a part of your own as encoder; supply it again: load\(path, encoder="):
        latens.load(tmp_path / "own")
    again = latens.load(tmp_path / "own", encoder=Own(4, 4))
    np.testing.assert_array_equal(vae.score_samples(TABLE[:9]), again.score_samples(TABLE[:9]))
    with pytest.raises(InputError, match=r"must return 4 numbers an example, \(4,\); it returns \(3,\)"):
        latens.load(tmp_path / "own", encoder=Own(4, 3))


WRONG_MODULES = {
    "too few": (nn.Linear(4, 3), r"Linear must return 4 numbers an example, \(4,\); it returns \(3,\)"),
    "too many": (nn.Linear(4, 5), r"it returns \(5,\) for inputs \(B, 4\)"),
    "other inputs": (nn.Linear(7, 4), r"Linear does not accept inputs \(B, 4\): mat1 and mat2"),
    "no module": ("linear", r"such as MLP\(\(512, 512\)\), or an nn.Module; got 'linear'"),
}


@pytest.mark.parametrize("name", WRONG_MODULES)
def test_a_module_that_does_not_fit_is_refused_in_one_line(name):
    module, message = WRONG_MODULES[name]
    with pytest.raises(InputError, match=message) as caught:
        VAE(**SMALL | {"encoder": module}).fit(TABLE)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "model.latens"
    VAE(**SMALL).fit(TABLE).save(path)
    return path


def damaged(saved, **changes):
    arrays, notes = load_tensors(saved)
    return {**arrays}, {**notes} | changes


DAMAGES = {
    "no file": lambda saved, to: None,
    "empty": lambda saved, to: to.write_bytes(b""),
    "truncated": lambda saved, to: to.write_bytes(saved.read_bytes()[:-40]),
    "header cut": lambda saved, to: to.write_bytes(saved.read_bytes()[:100]),
    "a picture": lambda saved, to: to.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200)),
    "no text": lambda saved, to: save_tensors(to, load_tensors(saved)[0], {}),
    "no weights": lambda saved, to: save_tensors(to, {"a": np.zeros(1)}, load_tensors(saved)[1]),
    "other code": lambda saved, to: save_tensors(to, *damaged(saved, estimator="__import__('os').system('true')")),
    "not an estimator": lambda saved, to: save_tensors(to, *damaged(saved, estimator="Normal()")),
    "unknown name": lambda saved, to: save_tensors(to, *damaged(saved, estimator="VEA()")),
    "broken json": lambda saved, to: save_tensors(to, *damaged(saved, history="{")),
    "other architecture": lambda saved, to: save_tensors(
        to, *damaged(saved, fitted=load_tensors(saved)[1]["fitted"].replace("MLP((8,))", "MLP((9,))"))
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_in_one_line(name, saved, tmp_path):
    path = tmp_path / "model.latens"
    DAMAGES[name](saved, path)
    with pytest.raises(InputError) as caught:
        latens.load(path)
    assert "\n" not in str(caught.value)


def test_a_file_of_a_newer_version_says_so(saved, tmp_path):
    from safetensors.numpy import save_file

    arrays, notes = load_tensors(saved)
    save_file(arrays, tmp_path / "newer", metadata={**notes, "format_version": "99"})
    with pytest.raises(InputError, match=r"newer latens \(format 99"):
        latens.load(tmp_path / "newer")


def test_the_text_of_a_file_is_readable(saved):
    notes = load_tensors(saved)[1]
    assert notes["estimator"] == "VAE(latents=2, encoder=MLP((8,)), decoder=MLP((8,)), epochs=2, random_state=3)"
    assert set(json.loads(notes["versions"])) == {"latens", "torch", "numpy"}


def test_a_folder_holds_one_model(saved, tmp_path):
    latens.load(saved).save(tmp_path)
    np.testing.assert_array_equal(
        latens.load(tmp_path).score_samples(TABLE[:3]), latens.load(saved).score_samples(TABLE[:3])
    )


def test_an_unfitted_estimator_is_not_saved(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        VAE().save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []
