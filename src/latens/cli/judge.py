"""What a model is and how good it is; what data are."""

from __future__ import annotations

from latens.cli.screen import Answer


def evaluate(path: str, data: str, k: int | None) -> Answer:
    raise NotImplementedError


def report(path: str, data: str | None, output: str | None) -> Answer:
    raise NotImplementedError


def info(path: str) -> Answer:
    raise NotImplementedError


def check(data: str, size: str | None) -> Answer:
    raise NotImplementedError
