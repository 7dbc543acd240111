"""A CSV file of ten million rows: how much memory training on it and scoring it take, each in a process of its own.

The file has 12 columns (real numbers, counts, whole numbers, days, booleans, categories, gaps) and is made in a
temporary folder, unless ``--file`` names one made so before. What is measured is the largest resident size of ``latens
train`` and of ``latens score``, as a user would start them; the model that scores was trained on the first 20,000 rows.
``--limit`` ends each after so many CPU-seconds: all that grows with the rows is held before the first step and block.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/csv_memory.py
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from common import begin, note, parser, table
from pyarrow import csv

BLOCK = 500_000


def rows(n: int, seed: int) -> pa.Table:
    """Rows whose columns hang together."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=n)
    return pa.table(
        {
            "amount": np.exp(3 + z + 0.3 * rng.normal(size=n)).round(2),
            "balance": (1000 * z + 300 * rng.normal(size=n)).round(2),
            "score": pa.array((0.5 * z + rng.normal(size=n)).round(4), mask=rng.random(n) < 0.05),
            "ratio": rng.beta(2, 5, n).round(6),
            "visits": rng.poisson(np.exp(0.5 * z)),
            "age": np.clip(rng.normal(45 + 5 * z, 15).round(), 18, 99).astype(np.int64),
            "year": rng.integers(1990, 2025, n),
            "day": pa.array((18_000 + rng.integers(0, 2000, n)).astype(np.int32)).cast(pa.date32()),
            "active": np.where(rng.random(n) < 0.7, "yes", "no"),
            "kind": np.array(["gold", "silver", "bronze"])[np.clip((z + 1.5).astype(int), 0, 2)],
            "city": np.array([f"city {i}" for i in range(100)])[np.minimum(rng.geometric(0.05, n), 99)],
            "flag": rng.integers(0, 2, n),
        }
    )


def make(path: Path, n: int) -> None:
    """Writes n rows, some at a time."""
    with pa.OSFile(str(path), "wb") as file:
        for start in range(0, n, BLOCK):
            options = csv.WriteOptions(include_header=start == 0, quoting_style="none")
            csv.write_csv(rows(min(BLOCK, n - start), start), file, options)


def peak(limit: int, *words: object) -> tuple[str, float, float]:
    """How one command ended, its CPU seconds, and its largest resident size in GiB."""
    bound = (lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))) if limit else None
    command = [sys.executable, "-m", "latens", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, preexec_fn=bound) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode > 0 or (process.returncode < 0 and not limit):
        sys.exit(f"latens {words[0]} ended with status {process.returncode}")
    return "stopped" if process.returncode else "done", usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 2**20


def main() -> None:
    """One row for each command."""
    options = parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=10_000_000)
    options.add_argument("--file", type=Path, help="a file made before")
    options.add_argument("--limit", type=int, default=0, help="CPU-seconds after which a command is ended")
    options.add_argument("--model", default="VAE(epochs=1, batch_size=8192)")
    given = begin(options)
    lines = []
    with tempfile.TemporaryDirectory() as folder:
        data, few, run = given.file or Path(folder) / "rows.csv", Path(folder) / "few.csv", Path(folder) / "run"
        if given.file is None:
            make(data, given.rows)
        make(few, 20_000)
        peak(0, "train", few, "-o", run, "--model", given.model)
        size = data.stat().st_size / 2**30
        note(f"{data}: {size:.2f} GiB")
        commands = {
            "train": ("train", data, "-o", Path(folder) / "large", "--model", given.model),
            "score, k = 1": ("score", run, data, "-k", 1, "-o", Path(folder) / "scores.npy"),
        }
        for name, words in commands.items():
            end, seconds, gib = peak(given.limit, *words)
            note(f"{name}: {end} after {seconds:.0f} CPU-s, {gib:.2f} GiB")
            lines.append([name, f"{size:.2f}", f"{gib:.2f}", f"{seconds:.0f}", end])
    columns = ["command", "GiB of the file", "GiB resident at most", "CPU-s", ""]
    table(f"A CSV file of {given.rows:,} rows and 12 columns: at most 3 GiB", columns, lines, "pyarrow")


if __name__ == "__main__":
    main()
