"""A hundred million rows by ``partial_fit``: memory must not grow with the rows, nor a digit be lost.

Rows come in parts of a million, each made when it is asked for; what is resident at the start of the first part and at
its peak is printed, together with the distance from the truth. Nothing is ever held but one part.

    PYTHONPATH=src OMP_NUM_THREADS=1 python benchmarks/constant_memory.py
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from common import begin, cpu_seconds, note, parser, table

from latens.density import DensityEstimator, Histogram, Parametric

MEAN = np.array([1e3, -2.0, 0.5, 7.0])
FACTOR = np.array([[1.0, 0, 0, 0], [0.5, 2.0, 0, 0], [-0.3, 0.2, 0.1, 0], [0.0, 1.0, 0.4, 3.0]])


def parts(rows: int, size: int, d: int) -> Iterator[np.ndarray]:
    """Normal rows, correlated where there are several columns, the first column far from zero."""
    for seed in range(rows // size):
        z = np.random.default_rng(seed).standard_normal((size, d))
        yield MEAN[:d] + z @ FACTOR[:d, :d].T


def resident(field: str) -> float:
    """MB of this process: ``VmRSS`` now, ``VmHWM`` at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def streamed(density: DensityEstimator, rows: int, size: int, d: int) -> tuple[float, float, float, float]:
    """MB at the first part, MB at the peak of the second, MB at the peak of all, processor's seconds of the fits."""
    Path("/proc/self/clear_refs").write_text("5")
    first = early = seconds = 0.0
    for i, part in enumerate(parts(rows, size, d)):
        start = cpu_seconds()
        first = first or resident("VmRSS")
        density.partial_fit(part)
        seconds += cpu_seconds() - start
        early = resident("VmHWM") if i == 1 else early
    return first, early, resident("VmHWM"), seconds


def distance(density: DensityEstimator, d: int) -> str:
    """From the truth, in standard errors of the estimate; for a histogram, its total weight."""
    if isinstance(density, Histogram):
        return f"{density.weight_.sum():.0f} rows in {len(density.mass_)} cells"
    params, errors = density.params_, density.standard_errors_
    truth = {"loc": MEAN[0], "scale": 1.0, "mean": MEAN[:d], "covariance": FACTOR[:d, :d] @ FACTOR[:d, :d].T}
    worst = max(np.abs((np.asarray(value) - truth[name]) / errors[name]).max() for name, value in params.items())
    return f"at most {worst:.1f} standard errors"


def main() -> None:
    """One row for each density."""
    options = parser(__doc__ or "")
    options.add_argument("--rows", type=int, default=100_000_000)
    options.add_argument("--part", type=int, default=1_000_000)
    given = begin(options)
    densities = {
        "Histogram(200), 1 column": (Histogram(200), 1),
        "normal, 1 column": (Parametric("normal"), 1),
        "joint normal, 4 columns": (Parametric("normal"), 4),
    }
    rows = []
    for name, (density, d) in densities.items():
        first, early, peak, seconds = streamed(density, given.rows, given.part, d)
        note(f"{name}: {seconds:.1f} s")
        figures = [f"{megabytes:.0f}" for megabytes in (given.rows * d * 8 / 2**20, first, early, peak)]
        rows.append([name, *figures, f"{seconds:.1f}", distance(density, d)])
    columns = ["density", "MB of rows", "resident MB", "peak of two parts", "peak of all", "CPU-s", "from the truth"]
    table(f"{given.rows:.0e} rows in parts of {given.part:.0e}: memory must be constant", columns, rows)


if __name__ == "__main__":
    main()
