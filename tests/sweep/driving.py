"""A sweep's driver in a process of its own, to be killed; its workers; and what must be equal of two sweeps."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.storage import open_storage
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target
from tests.sweep.small import findings, study_spec, sweep_spec, write_spec

ROOT = Path(__file__).parents[2]


def disturbed_spec(storage: str = "", executor: Any = "processes", seed: int = 0) -> SweepSpec:
    """The sweep that is disturbed: up to eight runs in rounds of two, by the level-set search."""
    return sweep_spec(
        study_spec(seeds=3),
        targets=(Target(levels=(0.5, 0.8)),),
        search=Search(round_size=2, startup_runs=2, seed=seed),
        stop=Stop(0.0, runs=8),
        storage=storage,
        executor=executor,
    )


def driver(spec: SweepSpec, output: Path) -> subprocess.Popen[str]:
    """Start ``forgetting sweep`` on the spec in a session of its own."""
    output.mkdir(exist_ok=True)
    file = write_spec(output.parent / f"{output.name}.yaml", spec)
    command = [sys.executable, "-m", "forgetting", "sweep", str(file), "--output", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True,
        preexec_fn=_interruptible,
    )  # fmt: skip


def _interruptible() -> None:
    """Control-C means what it usually does, also where tests were started in the background, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def finish(process: subprocess.Popen[str], seconds: float = 300) -> str:
    """Wait for a driver that must succeed; what it said."""
    _, said = process.communicate(timeout=seconds)
    assert process.returncode == 0, said
    return said


def workers(parent: int) -> list[int]:
    """The worker processes of a driver (Linux)."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            stat, command = (place / "stat").read_text(), (place / "cmdline").read_bytes()
        except OSError:  # it ended meanwhile
            continue
        if int(stat.rpartition(")")[2].split()[1]) == parent and b"forgetting.executors.worker" in command:
            found.append(int(place.name))
    return found


def folder_of(spec: SweepSpec, output: Path) -> Path:
    """Where the sweep's files are."""
    return output / construct_sweep(spec).folder_name


def essence(spec: SweepSpec, output: Path) -> dict[str, Any]:
    """Trials, thresholds, why it ended and every score: equal for equal sweeps, however disturbed."""
    return findings(folder_of(spec, output))


def in_storage(spec: SweepSpec, output: Path) -> list[tuple[int, str, float | None]]:
    """Number, run and value of every trial in the Optuna study; each must be complete, and no run there twice."""
    whole = construct_sweep(spec)
    storage = open_storage(spec.storage, folder_of(spec, output))
    study = optuna.load_study(study_name=f"{whole.folder_name}/{whole.spaces[0].name}", storage=storage)
    trials = study.get_trials()
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    runs = Counter(t.user_attrs["run"] for t in trials)
    assert max(runs.values()) == 1
    assert set(runs) == {p.name for p in (folder_of(spec, output) / "runs").iterdir()}
    return [(t.number, t.user_attrs["run"], t.value) for t in trials]
