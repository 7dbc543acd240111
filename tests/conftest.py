"""Every test by itself: one thread, and random numbers of its own whatever ran before it; processes that start fast."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import multiprocessing
import socket
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(autouse=True)
def _numbers_of_its_own(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    module = getattr(request.node, "module", None)
    if isinstance(getattr(module, "RNG", None), np.random.Generator):
        monkeypatch.setattr(module, "RNG", np.random.default_rng(1))


SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["latens.cli.train", "latens.presets"])

BEGIN = """
import os, signal, sys
import numpy
os.environ.clear()
os.environ.update(environment)
for number, file in enumerate(files, 1):
    os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
signal.signal(signal.SIGINT, signal.default_int_handler)
numpy.random.seed()
sys.argv = ["-c", *arguments]
exec(script, {"__name__": "__main__"})
"""


class Child:
    """``python -c script *arguments``, forked from a process that has loaded torch and latens, which takes seconds."""

    def __init__(self, folder: Path, script: str, arguments: list[str], environment: dict[str, str]) -> None:
        self.files = [str(folder / name) for name in ("out", "err")]
        given = {"script": script, "arguments": arguments, "environment": environment, "files": self.files}
        self.process = SERVER.Process(target=exec, args=(BEGIN, given))
        self.process.start()

    def said(self) -> list[str]:
        """What it has written so far to its standard output and its standard error."""
        return [Path(file).read_text() if Path(file).exists() else "" for file in self.files]

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit status, minus the number of the signal that ended it."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            raise TimeoutError(f"still running after {timeout:g} s; it said {self.said()}")
        return self.process.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)


@pytest.fixture
def fork(tmp_path_factory):
    """Starts a script in a process: ``fork(script, *arguments, **environment)``."""
    children: list[Child] = []

    def fork(script: str, *arguments: object, **environment: str) -> Child:
        given = {**os.environ, **environment}
        children.append(Child(tmp_path_factory.mktemp("process"), script, list(map(str, arguments)), given))
        return children[-1]

    yield fork
    for child in children:
        child.process.kill()
        child.process.join()
        child.process.close()


@pytest.fixture
def group(fork):
    """Starts a script in several processes that are one group, as torchrun does: ``group(world, script, ...)``."""

    def group(world: int, script: str, *arguments: object) -> list[Child]:
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = str(s.getsockname()[1])
        shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "GLOO_SOCKET_IFNAME": "lo"}
        return [fork(script, *arguments, RANK=str(rank), **shared) for rank in range(world)]

    return group
