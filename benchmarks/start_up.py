"""Time until `latens --help` has answered and until `import latens` has returned, each in a fresh process.

python benchmarks/start_up.py
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from common import begin, parser, table


def measure(command: list[str], repeats: int) -> tuple[float, float, float]:
    """(median, least) seconds by the clock, and median seconds of the processor; one run to warm the files first."""
    clock, cpu = [], []
    for _ in range(repeats + 1):
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        clock.append(time.perf_counter() - start)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return median(clock[1:]), min(clock[1:]), median(cpu[1:])


def main() -> None:
    """Measures, prints."""
    options = parser(__doc__ or "")
    options.add_argument("--repeats", type=int, default=10)
    given = begin(options)
    commands = {
        "`python -c pass`": ([sys.executable, "-c", "pass"], "-"),
        "`import latens`": ([sys.executable, "-c", "import latens"], "< 0.2 s"),
        "`latens --help`": ([str(Path(sys.executable).with_name("latens")), "--help"], "< 0.5 s"),
    }
    rows = []
    for name, (command, target) in commands.items():
        middle, least, cpu = measure(command, given.repeats)
        rows.append([name, f"{middle:.3f}", f"{least:.3f}", f"{cpu:.3f}", target])
    table(f"Start-up, medians of {given.repeats}", ["what", "s", "least s", "CPU-s", "target"], rows)


if __name__ == "__main__":
    main()
