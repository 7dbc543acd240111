"""Topics: the words that are told are those planted, and coherence is that of an obvious loop."""

import itertools

import numpy as np
import pytest
from scipy import sparse

from latens import VAE
from latens.data import bag_of_words, load
from latens.distributions import Poisson
from latens.metrics import coherence, top_words
from latens.nn import MLP, Topics
from latens.utils import InputError

TOPICS = ["ship sea sail wave harbour", "tree leaf root forest bark", "star moon orbit planet comet"]


def documents(n=300, seed=0):
    rng = np.random.default_rng(seed)
    words = [topic.split() for topic in TOPICS]
    kinds = rng.integers(3, size=n)
    return [" ".join(rng.choice([*words[k] * 6, "the", "and"], rng.integers(10, 50))) for k in kinds]


TEXTS = documents()


@pytest.mark.parametrize("decoder", [None, MLP(())], ids=str)
def test_the_first_words_of_topics_are_those_planted_together(decoder):
    source = bag_of_words(TEXTS, share=1.0)
    latents = 3 if decoder is None else 2
    vae = VAE(latents=latents, decoder=decoder, epochs=40, learning_rate=1e-2, random_state=0).fit(source)
    assert isinstance(vae.settings_["decoder"], Topics) == (decoder is None)
    found = top_words(vae, 5)
    assert {"the", "and"}.isdisjoint(
        word for topic in top_words(vae, 2, weight=0.0) for word in topic
    )  # frequent anywhere
    planted = [set(topic.split()) for topic in TOPICS]
    assert max(len(set(topic) & words) for topic in found for words in planted) == 5
    if decoder is None:
        assert len({max(range(3), key=lambda k: len(set(t) & planted[k])) for t in found}) >= 2
    assert coherence([[*words] for words in planted], source).min() > coherence([["ship", "leaf", "moon"]], source)[0]


def test_coherence_is_that_of_an_obvious_loop():
    X = np.random.default_rng(0).poisson(0.5, (40, 6))
    topics = [[0, 1, 2], [3, 5, 4, 0]]
    expected = []
    for topic in topics:
        values = []
        for a, b in itertools.combinations(topic, 2):
            p_a, p_b, both = (X[:, a] > 0).mean(), (X[:, b] > 0).mean(), ((X[:, a] > 0) & (X[:, b] > 0)).mean()
            values.append(np.log(both / (p_a * p_b)) / -np.log(both) if both else -1.0)
        expected.append(np.mean(values))
    for counts in (X, sparse.csr_array(X), load(sparse.csr_array(X))):
        assert coherence(topics, counts) == pytest.approx(expected)


def test_words_that_never_meet_and_words_that_always_do():
    X = np.array([[1, 1, 0, 1], [2, 1, 0, 1], [0, 0, 3, 1]])
    found = coherence([["a", "b"], ["a", "c"], ["d", "d"]], X, list("abcd"))
    assert found == pytest.approx([1.0, -1.0, 1.0])


def test_what_has_no_topics_or_no_such_word_is_refused():
    with pytest.raises(InputError, match="no column for 'e'"):
        coherence([["a", "e"]], np.ones((2, 2)), ["a", "b"])
    with pytest.raises(InputError, match="weight from 0 to 1; got 2"):
        top_words(VAE(latents=2, epochs=1, random_state=0).fit(bag_of_words(TEXTS[:50])), weight=2)
    X = np.random.default_rng(0).poisson(2.0, (60, 4)) * 3
    with pytest.raises(InputError, match="counts given their total"):
        top_words(VAE(likelihood=Poisson(), latents=1, epochs=1, random_state=0).fit(X))
