"""Every way to fail is one line on the standard error and an exit status."""

from __future__ import annotations

import errno
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import TextIO

from latens.cli.screen import say

USER, FAILED, INTERRUPTED, PIPE = 2, 1, 130, 141


class Refused(Exception):
    """A command line that cannot be run."""


def guarded(action: Callable[[], None]) -> int:
    """Runs an action: 0, or the exit status of what went wrong, told in one line.

    2: the input or the disk; 130: Ctrl-C; 1: training that cannot go on, or an error of ours.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", UserWarning)
            warnings.showwarning = _note
            action()
        return 0
    except BrokenPipeError:
        _close_quietly(sys.stdout)
        return PIPE
    except KeyboardInterrupt as error:
        say(f"latens: interrupted. {error}")
        return INTERRUPTED
    except Exception as error:
        if os.environ.get("LATENS_DEBUG"):
            traceback.print_exc()
        status, message = explain(error)
        if status != USER or _speaks():
            say(f"latens: {message}")
        return status


def explain(error: Exception) -> tuple[int, str]:
    """The exit status and the line of an error.

    >>> explain(FileNotFoundError(2, "No such file or directory", "a.npy"))
    (2, 'a.npy: no such file or directory')
    """
    from latens.utils import InputError

    if isinstance(error, Refused):
        return USER, str(error)
    if isinstance(error, InputError):
        return USER, str(error)
    if isinstance(error, OSError):
        return USER, _of_the_system(error)
    name = type(error).__name__
    if name == "TrainingError":
        return FAILED, str(error)
    if name == "OutOfMemoryError" or isinstance(error, MemoryError) or "allocate memory" in str(error):
        wanted = " ".join(str(error).split())[:200]
        return FAILED, f"out of memory: use smaller --latents, --batch-size, --size or networks ({wanted})"
    return FAILED, f"unexpected {name}: {error} (LATENS_DEBUG=1 shows where; please report it)"


def _of_the_system(error: OSError) -> str:
    what = (error.strerror or str(error) or type(error).__name__).lower()
    where = f"{error.filename}: " if error.filename else ""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return where + what + ("; free some space and try again" if full else "")


def _note(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    if _speaks():
        say(f"note: {message}")


def _speaks() -> bool:
    """Whether this is the first of the processes that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def _close_quietly(stream: TextIO) -> None:
    """What is still buffered would fail once more at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except (OSError, ValueError):
        return
