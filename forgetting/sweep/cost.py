"""What a sweep will cost on this machine, before it runs: runs, operations, time and disk, from a few measured seconds.

A small sweep of shipped students, with the sweep's own contamination, fine-tuning and evaluation, is run on the sweep's
own executor; its seconds a sample, a look and a run are interpolated in log capacity, and rounds of random points are
laid on the executor's slots, so that waiting at the end of a round counts. What the small sweep took beyond its runs
counts once: starting the workers, their first run, and the views, these in proportion to their figures. The driver's
own fits are left out (``speed/ask_tell.py`` has them).
"""

from __future__ import annotations

import dataclasses
import heapq
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from forgetting import seeds
from forgetting.executors.contract import Executor
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.spec import Doses, Ladder
from forgetting.stages.folder import run_folder
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.run import Run
from forgetting.study.study import construct
from forgetting.sweep.layout import Sweep
from forgetting.sweep.search_space import run_flops, stream_flops
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target
from forgetting.world.vocabulary import vocabulary

SHIPPED = ("10k", "34k", "100k")
DOSE = 640
DRAWS = 40


@dataclass(frozen=True)
class Cost:
    """The cost of a sweep: its runs at most, petaflops, wall seconds (mean, and 10th to 90th percentile), disk."""

    runs: int
    control_runs: int
    grid_runs: int
    missing_students: int
    petaflops: float
    seconds: float
    seconds_low: float
    seconds_high: float
    disk_megabytes: float
    slots: int


@dataclass(frozen=True)
class _Measured:
    """Seconds on this machine by log10 capacity: of a sample trained on, of a look, of everything else in a run."""

    log_capacity: NDArray[np.float64]
    sample: NDArray[np.float64]
    look: NDArray[np.float64]
    rest: NDArray[np.float64]
    start: float  # workers started and warm
    views: float
    look_bytes: float

    def run(self, run: Run) -> float:
        """Wall seconds of one run."""
        x = np.log10(run.student.parameters(len(vocabulary())))
        sample, look, rest = (
            float(np.exp(np.interp(x, self.log_capacity, np.log(np.maximum(y, 1e-6)))))
            for y in (self.sample, self.look, self.rest)
        )
        return sample * run.stream + look * len(run.doses) + rest


def estimate_cost(sweep: Sweep, executor: Executor, store: Path | None = None) -> Cost:
    """Measure, then lay random rounds of the sweep on the executor's slots."""
    measured = _measure(sweep, executor, store)
    study, spec, own = sweep.study, sweep.spec, Store(store)
    limit = spec.stop.runs
    counts = [min(limit or len(s.points) * s.repeats, len(s.points) * s.repeats) for s in sweep.spaces]
    controls = sweep.controls()
    missing = _missing_students(sweep, own)
    distilling = _distilling_seconds(sweep, measured, missing)
    totals, flops = [], []
    for draw in range(DRAWS):
        rng = seeds.generator(spec.search.seed, "estimate", draw)
        seconds = measured.start + measured.views
        seconds += _laid([measured.run(run) for run in controls], executor.slots)
        seconds += sum(distilling) / executor.slots
        petaflops = sum(run_flops(study, run) for run in controls)
        for own_space, count in zip(sweep.spaces, counts, strict=True):
            every = [own_space.run(point, repeat) for point in own_space.points for repeat in range(own_space.repeats)]
            chosen = [every[i] for i in rng.permutation(len(every))[:count]]
            petaflops += sum(run_flops(study, run) for run in chosen)
            size = spec.search.round_size
            for begin in range(0, count, size):
                seconds += _laid([measured.run(run) for run in chosen[begin : begin + size]], executor.slots)
        totals.append(seconds)
        flops.append(petaflops / 1e15)
    low, middle, high = np.quantile(totals, (0.1, 0.5, 0.9))
    looks = np.mean([len(run.doses) for run in study.runs()])
    return Cost(
        runs=sum(counts),
        control_runs=len(controls),
        grid_runs=sum(len(s.points) * s.repeats for s in sweep.spaces),
        missing_students=len(missing),
        petaflops=float(np.mean(flops)),
        seconds=float(middle),
        seconds_low=float(low),
        seconds_high=float(high),
        disk_megabytes=float((sum(counts) + len(controls)) * looks * measured.look_bytes / 1e6),
        slots=executor.slots,
    )


def show(cost: Cost) -> None:
    """Print a cost as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table("what", "at most", title="what this sweep will cost here", title_justify="left")
    table.add_row("runs", f"{cost.runs} searched (the full grid has {cost.grid_runs}), {cost.control_runs} of controls")
    table.add_row("students to distil first", str(cost.missing_students))
    table.add_row("operations", f"{cost.petaflops:,.3g} petaflop, students' distillation not counted")
    spread = f"{_duration(cost.seconds_low)} to {_duration(cost.seconds_high)}"
    table.add_row("time", f"{_duration(cost.seconds)} on {cost.slots} at a time ({spread} over which runs are chosen)")
    table.add_row("disk", f"{cost.disk_megabytes:,.1f} MB, checkpoints not counted")
    Console(file=sys.stdout).print(table)


def _duration(seconds: float) -> str:
    return (
        f"{seconds:.0f} s"
        if seconds < 180
        else f"{seconds / 60:.1f} min"
        if seconds < 7200
        else f"{seconds / 3600:.1f} h"
    )


def _measure(sweep: Sweep, executor: Executor, store: Path | None) -> _Measured:
    """Run the small sweep and read its seconds; of the runs of one student, the fastest had a warm worker."""
    small = _small(sweep.spec, executor.slots)
    with tempfile.TemporaryDirectory() as place:
        begin = time.perf_counter()
        folder = run_sweep(small, executor=executor, output=Path(place), store=store, quiet=True).folder
        wall = time.perf_counter() - begin
        views = float(json.loads((folder / "record.json").read_text())["seconds"]["views"])
        figures = max(1, len(list((folder / "figures").glob("*.svg"))))
        laid_out = construct(small.study)
        looks = len(small.study.doses.values())
        found: dict[float, list[tuple[float, ...]]] = {}
        for run in laid_out.runs():
            own = RunFolder(run_folder(folder, run))
            seconds = json.loads(own.complete.read_text())["wall_seconds"]
            training, looking = seconds.pop("training"), seconds.pop("evaluation") + seconds.pop("logging")
            written = sum(p.stat().st_size for p in own.folder.rglob("*") if p.is_file())
            x = float(np.log10(run.student.parameters(len(vocabulary()))))
            row = (training / small.study.doses.dose, looking / looks, sum(seconds.values()), written / looks)
            found.setdefault(x, []).append(row)
    sample, look, rest, look_bytes = np.array([np.min(rows, axis=0) for rows in found.values()]).T
    working = np.repeat(sample * small.study.doses.dose + looks * look + rest, small.study.seeds)
    start = max(wall - views - _laid(working.tolist(), executor.slots), 0.0)
    places = sum(len(own.shifts) for own in sweep.spaces)  # each has a figure of its own
    views *= 1 + (places - 1) / figures
    return _Measured(np.array(list(found)), sample, look, rest, start, views, float(look_bytes.mean()))


def _small(spec: SweepSpec, slots: int) -> SweepSpec:
    """Shipped students in one arm of the sweep, up to a low dose; each once more than there are workers to warm up."""
    study = spec.study
    kept = [dose for dose in study.doses.values()[1:] if dose <= DOSE]
    doses = dataclasses.replace(study.doses, dose=kept[-1]) if kept else Doses(dose=DOSE, first=DOSE)
    one_arm = dataclasses.replace(
        study,
        ladder=Ladder(students=SHIPPED),
        contaminations=study.contaminations[:1],
        shifts=(1.0,),
        rate_multiples=(1.0,),
        rate_policies=(),
        fine_tuning=dataclasses.replace(
            study.fine_tuning, rate_policy="constant"
        ),  # whatever the rate, it costs the same
        mitigations=("none",),
        controls=(),
        doses=doses,
        seeds=slots + 1,
    )
    target = Target(skill=spec.targets[0].skill, levels=spec.targets[0].levels)
    every = len(SHIPPED) * one_arm.seeds
    return SweepSpec(one_arm, (target,), Search("grid", round_size=every, startup_runs=2), Stop(0.0, runs=every))


def _laid(seconds: Sequence[float], slots: int) -> float:
    """Wall seconds of tasks on some slots, the longest first."""
    ends = [0.0] * max(slots, 1)
    for one in sorted(seconds, reverse=True):
        heapq.heappush(ends, heapq.heappop(ends) + one)
    return max(ends)


def _missing_students(sweep: Sweep, store: Store) -> list[Run]:
    """One run for each student that the sweep may need and the store lacks."""
    study, found = sweep.study, {}
    for own in sweep.spaces:
        for student in own.students:
            for repeat in range(own.repeats):
                run = own.run((student, own.shifts[0]), repeat)
                mark = fingerprint(student_form(study, run.student, run.distillation_seed))
                if store.find(mark) is None:
                    found[mark] = run
    return list(found.values())


def _distilling_seconds(sweep: Sweep, measured: _Measured, missing: Sequence[Run]) -> list[float]:
    """By student: its distillation's operations at the seconds an operation that fine-tuning showed."""
    study, seconds = sweep.study, []
    arm = sweep.spaces[0].arms[sweep.spaces[0].shifts[-1]]
    for student in (run.student for run in missing):
        one = stream_flops(student, arm.contamination, 1.0)
        x = np.log10(student.parameters(len(vocabulary())))
        sample = float(np.exp(np.interp(x, measured.log_capacity, np.log(measured.sample))))
        taught = sum(stage.fit.samples for stage in study.stages)
        seconds.append(sample / one * stream_flops(student, study.original, taught))
    return seconds
