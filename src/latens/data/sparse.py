"""Sparse matrices: rows that are mostly zeros, made dense a batch at a time and never all at once."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from latens.data.source import Source, class_names
from latens.data.survey import Survey
from latens.utils.errors import InputError


def holds_matrix(names: Sequence[str]) -> bool:
    """Whether the arrays of a ``.npz`` file are the parts of a sparse matrix, as ``scipy.sparse.save_npz`` writes them.

    >>> holds_matrix(["data", "indices", "indptr", "shape", "y"]), holds_matrix(["X", "y"])
    (True, False)
    """
    return {"data", "format", "shape"} <= set(names) or {"data", "indices", "indptr", "shape"} <= set(names)


def is_sparse(data: Any) -> bool:
    """Whether this is one of scipy's sparse matrices or arrays.

    >>> is_sparse(sparse.eye(3)), is_sparse(np.eye(3))
    (True, False)
    """
    return bool(sparse.issparse(data))


class SparseSource(Source):
    """A sparse matrix in memory, whose rows are made dense when they are taken.

    Args:
        X: any of scipy's sparse matrices or arrays, shape (n, d).
        labels: n integers or strings.
        names: n strings.
        features: the names of the columns, such as the words that are counted.
        kind: "table", or "words" where rows are counts of words.
        skipped, notes: as in `Source`.

    Raises:
        InputError: no two axes, no numbers, or an infinity.

    Example:
        >>> source = SparseSource(sparse.csr_array([[0, 3, 0], [1, 0, 7]]))
        >>> len(source), source.take(np.array([1])), source.schema.summary
        (2, array([[1, 0, 7]]), 'rows of 3 numbers, int64, 8 levels from 0 to 7')
    """

    in_memory = False

    def __init__(
        self,
        X: Any,
        labels: np.ndarray | None = None,
        *,
        names: Sequence[str] | None = None,
        features: Sequence[str] | None = None,
        kind: str | None = None,
        skipped: Sequence[tuple[str, str]] = (),
        notes: Sequence[str] = (),
    ) -> None:
        self.X = compressed(X)
        self.labels, self.names = labels, None if names is None else list(names)
        self.skipped, self.notes = list(skipped), list(notes)
        read = Survey(self.X.shape[1:], self.X.dtype, kind)
        read.update_sparse(self.X)
        columns = None if features is None else tuple(map(str, features))
        self.schema, self.missing = replace(read.schema(columns), classes=class_names(labels)), read.missing

    def __len__(self) -> int:
        return self.X.shape[0]

    def take(self, indices: np.ndarray) -> np.ndarray:
        return self.X[np.asarray(indices)].toarray()


def compressed(X: Any) -> sparse.csr_array:
    """A sparse matrix in compressed rows, each entry stored once.

    >>> compressed(sparse.coo_array(([1, 2], ([0, 0], [1, 1])), (1, 2))).toarray()
    array([[0, 3]])
    """
    if X.ndim != 2:
        raise InputError(f"a sparse matrix has two axes, rows and columns; got the shape {X.shape}")
    if X.dtype.kind not in "biuf":
        raise InputError(f"the sparse matrix must hold integers, floats or booleans; got {X.dtype}")
    if X.shape[1] == 0:
        raise InputError(f"each row must hold at least one number; got a sparse matrix of shape {X.shape}")
    found = sparse.csr_array(X)
    if not found.has_canonical_format:
        found = found.copy()
        found.sum_duplicates()
    return found


def read_matrix(path: Path) -> SparseSource:
    """The matrix of a Matrix Market file (``.mtx``, ``.mtx.gz``), a row of it a row."""
    from scipy.io import mmread

    try:
        X = mmread(path)
    except (ValueError, OSError, EOFError, OverflowError) as error:
        raise InputError(f"cannot read {path}: {' '.join(str(error).split())[:150]}") from None
    return SparseSource(X if is_sparse(X) else sparse.csr_array(X))


def read_parts(path: Path, file: Any, labels: np.ndarray | None) -> SparseSource:
    """The matrix of an open ``.npz`` file that holds its parts.

    Raises:
        InputError: parts of another format, or that fit no matrix.
    """
    kind = bytes(file["format"].item()).decode() if "format" in file.files else "csr"
    makers = {"csr": sparse.csr_array, "csc": sparse.csc_array}
    if kind not in makers:
        raise InputError(f"{path} holds a sparse matrix as {kind}; save it as csr, as scipy.sparse.save_npz(X.tocsr())")
    try:
        X = makers[kind]((file["data"], file["indices"], file["indptr"]), shape=tuple(file["shape"].tolist()))
        X.check_format(full_check=True)
    except (ValueError, IndexError, TypeError, zipfile.BadZipFile) as error:
        raise InputError(f"{path} holds no whole sparse matrix: {' '.join(str(error).split())[:150]}") from None
    return SparseSource(X, labels)
