"""From a source of rows to what the loop trains on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from latens.data import Schema, Source, Subset
from latens.data.sequences import strings_of
from latens.data.sparse import is_sparse
from latens.data.text import is_documents
from latens.data.words import bags
from latens.training import Batches, ResidentBatches, StreamingBatches
from latens.utils.errors import InputError

_HELD_OUT_AT_MOST = 10_000
_LARGEST = 1e150


def tensor(rows: np.ndarray) -> Tensor:
    """Rows as a tensor of a dtype that torch can index and convert.

    >>> tensor(np.zeros(2, np.uint16)).dtype, tensor(np.zeros(2, np.uint8)).dtype
    (torch.int32, torch.uint8)
    """
    wide = {"uint16": np.int32, "uint32": np.int64, "uint64": np.float64, "float16": np.float32}
    rows = np.ascontiguousarray(rows, dtype=wide.get(rows.dtype.name, rows.dtype))
    return torch.from_numpy(rows if rows.flags.writeable else rows.copy())


def check_rows(name: str, source: Source, *, missing: bool, columns: Sequence[str] | None = None) -> None:
    """Refuses data that no network can be fitted to.

    Args:
        name: of the estimator.
        source: the rows.
        missing: whether NaN may stand for a missing entry.
        columns: their names; those of the source by default.
    """
    if len(source) < 2:
        remedy = " Cut one long recording into windows." if source.schema.kind == "signal" else ""
        raise InputError(
            f"{name} expects at least 2 examples; got {len(source)} sample. One point has no density.{remedy}"
        )
    if source.schema.has_missing and missing:
        _check_columns(source, source.schema.features if columns is None else columns)
    elif source.schema.has_missing:
        raise InputError(f"{name} expects complete rows; X contains NaN. Drop those rows or fill them in.")
    largest = max(abs(source.schema.low), abs(source.schema.high))
    if largest > _LARGEST:
        raise InputError(
            f"{name} expects numbers below {_LARGEST:g} in size, whose squares are finite; got {largest:.3g}. "
            "Divide the data by a constant."
        )


def _check_columns(source: Source, names: Sequence[str] | None) -> None:
    signal = source.schema.kind == "signal" and len(source.schema.shape) == 2
    if source.missing is None or not (signal or source.schema.kind == "table"):
        return
    gone = source.missing == len(source)
    empty = np.flatnonzero(gone.all(0) if signal else gone).tolist()
    if empty:
        noun = "channel" if signal else "column"
        name = f"{noun} {empty[0]}" if names is None else f"the {noun} '{names[empty[0]]}'"
        more = f", nor of {len(empty) - 1} more" if len(empty) > 1 else ""
        raise InputError(f"no value of {name} is observed{more}; nothing can be learned of it: leave it out.")


def filled(rows: np.ndarray, seed: int) -> np.ndarray:
    """Rows whose missing entries (NaN) hold values of the same column from rows drawn at random.

    A first batch filled so has the marginals of what is observed, which is all that initialisation looks at. What no
    row has stays missing.

    >>> filled(np.array([[1.0, np.nan], [np.nan, 5.0]]), seed=0)
    array([[1., 5.],
           [1., 5.]])
    """
    gaps = np.isnan(rows)
    first = np.argsort(gaps, axis=0, kind="stable")
    chosen = np.random.default_rng(seed).random(rows.shape) * (~gaps).sum(0)
    donors = np.take_along_axis(rows, np.take_along_axis(first, chosen.astype(np.intp), 0), 0)
    return np.where(gaps, donors, rows)


def split(n: int, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to train on and to hold out, both in order; none are held out of fewer than 20.

    >>> [len(part) for part in split(100, 0.1, seed=0)]
    [90, 10]
    """
    size = min(round(n * fraction), _HELD_OUT_AT_MOST) if n >= 20 else 0
    order = np.random.default_rng((seed, n)).permutation(n)
    return np.sort(order[size:]), np.sort(order[:size])


class _Beside:
    """Rows of a source with their context beside them."""

    def __init__(self, source: Source, context: np.ndarray | None) -> None:
        self.source, self.context = source, context

    def __len__(self) -> int:
        return len(self.source)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = tensor(self.source.take(indices)).numpy()
        return (rows,) if self.context is None else (rows, self.context[indices])


def batches(source: Source, indices: np.ndarray, context: np.ndarray | None, device: torch.device) -> Batches:
    """Resident on the device where the rows are in memory, streamed where they are not."""
    some = None if context is None else context[indices]
    if not source.in_memory:
        return StreamingBatches(_Beside(Subset(source, indices), some), device=device)
    rows = tensor(source.take(indices))
    return ResidentBatches(*([rows] if some is None else [rows, torch.from_numpy(some)])).to(device)


def seed_of(random_state: Any) -> int:
    """A seed from what scikit-learn calls a random state.

    >>> seed_of(7)
    7
    """
    if random_state is None:
        return int(np.random.SeedSequence().entropy % 2**31)  # type: ignore[operator]
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if not isinstance(random_state, (int, np.integer)) or not 0 <= random_state < 2**63:
        raise InputError(f"a seed is a whole number from 0 to 2**63 - 1, or a RandomState; got {random_state!r}")
    return int(random_state)


def is_table(X: Any) -> bool:
    """Whether this is a table, to be told apart from images, files, sources, sparse matrices and documents."""
    if isinstance(X, (str, Path, Source)) or is_sparse(X) or is_documents(X):
        return False
    try:
        return np.asarray(X).ndim <= 2
    except ValueError:
        return False


def is_text(rows: np.ndarray, schema: Schema) -> bool:
    """Whether rows stand for strings: for sequences of symbols, or for how often each word occurs."""
    counted = schema.kind == "words" and schema.features is not None and rows.dtype.kind in "iu"
    return schema.tokens is not None or counted


def texts(rows: np.ndarray, schema: Schema) -> list[str]:
    """The strings that rows stand for."""
    return bags(rows, schema.features or ()) if schema.tokens is None else strings_of(rows, schema)


def detached(X: Any) -> Any:
    """A tensor as an array; anything else as it is."""
    if not isinstance(X, Tensor):
        return X
    X = X.detach().cpu()
    return (X.float() if X.dtype == torch.bfloat16 else X).numpy()
