"""Memory while `latens train` learns from a folder of 100,000 images of 64 x 64: it must stay under 2 GB.

python benchmarks/streaming.py
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from common import begin, note, parser, table
from PIL import Image


def write(folder: Path, count: int, size: int) -> int:
    """Smooth pictures in colour, no two alike, 1,000 to a folder; returns the bytes they fill."""
    for start in range(0, count, 1000):
        (folder / f"{start // 1000:03d}").mkdir(parents=True)

    def one(i: int) -> int:
        coarse = np.random.default_rng(i).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        path = folder / f"{i // 1000:03d}" / f"{i:06d}.jpg"
        Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC).save(path, quality=85)
        return path.stat().st_size

    with ThreadPoolExecutor(2) as pool:
        return sum(pool.map(one, range(count)))


def memory(process: int) -> dict[str, int]:
    """Resident memory now and at its peak, in bytes, of a process and of all that it started."""
    found = {"VmRSS": 0, "VmHWM": 0}
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in found:
            found[name] = 1024 * int(value.split()[0])
    below = [memory(int(child)) for child in children]
    return {name: found[name] + sum(each[name] for each in below) for name in found}


def main() -> None:
    """Writes, trains, watches, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--images", type=int, default=100_000)
    options.add_argument("--size", type=int, default=64)
    options.add_argument(
        "--minutes", type=float, default=30, help="after which training is stopped; memory is then known"
    )
    options.add_argument("--model", help="as of latens train; its own choice by default")
    given = begin(options)
    with tempfile.TemporaryDirectory() as folder:
        images, run = Path(folder) / "images", Path(folder) / "run"
        start = time.perf_counter()
        nbytes = write(images, given.images, given.size)
        note(f"wrote {given.images} images, {nbytes / 2**20:.0f} MiB, in {time.perf_counter() - start:.0f} s")
        command = [str(Path(sys.executable).with_name("latens")), "train", str(images), "-o", str(run), "--epochs", "1"]
        command += ["--model", given.model] if given.model else []
        start, seen, stopped = time.perf_counter(), [], "the epoch's end"
        with subprocess.Popen(command) as training:
            while training.poll() is None:
                try:
                    seen.append(memory(training.pid))
                except (FileNotFoundError, ProcessLookupError):
                    break
                if time.perf_counter() - start > 60 * given.minutes:
                    stopped = f"{given.minutes:g} minutes"
                    training.terminate()
                    break
                time.sleep(0.25)
        seconds, status = time.perf_counter() - start, training.returncode
    peak, highest = max(m["VmHWM"] for m in seen), max(m["VmRSS"] for m in seen)
    raw = given.images * given.size**2 * 3
    row = [f"{raw / 1e9:.2f} GB", f"{highest / 1e9:.2f} GB", f"{peak / 1e9:.2f} GB", f"{seconds:.0f}", stopped, status]
    columns = ["images decoded", "highest VmRSS seen", "peak VmHWM", "s", "ended by", "exit status"]
    title = f"Streaming, {given.images} JPEGs of {given.size} x {given.size} in colour through latens train, one epoch"
    table(f"{title}: target < 2 GB resident", columns, [row])


if __name__ == "__main__":
    main()
