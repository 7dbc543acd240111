"""Documents as bags of words: how often each word of a vocabulary occurs, whatever the order, and back to a text.

The vocabulary stands in the Schema as the names of the columns, so that further documents are counted in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from latens.data.sparse import SparseSource
from latens.data.text import Documents, is_documents, read_documents
from latens.utils.errors import InputError

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import CountVectorizer

MOST = 5000
"""Words of a vocabulary, unless told."""
COMMON = 0.5
"""A word in more than this share of the documents tells little of any."""
FEW = 10
"""What occurs in no more documents than this is never too common."""

UNKNOWN = 0.5
"""From this share of words on that are not of the vocabulary it is worth a word: documents of another kind."""


def bag_of_words(
    documents: Any,
    *,
    vocabulary: Sequence[str] | None = None,
    stop_words: str | Sequence[str] | None = None,
    fewest: int | None = None,
    share: float = COMMON,
    most: int = MOST,
) -> SparseSource:
    """The counts (n, words) of each document, by scikit-learn's tokens: runs of two or more letters or digits, in
    lower case.

    Args:
        documents: strings, or a path, as of :func:`latens.data.text.read_documents`.
        vocabulary: the words to count; chosen from the documents when None, by what follows.
        stop_words: words to leave out; "english" for scikit-learn's list.
        fewest: in how many documents a word occurs at least; by default from 1, of few documents, to 5, of 500 or more.
        share: in what share of the documents a word occurs at most.
        most: how many words are kept, those counted most often.

    Raises:
        InputError: no text, or no word that may be kept.

    Example:
        >>> source = bag_of_words(["The sea, the ship.", "A ship of the sea."], stop_words="english")
        >>> source.schema.features, source.take(np.arange(2)).tolist()
        (('sea', 'ship'), [[1, 1], [1, 1]])
    """
    if isinstance(documents, Documents):
        read = documents
    elif vocabulary is not None and is_documents(documents):  # all of them may be empty
        read = Documents(list(documents))
    else:
        read = read_documents(documents)
    if vocabulary is None:
        words, X, notes = _chosen(read, stop_words, fewest, share, most)
    else:
        words, X, notes = *_counted(read, vocabulary), []
    notes += _left_out(read, X, known=vocabulary is not None)
    return SparseSource(
        X,
        read.labels,
        names=read.names,
        features=words,
        kind="words",
        skipped=read.skipped,
        notes=[*read.notes, *notes],
    )


def bags(counts: np.ndarray, words: Sequence[str]) -> list[str]:
    """Counts (n, words) as texts: each word as often as it was counted, the most frequent first.

    >>> bags(np.array([[1, 3], [0, 0]]), ("sea", "ship"))
    ['ship ship ship sea', '']
    """
    return [
        " ".join(" ".join([words[i]] * int(row[i])) for i in np.argsort(-row, kind="stable") if row[i] > 0)
        for row in np.asarray(counts)
    ]


def _vectorizer(**settings: Any) -> CountVectorizer:
    from sklearn.feature_extraction.text import CountVectorizer

    return CountVectorizer(dtype=np.int32, **settings)


def _counted(read: Documents, vocabulary: Sequence[str]) -> tuple[list[str], Any]:
    return list(vocabulary), _vectorizer(vocabulary=list(vocabulary)).transform(read.texts)


def _chosen(
    read: Documents, stop_words: Any, fewest: int | None, share: float, most: int
) -> tuple[list[str], Any, list[str]]:
    """The words that are kept, their counts, and what is to be said of it."""
    n = len(read)
    vectorizer = _vectorizer(stop_words=stop_words if stop_words in (None, "english") else list(stop_words))
    try:
        X = vectorizer.fit_transform(read.texts).tocsc()
    except ValueError as error:
        raise InputError(f"the {n} documents hold no words to count: {' '.join(str(error).split())}") from None
    fewest = max(1, min(5, n // 100)) if fewest is None else fewest
    within, often = np.diff(X.indptr), np.asarray(X.sum(0)).ravel()
    kept = np.flatnonzero((within >= fewest) & (within <= max(share * n, FEW)))
    if not len(kept):
        raise InputError(
            f"none of the {len(within)} words occurs in at least {fewest} and at most {share:.0%} of the {n} "
            "documents; change fewest= or share= of bag_of_words"
        )
    kept = np.sort(kept[np.argsort(-often[kept], kind="stable")[:most]])
    words = vectorizer.get_feature_names_out()[kept].tolist()
    note = (
        f"{len(kept):,} of {len(within):,} words are counted: the most frequent of those in at least {fewest} and at "
        f"most {share:.0%} of {n:,} documents, {often[kept].sum() / often.sum():.0%} of all that is written"
    )
    return words, X[:, kept].tocsr(), [note]


def _left_out(read: Documents, X: Any, *, known: bool) -> list[str]:
    """How much of documents is not of the vocabulary they are counted in, and which have nothing of it."""
    notes = []
    if known:
        analyse = _vectorizer().build_analyzer()
        written = sum(len(analyse(text)) for text in read.texts)
        share = 1 - int(X.sum()) / max(written, 1)
        if share > UNKNOWN:
            notes.append(f"{share:.0%} of the words are none of the {X.shape[1]:,} that are counted: left out")
    nothing = int((np.diff(X.indptr) == 0).sum())
    if nothing:
        notes.append(f"{nothing:,} of {len(read):,} documents hold none of the words that are counted: log p(x) is 0")
    return notes
