"""What the benchmarks share: the data, the machine in words, a budget of processor time, one way to print a table."""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from latens.data import Source

HERE = Path(__file__).resolve().parent
DATA = HERE.parent.parent / "shared" / "data"


def parser(text: str, threads: int = 1) -> argparse.ArgumentParser:
    """A parser with what every script takes."""
    made = argparse.ArgumentParser(description=text)
    made.add_argument("--data", type=Path, default=DATA, help="the folder of data sets")
    made.add_argument("--threads", type=int, default=threads, help="of torch")
    return made


def begin(options: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments given; torch gets its threads."""
    import torch

    given = options.parse_args()
    torch.set_num_threads(given.threads)
    return given


def mnist(folder: Path, part: str) -> np.ndarray:
    """MNIST's images of "train" or "t10k", ``(n, 28, 28)`` bytes."""
    source = mnist_source(folder, part)
    return source.take(np.arange(len(source)))


def mnist_labels(folder: Path, part: str) -> np.ndarray:
    """The digits that the images of "train" or "t10k" show, ``(n,)``."""
    found = mnist_source(folder, part).labels
    if found is None:
        raise SystemExit(f"no labels beside {part}-images-idx3-ubyte.gz")
    return np.asarray(found)


def mnist_source(folder: Path, part: str) -> Source:
    """The images of "train" or "t10k", with their labels where these are there."""
    from latens.data import load

    return load(folder / "mnist" / f"{part}-images-idx3-ubyte.gz")


def binarised(folder: Path) -> dict[str, np.ndarray]:
    """Statically binarised MNIST: "train", "valid" and "test", ``(n, 28, 28)`` zeros and ones."""
    packed = np.load(folder / "binarized_mnist" / "binarized_mnist.npz")
    parts = ("train", "valid", "test")
    return {part: np.unpackbits(packed[part], axis=1)[:, :784].reshape(-1, 28, 28) for part in parts}


def cpu_seconds() -> float:
    """Processor time of this process, all its threads together: the same on a busy machine as on an idle one."""
    return time.process_time()


def machine() -> str:
    """The machine in words, with the threads that torch uses."""
    import torch

    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    names = [line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")]
    units = [unit for unit in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if unit in info][:1]
    accelerator = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    name = f"{names[0] if names else platform.processor()} ({', '.join(units) or platform.machine()})"
    return f"{os.cpu_count()} cores of an {name}, {accelerator}; {torch.get_num_threads()} thread(s)"


def versions(*packages: str) -> str:
    """Python's version, and those of packages that are installed."""
    found = [f"Python {platform.python_version()}"]
    for package in ("latens", "torch", "numpy", *packages):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} not installed")
    return ", ".join(found)


def table(title: str, columns: list[str], rows: list[list[object]], *packages: str) -> None:
    """Prints a table in Markdown with the conditions under which it came about, ready for RESULTS.md."""
    command = shlex.join(["python", os.path.relpath(sys.argv[0], HERE.parent), *sys.argv[1:]])
    cells = [columns, ["---"] * len(columns), *([_cell(value) for value in row] for row in rows)]
    print(f"\n### {title}\n\n{datetime.date.today()}; {machine()}; {versions(*packages)}; `{command}`\n")
    print("\n".join("| " + " | ".join(row) + " |" for row in cells), flush=True)


def _cell(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def note(text: str) -> None:
    """A line of progress, on the standard error."""
    print(text, file=sys.stderr, flush=True)
