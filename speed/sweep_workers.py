"""A sweep on one worker and on two, and what ``--dry-run`` says beforehand: wall seconds of whole commands."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from forgetting import config
from forgetting.executors import executor_of
from forgetting.provenance import commit, hardware, versions
from forgetting.records import write_json
from forgetting.sweep.estimate import estimate_cost
from forgetting.sweep.spec import SweepSpec
from forgetting.sweep.sweep import construct_sweep


def command(file: Path, workers: int) -> float:
    """Wall seconds of ``forgetting sweep FILE --workers N``, start of Python and views included."""
    with tempfile.TemporaryDirectory() as output:
        words = ["sweep", str(file), "--workers", str(workers), "--output", output, "--quiet"]
        start = time.perf_counter()
        subprocess.run([sys.executable, "-m", "forgetting", *words], check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - start


def estimate(file: Path, workers: int) -> float:
    """Wall seconds that ``--dry-run`` expects."""
    sweep = construct_sweep(config.built_from(SweepSpec, config.read_mapping(file)))
    with executor_of({"name": "processes", "workers": workers}) as executor:
        return estimate_cost(sweep, executor).seconds


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sweep", type=Path, default=Path("sweeps/quick.yaml"))
    parser.add_argument("--pairs", type=int, default=2, help="pairs; the order alternates")
    parser.add_argument("--output", type=Path, default=Path("results/speed/sweep_workers.json"))
    options = parser.parse_args()
    load = os.getloadavg()[0]
    expected = estimate(options.sweep, 2)
    print(f"dry run, two workers: {expected:.1f} s", flush=True)
    wall_seconds: dict[int, list[float]] = {1: [], 2: []}
    for pair in range(options.pairs):
        for workers in (1, 2) if pair % 2 == 0 else (2, 1):
            wall_seconds[workers].append(command(options.sweep, workers))
            print(f"{workers} worker(s): {wall_seconds[workers][-1]:.1f} s", flush=True)
    ratios = [one / two for one, two in zip(wall_seconds[1], wall_seconds[2], strict=True)]
    taken = statistics.median(wall_seconds[2])
    result = {
        "what": "wall seconds of a whole sweep on one worker over those on two; and of the dry run's estimate over "
        "what the sweep on two workers took (goals: 1.6 or more; .7 to 1.3; under 180 s on two)",
        "command": " ".join(["python", *sys.argv]),
        "sweep": str(options.sweep),
        "ratio_median": round(statistics.median(ratios), 2),
        "ratios": [round(r, 2) for r in ratios],
        "wall_seconds": {str(n): [round(s, 1) for s in seconds] for n, seconds in wall_seconds.items()},
        "estimate_seconds": round(expected, 1),
        "estimate_over_taken": round(expected / taken, 2),
        "load_before": round(load, 2),
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.output, result)
    print(f"one worker over two: {result['ratio_median']} (median of {options.pairs} pairs)")
    print(f"estimate over taken: {result['estimate_over_taken']}")


if __name__ == "__main__":
    main()
