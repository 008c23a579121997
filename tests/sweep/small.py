"""Small sweeps that the tests of this folder share: shipped students, runs of half a second, known surfaces."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import BaseStorage, InMemoryStorage

from forgetting.record.files import RunFolder
from forgetting.record.seals import file_hash, write_sealed
from forgetting.spec import Doses, Evaluation, Ladder, Optimiser, Spec
from forgetting.study import spec_files
from forgetting.study.run import Run
from forgetting.study.study import construct
from forgetting.sweep.driver import Driver, Start
from forgetting.sweep.outcomes import Made, RunOutcome
from forgetting.sweep.samplers import sampler
from forgetting.sweep.search_space import SweepSpace, space
from forgetting.sweep.storage import open_study
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target

MATHS = {"name": "maths", "items_per_depth": 8}


def study_spec(**changes: Any) -> Spec:
    """A study whose runs take half a second: shipped students, 160 dialogues at a high rate, 24 items."""
    plain = Spec(
        name="small",
        ladder=Ladder(students=("10k", "20k", "34k")),
        contaminations=("dialogue",),
        doses=Doses(dose=160, first=40),
        fine_tuning=Optimiser(learning_rate=4e-3, warmup_steps=2),
        evaluation=Evaluation(benchmarks=(MATHS,), perturbed="never", probe_items=8),
        seeds=2,
        keep="none",
    )
    return dataclasses.replace(plain, **changes)


def sweep_spec(study: Spec | None = None, **changes: Any) -> SweepSpec:
    """A sweep of at most six runs in rounds of two."""
    plain = SweepSpec(
        study=study or study_spec(),
        targets=(Target(levels=(0.5,)),),
        search=Search(round_size=2, startup_runs=2),
        stop=Stop(runs=6),
        executor="inline",
    )
    return dataclasses.replace(plain, **changes)


def write_spec(file: Path, spec: SweepSpec) -> Path:
    """The sweep as the YAML file that a user would write."""
    file.write_text(spec_files.dump(spec))
    return file


def trials(folder: Path) -> list[dict[str, Any]]:
    """The trials that a finished sweep's file lists, all targets."""
    found = json.loads((folder / "sweep.json").read_text())
    return [trial for target in found["targets"] for trial in target["trials"]]


def a_space(target: Target | None = None, **changes: Any) -> SweepSpace:
    """The space of one target on a small study; ``changes`` are the study's."""
    return space(construct(study_spec(**changes)), target or Target(levels=(0.5,)))


def findings(folder: Path) -> dict[str, Any]:
    """What must be equal where the same sweep was run: trials, thresholds, why it ended, and every score."""
    found = json.loads((folder / "sweep.json").read_text())
    for target in found["targets"]:
        for trial in target["trials"]:
            trial.pop("seconds")  # the one thing that no two runs share
    return {"targets": found["targets"], "runs": found["runs"], "scores": (folder / "scores.jsonl").read_text()}


LONG_LADDER = ("10k", "14k", "20k", "34k", "50k", "70k", "100k")


def wide_space(**changes: Any) -> SweepSpace:
    """Seven capacities, five seeds, shift 1; runs of it are looked up on a known surface."""
    return a_space(**{"ladder": Ladder(students=LONG_LADDER), "seeds": 5, **changes})


def surface(own: SweepSpace, key: Run, edge: float = 4.5) -> RunOutcome:
    """Retention on a logistic in log10 capacity that is .5 at ``edge``, with noise by run."""
    x, _ = own.coordinates((key.student.name, key.arm.shift))
    drawn = int.from_bytes(hashlib.sha256(str(key).encode()).digest()[:4], "big") / 2**32 - 0.5
    mean = 1 / (1 + math.exp(-12 * (x - edge)))
    return RunOutcome("ok", min(max(mean + 0.1 * drawn, 0.0), 1.0), 0.002, 1.0, 120)


def made_at_once(own: SweepSpace, of: Callable[[Run], Made] | None = None) -> Start:
    """A start whose runs are looked up on the surface (or given by ``of``), done before it returns."""

    def start(keys: Sequence[Run]) -> dict[Run, Future[Made]]:
        futures: dict[Run, Future[Made]] = {}
        for key in keys:
            futures[key] = Future()
            futures[key].set_result(of(key) if of else surface(own, key))
        return futures

    return start


def a_driver(
    own: SweepSpace,
    storage: BaseStorage | None = None,
    search: Search | None = None,
    stop: Stop | None = None,
    spent: Callable[[], str] = lambda: "",
) -> Driver:
    """A driver of one target; equal storages hold equal studies."""
    storage, search = storage or InMemoryStorage(), search or Search(round_size=4, startup_runs=4)
    study = open_study(storage, own.name, "mark", sampler(own, search))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return Driver(own, search, stop or Stop(), study, storage, spent, lambda step: step())


def sequence(driver: Driver) -> list[tuple[int, str, str, float | None]]:
    """Number, run, state and value of every trial."""
    return [(one.trial.number, str(one.run), one.trial.state.name, one.trial.value) for one in driver.asked()]


def nothing() -> None:
    """Heard, and nothing to do."""


def completed(folder: Path) -> RunFolder:
    """A run whose scores are all there is of it, marked as complete."""
    run = RunFolder(folder)
    files = {run.scores.name: file_hash(run.scores)}
    write_sealed(run.complete, {"fingerprint": "mark", "wall_seconds": {}, "files": files})
    return run
