"""What a sweep will cost on this machine, before it runs: runs, operations, time and disk, from a few measured seconds.

Seconds of the parts come from ``pace``. Rounds of random points are laid on the executor's slots, so that waiting
at the end of a round counts; a run that several targets ask for is made once. To the first run of each student is added
what makes it, of so many steps as it may take at most: one that reaches its target sooner costs less. Matched rates
take pilots, of half the number that they may. Starting workers counts once, and so do the views, these in proportion
to their figures. The driver's own fits are left out (``speed/ask_tell.py`` has them).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from forgetting import seeds
from forgetting.errors import UsageError
from forgetting.executors.contract import Executor
from forgetting.record.store import Store
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.run import Run
from forgetting.study.students import Student
from forgetting.sweep.layout import Sweep
from forgetting.sweep.pace import PILOTS, Pace, laid, measure
from forgetting.sweep.search_space import length, run_flops

DRAWS = 40
BUSY = 0.8  # of a core: with less the machine had other work


@dataclass(frozen=True)
class Cost:
    """The cost of a sweep: its runs at most, petaflops, wall seconds (mean, and 10th to 90th percentile), disk.

    Seconds are of cores that nobody else uses; ``share`` is how much of a core a worker had while they were measured.
    """

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
    share: float = 1.0
    unknown: str = ""  # what is not in the seconds


class _Work:
    """What is still to be made, and its seconds: a run, its student where nobody made it, its rate.

    ``known`` are seconds of runs as such, which are the same in every draw.
    """

    def __init__(self, sweep: Sweep, measured: Pace, missing: Mapping[str, Student], known: dict[Run, float]) -> None:
        self.sweep, self.measured, self.known = sweep, measured, known
        self.missing, self.made, self.matched = set(missing), set[Run](), set[tuple[str, str]]()

    def seconds(self, runs: Iterable[Run]) -> list[float]:
        """Of those runs that nobody asked for before."""
        new = [run for run in dict.fromkeys(runs) if run not in self.made]
        self.made.update(new)
        return [self._rate(run) + self._student(run.student, run.distillation_seed) + self._run(run) for run in new]

    def _run(self, run: Run) -> float:
        if run not in self.known:
            self.known[run] = self._alone(run)
        return self.known[run]

    def _alone(self, run: Run) -> float:
        first = self.sweep.study.arms[0].contamination  # what was measured
        source, original = run.arm.contamination, self.sweep.study.original
        kinds = ((source, run.doses[-1]), (original, run.stream - run.doses[-1]))
        trained = sum(self.measured.trained(run.student, n, length(own) / length(first)) for own, n in kinds)
        return trained + self.measured.looks(run.student, len(run.doses)) + self.measured.others(run.student)

    def _student(self, student: Student, seed: int) -> float:
        study = self.sweep.study
        if self.measured.lessons is None:
            return 0.0
        mark = fingerprint(student_form(study, student, seed))
        if mark not in self.missing:
            return 0.0
        self.missing.discard(mark)
        return self.measured.taught(study, student)

    def _rate(self, run: Run) -> float:
        study = self.sweep.study
        if not study.is_matched(run.arm):
            return 0.0
        arm, found = study.pilot_arm(run.arm), 0.0
        longer = length(arm.contamination) / length(study.arms[0].contamination)
        for student in dict.fromkeys((study.matching_reference, run.student)):
            if (student.name, str(arm)) not in self.matched:
                self.matched.add((student.name, str(arm)))
                pilots = 1 if student == study.matching_reference else PILOTS * study.spec.matching.pilots
                trained = self.measured.trained(student, study.pilot_dose(arm) / arm.share(), longer)
                found += self._student(student, study.pilot_seed) + pilots * trained
        return found


def estimate_cost(sweep: Sweep, executor: Executor, store: Path | None = None) -> Cost:
    """Measure, then lay random rounds of the sweep on the executor's slots.

    Raises:
        UsageError: a sweep of checkpoints
    """
    study, spec, own = sweep.study, sweep.spec, Store(store)
    if study.teacher is None:
        raise UsageError(
            "--dry-run: must be of a sweep whose students are distilled, for which small ones can stand; what"
            " checkpoints take is told by forgetting simulate --estimate"
        )
    missing = dict(_missing_students(sweep, own))
    measured = measure(sweep, executor, own, bool(missing))
    limit = spec.stop.runs
    counts = [min(limit or len(s.points) * s.repeats, len(s.points) * s.repeats) for s in sweep.spaces]
    controls = sweep.controls()
    once = measured.start + measured.views + _written(sweep, measured, missing)
    totals, flops, asked, known = [], [], [], dict[Run, float]()
    for draw in range(DRAWS):
        rng, work = seeds.generator(spec.search.seed, "estimate", draw), _Work(sweep, measured, missing, known)
        seconds = once + laid(work.seconds(controls), executor.slots)
        for own_space, count in zip(sweep.spaces, counts, strict=True):
            every = [own_space.run(point, repeat) for point in own_space.points for repeat in range(own_space.repeats)]
            chosen = [every[i] for i in rng.permutation(len(every))[:count]]
            size = spec.search.round_size
            for begin in range(0, count, size):
                seconds += laid(work.seconds(chosen[begin : begin + size]), executor.slots)
        totals.append(seconds)
        flops.append(sum(run_flops(study, run) for run in work.made) / 1e15)
        asked.append(len(work.made))
    low, middle, high = np.quantile(totals, (0.1, 0.5, 0.9))
    looks = np.mean([len(run.doses) for run in study.runs()])
    return Cost(
        runs=max(asked) - len(controls),
        control_runs=len(controls),
        grid_runs=len({run for own_space in sweep.spaces for run in own_space.runs}),
        missing_students=len(missing),
        petaflops=float(np.mean(flops)),
        seconds=float(middle),
        seconds_low=float(low),
        seconds_high=float(high),
        disk_megabytes=float(max(asked) * looks * measured.look_bytes / 1e6),
        slots=executor.slots,
        share=measured.share,
        unknown="the teacher and the students are to be trained first" if missing and not measured.lessons else "",
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
    if cost.unknown:
        table.add_row("", f"not counted: {cost.unknown}")
    if cost.share < BUSY:
        busy = f"a worker had {cost.share:.0%} of a core while this was measured, so that now it would take"
        table.add_row("on this busy machine", f"{busy} {_duration(cost.seconds / cost.share)}")
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


def _missing_students(sweep: Sweep, store: Store) -> Iterator[tuple[str, Student]]:
    """The students that the sweep may need and the store lacks, by fingerprint, those of pilots among them."""
    study = sweep.study
    wanted = [(run.student, run.distillation_seed) for own in sweep.spaces for run in own.runs]
    wanted += [(run.student, run.distillation_seed) for run in sweep.controls()]
    if any(study.is_matched(arm) for own in sweep.spaces for arm in own.arms.values()):
        wanted += [(student, study.pilot_seed) for student in study.students]
    for student, seed in dict.fromkeys(wanted):
        mark = fingerprint(student_form(study, student, seed))
        if store.find(mark) is None:
            yield mark, student


def _written(sweep: Sweep, measured: Pace, missing: dict[str, Student]) -> float:
    """Seconds in which the teacher writes the answers of the pools: of a shared one once, else of each seed's own."""
    if not missing or measured.lessons is None:
        return 0.0
    fit = sweep.study.stages[0].fit
    seeds_of = {run.distillation_seed for own in sweep.spaces for run in own.runs}
    count = fit.shared_pool or fit.pool * len(seeds_of)
    return measured.lessons.written * count
