"""Text through the whole of an estimator: strings in, strings out."""

import itertools
import warnings

import numpy as np
import pytest
import torch

import latens
from latens import VAE, AutoEncoder, GaussianMixture, LanguageModel, SemiSupervisedVAE
from latens.data import Bytes, sequences
from latens.distributions import Bernoulli, Strings
from latens.metrics.evaluate import evaluate
from latens.models import Ladder
from latens.neural import PosteriorCollapse
from latens.nn import GRU, MLP, Transformer
from latens.objectives import ELBO, Distortion, Players
from latens.utils import InputError

WHO, DOES, WHAT = ("ann", "the cat", "bob", "a tall man"), ("sees", "hears", "likes"), ("milk", "the sea", "bread")
LINES = [" ".join(words) for words in itertools.product(WHO, DOES, WHAT)] * 8
SMALL = {"encoder": GRU(16, 8), "decoder": GRU(16, 8), "latents": 3, "random_state": 0}


class Letters:
    """A tokeniser of a user's."""

    alphabet = sorted(set("".join(LINES)))

    def encode(self, string):
        return [self.alphabet.index(letter) for letter in string]

    def decode(self, numbers):
        return "".join(self.alphabet[i] for i in numbers)


@pytest.fixture(scope="module")
def fitted():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PosteriorCollapse)
        return VAE(**SMALL, epochs=3).fit(LINES)


def test_strings_come_back_from_everything(fitted):
    z = fitted.transform(LINES[:5])
    assert z.shape == (5, 3)
    drawn = (fitted.sample(5), fitted.sample(5, mean=True))
    for strings in (*drawn, fitted.reconstruct(LINES[:5]), fitted.inverse_transform(z)):
        assert len(strings) == 5
        assert all(isinstance(string, str) for string in strings)
    assert fitted.reconstruct(LINES[:5]) == fitted.inverse_transform(z)
    error = fitted.reconstruction_error(LINES[:5])
    assert ((error >= 0) & (error <= 1)).all()


def test_a_score_is_of_the_string_whatever_stands_beside_it(fitted):
    lines = ["ann sees milk", "", "a tall man likes bread", "bob", "ann sees milk"]
    scores = fitted.score_samples(lines, k=7)
    assert scores[0] == scores[4]
    for i in range(4):
        assert fitted.score_samples(lines[i : i + 1], k=7)[0] == scores[i]
    assert (fitted.score_samples(lines[::-1], k=7)[::-1] == scores).all()


def test_scores_are_of_the_strings_as_p_says(fitted):
    """log 1/k sum_i p(x | z_i) p(z_i) / q(z_i | x) tends to log p(x), which the prior alone tells too."""
    line = "bob likes milk"
    row = torch.from_numpy(sequences([line]).read_as(fitted.schema_).X).float()
    with torch.inference_mode():
        z = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
        terms = fitted.model_.likelihood(z).log_prob(row)
    expected = float(terms.double().logsumexp(0) - np.log(4000))
    assert fitted.score_samples([line], k=2000)[0] == pytest.approx(expected, abs=0.1)


def test_figures_of_text_are_told(fitted):
    figures = evaluate(fitted, LINES[:20], k=4)
    assert figures.measure == "mass"
    assert figures.log_likelihood >= -figures.negative_elbo - 0.5
    assert 0 <= figures.wrong_symbols <= 1


@pytest.mark.parametrize(
    "tokens", ["characters", "words", Bytes(), Letters()], ids=["characters", "words", "bytes", "own"]
)
def test_a_saved_model_is_the_same(tmp_path, tokens):
    vae = VAE(**SMALL, epochs=1, objective=Distortion()).fit(sequences(LINES, tokens))
    vae.save(tmp_path / "m.safetensors")
    own = {"tokenizer": tokens} if isinstance(tokens, Letters) else {}
    if own:
        with pytest.raises(InputError, match=r"tokenizer of your own; supply it again"):
            latens.load(tmp_path / "m.safetensors")
    same = latens.load(tmp_path / "m.safetensors", **own)
    assert (same.score_samples(LINES[:9], k=3) == vae.score_samples(LINES[:9], k=3)).all()
    assert same.sample(4) == vae.sample(4)


def test_a_prior_fitted_afterwards_and_classes_to_condition_on_serve_text(fitted):
    z = VAE(**SMALL, epochs=1, objective=Distortion()).fit(LINES).fit_prior(GaussianMixture(2, random_state=0), LINES)
    assert len(z.sample(3)) == 3
    given = VAE(**SMALL, epochs=1, objective=Distortion(), condition="y")
    y = np.array([line.split()[0] for line in LINES])
    given.fit(LINES, y)
    assert given.score_samples(LINES[:4], y[:4], k=2).shape == (4,)
    assert len(given.sample(2, y="ann")) == 2
    assert len(AutoEncoder(**SMALL, epochs=1).fit(LINES).reconstruct(LINES[:2])) == 2
    some = np.where(np.arange(len(y)) % 3 == 0, y, None)
    semi = SemiSupervisedVAE(**SMALL, epochs=1, objective=Distortion(), classifier=GRU(8, 4)).fit(LINES, some)
    assert set(semi.predict(LINES[:4])) <= set(y)


@pytest.mark.parametrize("network", [GRU(12, 6), Transformer(12, 1, 2)], ids=str)
def test_an_encoder_of_text_reads_what_stands_beside(network, tmp_path):
    """Of one string and two classes two codes; the same code where nothing is conditioned on."""
    settings = SMALL | {"encoder": network, "epochs": 1, "objective": Distortion(), "condition": "y"}
    y = np.arange(len(LINES)) % 2
    vae = VAE(**settings).fit(LINES, y)
    one, other = vae.transform(LINES[:1] * 2, [0, 1])
    assert np.abs(one - other).max() > 1e-3
    vae.save(tmp_path / "model")
    np.testing.assert_array_equal(
        latens.load(tmp_path / "model").transform(LINES[:9], y[:9]), vae.transform(LINES[:9], y[:9])
    )


@pytest.mark.parametrize("network", [GRU(12, 6), Transformer(12, 1, 2)], ids=str)
def test_a_language_model_scores_exactly_and_learns(network):
    shared = {"network": network, "learning_rate": 0.02, "batch_size": 16, "random_state": 0}
    model = LanguageModel(**shared, epochs=1).fit(LINES)
    scores = model.score_samples(LINES[:7])
    row = torch.from_numpy(sequences(LINES[:7]).read_as(model.schema_).X).float()
    expected = model.model_.density().log_prob(row).detach().double()
    np.testing.assert_allclose(scores, expected, rtol=1e-5)
    longer = LanguageModel(**shared, epochs=4).fit(LINES)
    assert longer.score(LINES) > model.score(LINES) + 5
    assert all(isinstance(line, str) for line in longer.sample(3))
    assert not hasattr(longer, "transform")


def test_completions_begin_as_given_and_go_on_as_p_says(fitted):
    """p(x | beginning) is p(x) over all strings that begin so: their shares among draws are held against scores."""
    begun = ["ann sees m", "bob ", "", LINES[0] + "m" * 30]
    for lines in (fitted.complete(begun), *fitted.complete(begun, n=3, k=20)):
        assert all(line.startswith(start[: len(line)]) for line, start in zip(lines, begun))
    model = LanguageModel(network=GRU(12, 6, 0.0), learning_rate=0.02, epochs=3, random_state=0)
    model.fit(sequences(["aab", "abb", "aaa", "bab", "ab"] * 40, "characters"))
    draws = [line for (line,) in model.complete(["a"], n=2000, random_state=1)]
    whole = sorted(set(draws))
    assert all(line[0] == "a" for line in whole)
    mass = np.exp(model.score_samples(whole))
    every = ["a", *("a" + "".join(rest) for n in (1, 2) for rest in itertools.product("ab\ufffd", repeat=n))]
    mass /= np.exp(model.score_samples(every)).sum()
    share = np.array([draws.count(line) for line in whole]) / len(draws)
    assert np.abs(share - mass).max() < 4 * np.sqrt(0.25 / len(draws))


@pytest.mark.filterwarnings("ignore::latens.neural.PosteriorCollapse")
def test_what_keeps_latents_in_use_does():
    """A decoder strong enough to tell the lines without z leaves it alone under the bound; by default it does not."""
    lines = sequences(LINES, "words")
    shared = {"encoder": GRU(16, 8), "latents": 4, "epochs": 10, "random_state": 0, "batch_size": 16}
    shared |= {"learning_rate": 0.01}
    plain = VAE(**shared, decoder=GRU(32, 16, 0.0), objective=ELBO()).fit(lines)
    kept = VAE(**shared, decoder=GRU(32, 16)).fit(lines)
    before, after = (evaluate(vae, LINES[:36], k=32) for vae in (plain, kept))
    assert before.rate < 0.1
    assert before.mutual_information < 0.1
    assert after.rate > 0.9
    assert after.active_units >= 3
    assert after.mutual_information > 0.5


def test_aggressive_inference_is_a_setting():
    vae = VAE(**SMALL, epochs=1, objective=Players(posterior=ELBO(), rest=Distortion(), steps=3)).fit(LINES)
    assert len(vae.history_.rows) == 1


REFUSED = {
    "numbers as text": (lambda vae: vae.fit([*LINES, None]), "is a NoneType"),
    "a perceptron that reads": (lambda vae: vae.set_params(encoder=MLP((8,))).fit(LINES), "Text is read by a network"),
    "a network of text for numbers": (lambda vae: vae.fit(np.eye(30)), "reads and writes text"),
    "a likelihood of numbers": (lambda vae: vae.set_params(likelihood=Bernoulli()).fit(LINES), "Use Strings("),
    "too few symbols": (lambda vae: vae.set_params(likelihood=Strings(5)).fit(LINES), "of no more symbols"),
    "a hierarchy": (lambda vae: VAE(hierarchy=Ladder((3, 2)), epochs=1).fit(LINES), "describes numbers; of text"),
    "a language model of numbers": (lambda vae: LanguageModel().fit(np.eye(30)), "LanguageModel expects text"),
    "numbers for strings": (lambda vae: vae.fit(LINES).score_samples(np.eye(3)), "must have the shape"),
    "text for a table": (lambda vae: VAE(epochs=1).fit(np.eye(30)).score_samples(LINES), "model was trained on rows"),
    "no draws": (lambda vae: vae.fit(LINES).complete(LINES, n=0), "n must be a positive integer"),
}


@pytest.mark.parametrize(("make", "message"), REFUSED.values(), ids=REFUSED)
@pytest.mark.filterwarnings("ignore::latens.neural.PosteriorCollapse")
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(InputError) as caught:
        make(VAE(**SMALL, epochs=1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
