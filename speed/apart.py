"""Measuring sizes, each in a process of its own: what ``load.py`` and ``load_real.py`` share."""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from forgetting.record.files import write_json
from forgetting.record.provenance import commit, hardware, versions

Measure = Callable[[Path, str, int], dict[str, Any]]  # an empty folder, study or sweep, and its size


def main(doc: str | None, measure: Measure, runs: Sequence[int], trials: Sequence[int]) -> None:
    """Measure studies of so many runs and sweeps of so many trials; print and write."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="*", default=list(runs))
    parser.add_argument("--trials", type=int, nargs="*", default=list(trials))
    parser.add_argument("--only", choices=("study", "sweep"), help=argparse.SUPPRESS)
    parser.add_argument("--size", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    if given.only:
        with tempfile.TemporaryDirectory() as place:
            found = measure(Path(place), given.only, given.size)
        found["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
        print(json.dumps(found))
        return
    whole: dict[str, Any] = {"commit": commit(), "hardware": hardware(), "versions": versions()}
    whole["study"] = [_apart("study", size) for size in given.runs]
    whole["sweep"] = [_apart("sweep", size) for size in given.trials]
    print(json.dumps(whole, indent=1))
    if given.output:
        write_json(given.output, whole)


def _apart(what: str, size: int) -> dict[str, Any]:
    command = [sys.executable, sys.argv[0], "--only", what, "--size", str(size)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    sys.stderr.write(f"{what}: {found}\n")
    return found
