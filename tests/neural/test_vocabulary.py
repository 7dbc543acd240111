"""The text law: what is written is what is read, for every nesting."""

import inspect

import pytest

from latens import VAE, AutoEncoder, Histogram
from latens.distributions import (
    Bernoulli,
    DiscretizedLogistic,
    Family,
    Laplace,
    MixtureOf,
    MultivariateNormal,
    NegativeBinomial,
    Normal,
    PoincareNormal,
    StudentT,
    VonMisesFisher,
)
from latens.models import (
    AutoregressiveCodes,
    Conditional,
    ConvLadder,
    FiniteScalar,
    Free,
    GumbelSoftmax,
    InverseAutoregressiveFlow,
    Ladder,
    PlanarFlow,
    StandardNormal,
    StandardPoincare,
    UniformCodes,
    UniformSphere,
    VectorQuantised,
)
from latens.neural.vocabulary import read, vocabulary
from latens.nn import MLP, Conv, Spec
from latens.objectives import (
    DIP,
    ELBO,
    MMD,
    AdversarialMatching,
    AdversarialTotalCorrelation,
    Capacity,
    Commitment,
    DimensionwiseKL,
    Distortion,
    FreeBits,
    GradientPenalty,
    ImportanceWeighted,
    LatentL2,
    LearnedDistortion,
    MultiscaleSSIM,
    MutualInformation,
    Objective,
    Players,
    Rate,
    Renyi,
    SlicedWasserstein,
    TotalCorrelation,
)
from latens.training import Constant, Cosine, Cyclical, Linear, Recipe, Schedule, Sigmoid, Steps, WhileGrowing
from latens.utils.errors import InputError
from latens.utils.text import text

VALUES = {
    "normal": Normal(),
    "fixed": Normal(0.25),
    "small": Normal(1e-05),
    "element": Laplace("element"),
    "student": StudentT("element", df=2.5),
    "mixture": MixtureOf(DiscretizedLogistic(256), 10),
    "mixture over events": MixtureOf(Normal("element"), 3, over="event"),
    "mlp": MLP((32,), "tanh"),
    "linear map": MLP(()),
    "conv": Conv((8, 16, 32), blocks=0, activation="gelu"),
    "ladder": Ladder((8, 4), width=32, residual=False),
    "ladder of images": ConvLadder((1, 2), (8, 16), levels=2, patch=4),
    "conditional": Conditional(MixtureOf(Bernoulli(), 2), MLP((8, 8))),
    "free": Free(MixtureOf(Normal("element"), 7, over="event")),
    "prior": StandardNormal(),
    "codes": (GumbelSoftmax(10, hard=False), UniformCodes()),
    "full normal": Free(MultivariateNormal()),
    "sphere": (VonMisesFisher(), UniformSphere()),
    "ball": (PoincareNormal(), StandardPoincare(0.5)),
    "flow posterior": InverseAutoregressiveFlow(PlanarFlow(Laplace("element"), 3, context=0), network=MLP((5,))),
    "codebooks": (
        VectorQuantised(512, 64, revive=0),
        FiniteScalar((8, 5)),
        AutoregressiveCodes(MLP((4,))),
        0.25 * Commitment(),
    ),
    "sum": Distortion() + Rate() + FreeBits(0.25),
    "bracketed sum": Distortion() + (Rate() + FreeBits(0.25)),
    "weighted sum": 2.0 * (Distortion() + Rate()),
    "weights of weights": 3 * (0.5 * (2.0 * Rate())),
    "negative weight": -1.5 * Rate() + ELBO(),
    "schedule": Distortion() + Linear(0.0, 1.0, until=0.2) * Rate(),
    "scheduled sum": Cyclical(0.1, 1.0, 3) * (Distortion() + Steps((0.1, 1.0), (1.0, 9.0)) * (Rate() + Rate())),
    "iwae": 1e-300 * ImportanceWeighted(50),
    "averaged bounds": 0.5 * ELBO() + 0.5 * ImportanceWeighted(8, m=4),
    "largest weight": Renyi(-float("inf"), 5) + Renyi(0.5, m=2),
    "paths": ELBO("path") + Rate("path") + ImportanceWeighted(6, gradient="path") + Renyi(0.5, 3, 2, "path"),
    "capacity": Distortion() + 1000.0 * Capacity(Linear(0.0, 30.0, 0.5)) + Sigmoid(0.0, 1.0, 0.25) * Capacity(4.0),
    "matching": Distortion() + 10.0 * MMD("rbf", (1.0, 2.0), unbiased=False) + MMD() + SlicedWasserstein(20),
    "codes in shape": DIP("I", 1.0) + DIP(diagonal=2.0) + 0.01 * LatentL2() + 1e-06 * GradientPenalty(),
    "perceptual": 1000.0 * MultiscaleSSIM(2, span=2.0) + MultiscaleSSIM() + Rate(),
    "parts of the rate": Distortion() + MutualInformation() + 6.0 * TotalCorrelation() + DimensionwiseKL(),
    "rate": Cosine(0.001, 1e-05, 0.02),
    "constant": Constant(float("inf")),
    "recipe": Recipe(epochs=3, learning_rate=Cosine(0.01), betas=(0.5, 0.9)),
    "critic": ELBO() + 6.0 * AdversarialTotalCorrelation(MLP((32,), "leaky_relu"), steps=2),
    "players": Players(
        posterior=LearnedDistortion(features=8) + Rate(),
        rest=Linear(0.0, 1.0) * LearnedDistortion(features=8, realism=0.5) + AdversarialMatching(speed=3.0),
        steps=WhileGrowing("mutual_information", 5),
    ),
    "tuple": (MLP((1,)), [Normal(0.5), None, True], {"a": (Rate(),)}),
}

ESTIMATORS = {
    "vae": VAE(),
    "autoencoder": AutoEncoder(latents=2, likelihood=Normal("optimal"), decoder=MLP((3,))),
    "everything": VAE(
        latents=3,
        posterior=Conditional(Normal("element"), MLP((16,), "silu")),
        likelihood=MixtureOf(DiscretizedLogistic(256), 4),
        prior=Free(Normal("element")),
        objective=Distortion() + Linear(0.0, 2.0) * (Rate() + FreeBits(0.1)),
        encoder=Conv((8,)),
        decoder=Conv((8, 8), blocks=1),
        condition="y",
        learning_rate=Cosine(0.003, warmup=0.1),
        clip=None,
        patience=None,
        device="cpu",
        random_state=7,
    ),
    "histogram": Histogram(bins=7),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_reads_back_as_itself(name):
    value = VALUES[name]
    again = read(text(value))
    assert again == value
    assert type(again) is type(value)
    assert text(again) == text(value)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimator_reads_back_as_itself(name):
    estimator = ESTIMATORS[name]
    again = read(repr(estimator)) if name != "histogram" else read(text(estimator))
    assert type(again) is type(estimator)
    assert again.get_params(deep=False) == estimator.get_params(deep=False)


def test_brackets_are_kept_where_they_change_the_value():
    assert VALUES["sum"] != VALUES["bracketed sum"]
    assert text(VALUES["weighted sum"]) == "2.0 * (Distortion() + Rate())"


@pytest.mark.parametrize("kind", [Family, Spec, Objective, Schedule])
def test_every_constructor_of_a_room_can_be_read(kind):
    """Each concrete class of the library, wherever it is defined, unless it is only a step on the way to others."""
    concrete = {c for c in _below(kind) if c.__module__.startswith("latens.") and not inspect.isabstract(c)}
    public = {c for c in concrete if not c.__name__.startswith("_") and not c.__subclasses__()}
    assert len(public) >= 3
    assert {c.__name__ for c in public} <= set(vocabulary())


def _below(kind):
    return {kind} | {d for c in kind.__subclasses__() for d in _below(c)}


def test_every_name_means_one_thing():
    assert vocabulary()["VAE"] is VAE
    assert vocabulary()["Histogram"] is Histogram
    assert vocabulary()["NegativeBinomial"] is NegativeBinomial


WRONG = {
    "nearest": ("Distorsion() + Rate()", "did you mean 'Distortion'"),
    "argument": ("Normal(scal='shared')", "did you mean 'scale'"),
    "value": ("Normal('shred')", "expects scale to be a positive number"),
    "sum with a number": ("Distortion() + 3", "cannot add"),
    "attribute": ("Normal.__class__()", "an attribute"),
    "call of a call": ("Normal()()", "not part of the language"),
    "import": ("__import__('os')", "unknown name '__import__'"),
    "samples": ("ImportanceWeighted(3) + ImportanceWeighted(5)", "must agree"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_read_is_named_in_one_line(name):
    written, message = WRONG[name]
    with pytest.raises(InputError, match=message) as caught:
        read(written)
    assert "\n" not in str(caught.value)
