"""Small programs graded by the sandbox's warm pool, against an interpreter started for each program, in one run."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from forgetting.provenance import commit, hardware, versions
from forgetting.records import write_json
from forgetting.sandbox.pool import Asserts, Sandbox

PROGRAM = "def f(numbers):\n    return sorted(n * n for n in numbers if n % {i} == 0)\n"
TESTS = "assert f([3, 2, 1, 4]) == sorted(n * n for n in [3, 2, 1, 4] if n % {i} == 0)\nassert f([]) == []\n"


def jobs(count: int) -> list[Asserts]:
    """Distinct programs, so that nothing could be cached."""
    return [Asserts(PROGRAM.format(i=i + 1), "f", TESTS.format(i=i + 1)) for i in range(count)]


def warm(sandbox: Sandbox, count: int) -> float:
    """Programs a second through the pool."""
    start = time.perf_counter()
    assert all(v.passed for v in sandbox.run(jobs(count)))
    return count / (time.perf_counter() - start)


def cold(count: int, workers: int) -> float:
    """Programs a second where each gets an unconfined interpreter of its own, as common harnesses do."""

    def one(job: Asserts) -> bool:
        run = [sys.executable, "-I", "-S", "-c", f"{job.program}\n{job.tests}"]
        return subprocess.run(run, capture_output=True, timeout=60, check=False).returncode == 0

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        assert all(threads.map(one, jobs(count)))
    return count / (time.perf_counter() - start)


def main() -> None:
    """Measure in turns, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--programs", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("results/speed/sandbox.json"))
    given = parser.parse_args()
    workers = len(os.sched_getaffinity(0))
    with Sandbox(workers=workers) as sandbox:
        warm(sandbox, 20)
        pairs = [
            (warm(sandbox, given.programs), cold(given.programs // 4, workers), os.getloadavg()[0])
            for _ in range(given.rounds)
        ]
        layers = dict(sandbox.layers)
    rows = [{"warm_per_second": w, "cold_per_second": c, "ratio": w / c, "load_average": load} for w, c, load in pairs]
    for row in rows:
        print("  ".join(f"{name} {value:.1f}" for name, value in row.items()))
    found = {"rounds": rows, "workers": workers, "programs": given.programs, "layers": layers}
    write_json(given.output, {**found, "hardware": hardware(), "versions": versions(), "commit": commit()})


if __name__ == "__main__":
    main()
