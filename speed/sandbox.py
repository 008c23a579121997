"""Small programs graded by the sandbox's warm pool, against two common ways without confinement, in one run.

``fork`` is the way of common harnesses for programs that models wrote: this process forks for each program, the child
executes program and tests together, and its word is believed; once from this small process, and once after torch and
transformers were imported, as in a process that trains. ``interpreter`` starts a fresh Python for each.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import resource
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from forgetting.record.files import write_json
from forgetting.record.provenance import commit, hardware, versions
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


def _executed(job: Asserts) -> int:
    """In the child: program and tests, unconfined, with what they print thrown away and a limit on processor time."""
    resource.setrlimit(resource.RLIMIT_CPU, (5, 6))
    with contextlib.suppress(BaseException), contextlib.redirect_stdout(io.StringIO()):
        exec(f"{job.program}\n{job.tests}", {})  # noqa: S102
        return 0
    return 1


def forked(count: int, workers: int) -> float:
    """Programs a second where this process forks for each, as common harnesses do."""

    def one(job: Asserts) -> bool:
        child = os.fork()
        if not child:
            os._exit(_executed(job))
        return os.waitpid(child, 0)[1] == 0

    start = time.perf_counter()
    with ThreadPoolExecutor(workers) as threads:
        assert all(threads.map(one, jobs(count)))
    return count / (time.perf_counter() - start)


def cold(count: int, workers: int) -> float:
    """Programs a second where each gets an unconfined interpreter of its own."""

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
        rows = []
        for _ in range(given.rounds):
            row = {"pool_per_second": warm(sandbox, given.programs), "fork_per_second": forked(given.programs, workers)}
            row |= {"interpreter_per_second": cold(given.programs // 4, workers), "load_average": os.getloadavg()[0]}
            rows.append(row)
        for name in ("torch", "transformers.models.qwen3.modeling_qwen3"):
            importlib.import_module(name)
        for row in rows:
            row["fork_holding_torch_per_second"] = forked(given.programs, workers)
        layers = dict(sandbox.layers)
    for row in rows:
        row["pool_to_fork"] = row["pool_per_second"] / row["fork_per_second"]
        row["pool_to_fork_holding_torch"] = row["pool_per_second"] / row["fork_holding_torch_per_second"]
        row["pool_to_interpreter"] = row["pool_per_second"] / row["interpreter_per_second"]
        print("  ".join(f"{name} {value:.1f}" for name, value in row.items()))
    found = {"rounds": rows, "workers": workers, "programs": given.programs, "layers": layers}
    write_json(given.output, {**found, "hardware": hardware(), "versions": versions(), "commit": commit()})


if __name__ == "__main__":
    main()
