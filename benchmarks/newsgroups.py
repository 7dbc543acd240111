"""A topic VAE on 20 Newsgroups beside scikit-learn's latent Dirichlet allocation: perplexity and coherence.

Perplexity is exp of minus the mean of log p of a test word, log p(document | its length) by importance sampling for
both: of LDA with draws of its own variational posterior, which is tighter than the bound that it prints. Coherence is
the mean normalised pointwise mutual information of the ten first words of each topic, over training and test documents.
"""

from __future__ import annotations

import numpy as np
from common import begin, cpu_seconds, note, parser, table
from scipy import sparse
from scipy.special import gammaln, logsumexp

TOP = 10


def newsgroups(folder, part):
    """Counts (n, 2000) of one part, and the words."""
    held = np.load(folder / "text" / "ng20" / "ng20_bow.npz")
    data, indices, indptr = (held[f"{part}_{name}"] for name in ("data", "indices", "indptr"))
    return sparse.csr_array((data.astype(np.int32), indices - 1, indptr), (len(indptr) - 1, 2000)), held[
        "vocab"
    ].tolist()


def as_floats(X):
    """As scikit-learn's LDA takes it."""
    return sparse.csr_matrix(
        (X.data.astype(np.float64), X.indices.astype(np.int32), X.indptr.astype(np.int32)), X.shape
    )


def log_orders(X):
    """log N! / prod x!, ``(n,)``."""
    held = sparse.csr_array((gammaln(X.data + 1.0), X.indices, X.indptr), X.shape)
    return gammaln(np.asarray(X.sum(1)).ravel() + 1.0) - np.asarray(held.sum(1)).ravel()


def perplexity(scores, X):
    """Of log p of the words of each document in their order, ``(n,)``."""
    return float(np.exp(-scores.sum() / X.sum()))


def lda_scores(model, X, k, seed=0):
    """log p of the words of each document, by k draws of the variational posterior of its shares."""
    rng = np.random.default_rng(seed)
    topics = model.components_ / model.components_.sum(1, keepdims=True)
    prior = np.full(len(topics), 1.0 / len(topics))
    shapes = model.transform(X) * (1.0 + np.asarray(X.sum(1)).ravel()[:, None])  # sum of the prior, and of the counts
    out = []
    for i, gamma in enumerate(shapes):
        theta = rng.dirichlet(gamma, k).clip(1e-12)
        words, counts = (part[X.indptr[i] : X.indptr[i + 1]] for part in (X.indices, X.data))
        log_p = np.log(theta @ topics[:, words]) @ counts
        out.append(logsumexp(log_p + _dirichlet(theta, prior) - _dirichlet(theta, gamma)) - np.log(k))
    return np.array(out)


def _dirichlet(theta, a):
    return (np.log(theta) * (a - 1)).sum(1) + gammaln(a.sum()) - gammaln(a).sum()


def relevant(shares, base):
    """The first words in the order that ``top_words(weight=0.5)`` tells, of topics (k, words)."""
    return [list(np.argsort(-row)[:TOP]) for row in np.log(shares + 1e-300) - 0.5 * np.log(base)]


def main():
    options = parser(__doc__.partition("\n")[0])
    options.add_argument("--topics", type=int, default=20)
    options.add_argument("--draws", type=int, default=16)
    options.add_argument("--seeds", type=int, nargs="+", default=[0])
    given = begin(options)
    from sklearn.decomposition import LatentDirichletAllocation

    from latens import VAE
    from latens.data import SparseSource
    from latens.metrics import coherence, top_words

    (train, words), (test, _) = (newsgroups(given.data, part) for part in ("train", "test"))
    base = (np.asarray(train.sum(0)).ravel() + 0.5) / (train.sum() + 1000)
    rows = [["one distribution for all", perplexity(np.asarray(test @ np.log(base)).ravel(), test), *["-"] * 4]]
    source = SparseSource(train, features=words, kind="words")
    dense, unseen = as_floats(train), as_floats(test)
    for seed in given.seeds:
        start = cpu_seconds()
        vae = VAE(latents=given.topics, random_state=seed).fit(source)
        seconds = cpu_seconds() - start
        scores = vae.score_samples(test, k=given.draws) - log_orders(test)
        for order, weight in (("its own order", 1.0), ("order of relevance", 0.5)):
            tops = top_words(vae, TOP, weight=weight)
            both = [float(coherence(tops, X, words).mean()) for X in (train, test)]
            name = f"VAE(), defaults, words in {order}, seed {seed}"
            rows.append([name, perplexity(scores, test), *both, _diversity(tops), seconds])
            note(f"{rows[-1]} {vae.n_iter_} epochs, {vae.active_units_} active")
            for topic in tops:
                note(" ".join(topic))
        start = cpu_seconds()
        lda = LatentDirichletAllocation(
            given.topics, max_iter=20, learning_method="online", batch_size=256, random_state=seed
        ).fit(dense)
        seconds = cpu_seconds() - start
        found = perplexity(lda_scores(lda, unseen, given.draws), unseen)
        shares = lda.components_ / lda.components_.sum(1, keepdims=True)
        for order, tops in (
            ("its own order", [list(np.argsort(-row)[:TOP]) for row in shares]),
            ("order of relevance", relevant(shares, base)),
        ):
            both = [float(coherence(tops, X).mean()) for X in (dense, unseen)]
            rows.append([f"LDA, words in {order}, seed {seed}", found, *both, _diversity(tops), seconds])
            note(rows[-1])
    note(f"the bound that LDA prints: {lda.perplexity(unseen):.1f}")
    title = f"20 Newsgroups, {given.topics} topics: perplexity of test words, coherence of {TOP} words a topic"
    columns = ["model", "perplexity", "coherence, train", "coherence, test", "different words", "seconds of processor"]
    table(title, columns, rows, "scikit-learn")


def _diversity(tops):
    """The share of the words of all topics that are different ones."""
    words = [word for topic in tops for word in topic]
    return len(set(words)) / len(words)


if __name__ == "__main__":
    main()
