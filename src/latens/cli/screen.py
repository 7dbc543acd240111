"""What a person sees, and what a program reads: results on stdout, everything else on stderr."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Line = tuple[str, ...]


@dataclass
class Answer:
    """The result of a verb.

    Args:
        data: what ``--json`` prints.
        lines: what a person reads, a tuple of cells each.
        header: the names of the columns, where there are several.
        closing: what stands below.
    """

    data: Mapping[str, Any]
    lines: Sequence[Line] = ()
    header: Line = ()
    closing: Sequence[str] = field(default_factory=tuple)

    def show(self, as_json: bool) -> None:
        """Writes it to the standard output."""
        sys.stdout.write(self.json() if as_json else self.table())
        sys.stdout.flush()

    def json(self) -> str:
        """One object; numbers that JSON does not know become null."""
        return json.dumps(plain(self.data), ensure_ascii=False, indent=2) + "\n"

    def table(self) -> str:
        """Aligned columns, coloured on a terminal alone."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        shown = Table(
            box=None, show_header=bool(self.header), pad_edge=False, padding=(0, 3, 0, 0), header_style="bold"
        )
        for i in range(max(map(len, self.lines), default=0)):
            name = self.header[i] if self.header else ""
            shown.add_column(name, style="cyan" if i == 0 else "", overflow="fold", no_wrap=i == 0)
        for line in self.lines:
            shown.add_row(*map(Text, line))
        console = Console(file=sys.stdout, highlight=False)
        if not console.is_terminal:
            console = Console(file=sys.stdout, highlight=False, width=1000)
        with console.capture() as capture:
            if self.lines:
                console.print(shown)
            for said in self.closing:
                console.print(Text(said), soft_wrap=True)
        lines = capture.get().splitlines()
        return "".join(f"{line if console.is_terminal else line.rstrip()}\n" for line in lines)


def say(line: str) -> None:
    """One line to the standard error."""
    sys.stderr.write(" ".join(line.split()) + "\n")
    sys.stderr.flush()


def plain(value: Any) -> Any:
    """Numbers, text, lists and dictionaries; NaN and infinity become None.

    >>> plain({"a": (1.0, float("nan"))})
    {'a': [1.0, None]}
    """
    if isinstance(value, Mapping):
        return {str(name): plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float)) else str(value)


@contextmanager
def working(what: str) -> Iterator[None]:
    """Says what takes a moment, on a terminal alone."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    with console.status(f"[dim]{what} ..."):
        yield
