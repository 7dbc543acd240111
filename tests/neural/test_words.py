"""Documents and sparse matrices, from what a person has to scores, codes and bags."""

import warnings

import numpy as np
import pytest
from scipy import sparse

import latens
from latens import VAE
from latens.data import bag_of_words, load
from latens.data.table import TableWarning
from latens.nn import MLP

TOPICS = ["ship sea sail wave harbour", "tree leaf root forest bark", "star moon orbit planet comet"]


def documents(n=240, seed=0):
    """Texts of two to forty words, nine in ten of them of one topic."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(3, size=n)
    words = [topic.split() for topic in TOPICS]
    every = " ".join(TOPICS).split()
    texts = [
        " ".join(rng.choice(words[k] if rng.random() < 0.9 else every) for _ in range(rng.integers(2, 40)))
        for k in kind
    ]
    return texts, kind


TEXTS, KIND = documents()
SMALL = {"latents": 3, "encoder": MLP((16,)), "decoder": MLP(()), "epochs": 3, "random_state": 0}


@pytest.fixture(scope="module")
def vae():
    return VAE(**SMALL | {"epochs": 25, "learning_rate": 1e-2}).fit(bag_of_words(TEXTS))


def test_texts_are_fitted_scored_coded_and_drawn_as_texts(vae):
    assert vae.schema_.kind == "words"
    assert repr(vae.settings_["likelihood"]) == "Multinomial()"
    assert vae.score_samples(TEXTS[:5]).shape == (5,)
    draws = vae.sample(20, random_state=0)
    assert set(" ".join(draws).split()) <= set(" ".join(TEXTS).split())
    assert vae.score_samples(draws).shape == (20,)
    assert vae.sample(2, totals=7)[0].count(" ") == 6
    assert vae.sample(2, mean=True).shape == (2, 15)
    assert vae.reconstruct(TEXTS[:2]).sum(1) == pytest.approx([len(text.split()) for text in TEXTS[:2]])


def test_codes_part_the_topics_and_strange_texts_are_unlikely(vae):
    z = vae.transform(TEXTS)
    centres = np.stack([z[k == KIND].mean(0) for k in range(3)])
    nearest = np.linalg.norm(z[:, None] - centres, axis=-1).argmin(1)
    assert (nearest == KIND).mean() > 0.9
    mixed, pure = vae.score_samples(["ship leaf moon sea root comet", "ship sea sail wave harbour ship"])
    assert mixed < pure - 3


def test_further_texts_are_counted_in_the_vocabulary_of_the_first(vae):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        known = vae.score_samples(["ship sea", "sea SHIP, unheard!", "ship"])
    assert known[0] == known[1]
    with pytest.warns(TableWarning, match="1 of 2 documents hold none"):
        assert vae.score_samples(["ship", "nothing"])[1] == 0.0


def test_one_and_no_words_are_scored(vae, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TableWarning)
        scores = vae.score_samples(["ship", "", "   "])
    assert np.log(1 / 15) - 1.5 < scores[0] < 0
    assert scores[1:].tolist() == [0.0, 0.0]
    vae.save(tmp_path / "m")
    assert (latens.load(tmp_path / "m").score_samples(TEXTS[:9]) == vae.score_samples(TEXTS[:9])).all()
    assert latens.load(tmp_path / "m").sample(3) == vae.sample(3)


def test_paths_are_taken_as_lists_are(vae, tmp_path):
    (tmp_path / "x.txt").write_text("\n".join(TEXTS[:30]))
    assert (vae.score_samples(tmp_path / "x.txt") == vae.score_samples(TEXTS[:30])).all()


@pytest.mark.parametrize("kind", [None, "words"])
def test_a_sparse_matrix_is_fitted_and_scored_as_its_dense_one(kind):
    X = bag_of_words(TEXTS).X.astype(np.int32)
    some, dense = (VAE(**SMALL).fit(load(rows, kind=kind)) for rows in (X, X.toarray()))
    assert some.score_samples(X) == pytest.approx(dense.score_samples(X.toarray()), abs=1e-4)
    assert (some.transform(X.tocsc()) == some.transform(X.toarray())).all()
    assert (some.complete(X) == X.toarray()).all() if kind is None else True


def test_all_of_a_sparse_matrix_is_never_dense(monkeypatch):
    X = bag_of_words(TEXTS * 25).X
    most = []
    as_dense = sparse.csr_array.toarray
    monkeypatch.setattr(sparse.csr_array, "toarray", lambda self: most.append(self.shape[0]) or as_dense(self))
    vae = VAE(**SMALL | {"epochs": 1}).fit(load(X, kind="words"))
    vae.transform(X)
    assert X.shape == (6000, 15)
    assert max(most) <= 4096


def test_long_texts_are_counted_unless_told_otherwise():
    long = [" ".join([text] * 40) for text in TEXTS[:40]]
    assert VAE(**SMALL | {"epochs": 1}).fit(long).schema_.kind == "words"
    assert (load(long).schema.kind, load(long, kind="text").schema.kind) == ("words", "text")
    assert (load(TEXTS[:9]).schema.kind, load(TEXTS[:9], kind="words").schema.kind) == ("text", "words")
