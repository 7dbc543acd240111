"""What the topics of documents are about, and whether their words go together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.utils.validation import check_is_fitted

from latens.data import Source
from latens.neural import LatentDensity
from latens.utils.errors import InputError
from latens.utils.validation import check_positive

_REACH = 10.0


def top_words(estimator: LatentDensity, n: int = 10, *, weight: float = 1.0) -> list[list[Any]]:
    r"""The words of each latent in the order of $\log p(w \mid z) - (1 - \lambda) \log p(w)$.

    z is far out along the latent, so that of a softmax of topics one has all the share, and p(w) is that of the data.
    At weight 1 these are the words that are frequent there; less asks for words that are frequent only there, which
    helps where all topics share the same words. In documents held out the most frequent ones went together best.

    Args:
        estimator: fitted to counts of words, or other counts given their total.
        n: how many words of each.
        weight: $\lambda$, from 0 to 1.

    Returns:
        A list for each latent: words, or the numbers of columns that have no names.

    Reference: Sievert and Shirley, *LDAvis: a method for visualizing and interpreting topics*, 2014, for the relevance.

    Example:
        >>> from latens import VAE
        >>> from latens.data import load
        >>> X = np.repeat(np.eye(4, dtype=int)[[0, 2]], 40, axis=0) * 3 + np.eye(4, dtype=int)[[1]]
        >>> vae = VAE(latents=2, epochs=2, random_state=0).fit(load(X, kind="words"))
        >>> len(top_words(vae, 3)), len(top_words(vae, 3)[0])
        (2, 3)
    """
    check_is_fitted(estimator)
    check_positive("n", n, integer=True)
    if not 0 <= weight <= 1:
        raise InputError(f"top_words expects a weight from 0 to 1; got {weight!r}.")
    if estimator._family.given != "total":
        raise InputError(
            f"top_words expects counts given their total, as of Multinomial(); got {estimator._family}, which tells no "
            "shares."
        )
    shares = np.stack([_share(estimator, point) for point in _REACH * np.eye(estimator.settings_["latents"])])
    base = np.exp(estimator.model_.likelihood.offset.double().cpu().numpy())  # type: ignore[union-attr, operator]
    relevance = np.log(shares + 1e-300) - (1.0 - weight) * np.log(base / base.sum())
    first = np.argsort(-relevance, axis=1, kind="stable")[:, :n]
    names = estimator.schema_.features
    return first.tolist() if names is None else [[names[i] for i in row] for row in first]


def _share(estimator: LatentDensity, point: np.ndarray) -> np.ndarray:
    counts = estimator.inverse_transform(point[None])[0].astype(np.float64)
    return counts / counts.sum()


def coherence(topics: Sequence[Sequence[Any]], documents: Any, words: Sequence[str] | None = None) -> np.ndarray:
    r"""The mean of $\log \frac{p(a, b)}{p(a) p(b)} / -\log p(a, b)$ over pairs of words of each topic, ``(topics,)``.

    p(a, b) is the share of documents with both words. It is 1 of words that come only together, 0 of words that have
    nothing to do with each other, and -1 of words that never meet. Of a topic model it is told on documents that were
    not trained on, or on all the better known training ones; on which should be said.

    Args:
        topics: the words of each, or numbers of columns.
        documents: counts (n, words), an array or a sparse matrix, or a source whose columns have names.
        words: the names of the columns, where topics are words.

    Reference: Bouma, *Normalized (pointwise) mutual information in collocation extraction*, 2009; Lau, Newman and
        Baldwin, *Machine reading tea leaves*, 2014, for topics.

    Example:
        >>> X = np.array([[1, 2, 0], [3, 1, 0], [0, 0, 1], [0, 0, 2]])
        >>> coherence([["sea", "ship"], ["sea", "leaf"]], X, ["sea", "ship", "leaf"])
        array([ 1., -1.])
    """
    if isinstance(documents, Source):
        words = documents.schema.features if words is None else words
        documents = documents.X if hasattr(documents, "X") else documents.take(np.arange(len(documents)))
    names = {name: i for i, name in enumerate(words or ())}
    columns = [[_column(word, names) for word in topic] for topic in topics]
    kept = sorted({column for topic in columns for column in topic})
    held = sparse.csc_array(documents)[:, kept].toarray() > 0
    together = held.T.astype(np.float64) @ held / len(held)
    at = {column: i for i, column in enumerate(kept)}
    return np.array([_coherence(together[np.ix_(rows, rows)]) for rows in ([at[c] for c in t] for t in columns)])


def _column(word: Any, names: dict[str, int]) -> int:
    if not isinstance(word, str):
        return int(word)
    if word not in names:
        raise InputError(f"the documents have no column for {word!r}; give words=, the vocabulary of the topics")
    return names[word]


def _coherence(together: np.ndarray) -> float:
    """Of the shares of documents with each pair ``(m, m)``, and with each word on the diagonal."""
    a, b = np.tril_indices(len(together), -1)
    both, alone = together[a, b], np.diag(together)
    met = both > 0
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(both / (alone[a] * alone[b])) / -np.log(both)
    return float(np.where(met, np.where(both == 1.0, 1.0, value), -1.0).mean())
