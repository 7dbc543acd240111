"""Noise that belongs to a row: the same row under the same seed meets the same noise, wherever it stands.

This is what makes a score a function of the model, the row and the seed alone: neither the order of the rows, nor a
subset, nor the size of a batch changes it.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np


def row_streams(X: np.ndarray, seed: int) -> list[np.random.Generator]:
    """One generator per row: Philox under the key blake2b(row, seed).

    Rows are compared as float32 numbers, so that the same row as integers or as floats meets the same noise; equal
    rows share theirs.

    Args:
        X: numbers, shape (n, ...).
        seed: any integer.

    Reference: Salmon et al., Parallel random numbers: as easy as 1, 2, 3 (2011), for generators keyed by content.

    Example:
        >>> X = np.arange(6.0).reshape(3, 2)
        >>> forward = [stream.normal() for stream in row_streams(X, seed=0)]
        >>> backward = [stream.normal() for stream in row_streams(X[::-1], seed=0)]
        >>> forward == backward[::-1]
        True
    """
    key = int(seed).to_bytes(16, "little", signed=True)
    return [_stream(row, key) for row in _normalised(np.asarray(X))]


def _stream(row: np.ndarray, key: bytes) -> np.random.Generator:
    digest = hashlib.blake2b(row.data, digest_size=16, key=key).digest()
    seed: Any = _Key(digest)
    return np.random.Generator(np.random.Philox(seed))


class _Key(np.random.bit_generator.ISeedSequence):
    """The key of a generator as a seed: given as a key, one is drawn from the system too, which takes twice as long."""

    def __init__(self, digest: bytes) -> None:
        self.digest = digest

    def generate_state(self, n_words: int, dtype: Any = np.uint64) -> np.ndarray:
        """The key, in as many words as it has."""
        return np.frombuffer(self.digest, dtype)


def _normalised(X: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        rows = np.ascontiguousarray(X.reshape(len(X), -1), dtype=np.float32) + np.float32(0.0)
    rows[np.isnan(rows)] = np.nan
    return rows
