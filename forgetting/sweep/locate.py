"""``locate_threshold``: plain arguments in, a threshold sweep carried out, the threshold with its interval out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from forgetting import registry
from forgetting.analysis.thresholds.threshold import Threshold
from forgetting.errors import UsageError, checked, require
from forgetting.executors import executor_of
from forgetting.report.result import Result
from forgetting.report.sweeps import doses as dose_axis
from forgetting.report.sweeps import sweep_tables
from forgetting.report.sweeps.read import SweepFolder, read_sweep
from forgetting.spec import PartValue
from forgetting.study.arguments import Arguments, explained, given_of, merged, several_of
from forgetting.sweep.sweep_spec import Method, SweepAxis, SweepSpec

if TYPE_CHECKING:
    from typing import Unpack


@dataclass(frozen=True, eq=False)
class Located:
    """What a threshold sweep found. ``result`` has the curves, scores and report of the runs that were made."""

    result: Result
    sweep: SweepFolder

    @property
    def threshold(self) -> Threshold:
        """The threshold at the first level and the largest shift (of the shift axis: at the largest student)."""
        return self.at()

    def at(self, place: float | str | None = None, level: float | None = None) -> Threshold:
        """The threshold at a shift (of the shift axis: for a student), by default the last, and at a level.

        Raises:
            UsageError: a place or level that was not searched
        """
        target = self.sweep.targets[0]
        own = [p for p in self.sweep.families[0].thresholds if p.threshold.axis == target.axis]
        wanted = own[-1].place if place is None else place
        height = target.levels[0] if level is None else level
        for placed in own:
            if placed.place == wanted and placed.threshold.level == height:
                return placed.threshold
        known = [f"{p.place} with level {p.threshold.level:g}" for p in own]
        raise UsageError(f"place, level: must be one of {', '.join(known)}, got {wanted} with level {height:g}")

    def dose(self, student: str, level: float | None = None, shift: float | None = None) -> Threshold:
        """The largest dose at which a student keeps a level, read from its curves (90% interval).

        Raises:
            UsageError: a student or shift that was not searched
        """
        target = self.sweep.targets[0]
        where = max(target.arms) if shift is None else shift
        require(student in target.students, "student", f"one of {list(target.students)}", student)
        require(where in target.arms, "shift", f"one of {list(target.arms)}", where)
        height = target.levels[0] if level is None else level
        return dose_axis.dose_threshold(self.sweep, target, student, where, height)

    @property
    def ended(self) -> str:
        """Why the search ended: ``width: ...``, ``budget: ...``, or that every point has all its seeds."""
        return self.sweep.targets[0].ended

    @property
    def runs(self) -> int:
        """Runs that the search asked for."""
        return len(self.sweep.targets[0].trials)

    @property
    def folder(self) -> Path:
        """Where everything is."""
        return self.result.folder

    def to_frame(self) -> pd.DataFrame:
        """All thresholds, one row each, with verdicts and remedies."""
        return sweep_tables.thresholds(self.sweep)

    def __str__(self) -> str:
        return f"{self.threshold} ({self.runs} of {self.sweep.targets[0].grid_runs} runs; ended: {self.ended})"


@explained
def locate_threshold(
    spec: SweepSpec | None = None,
    *,
    axis: SweepAxis | None = None,
    skill: str | None = None,
    level: float | Sequence[float] | None = None,
    width_decades: float | None = None,
    runs: int | None = None,
    hours: float | None = None,
    method: Method | None = None,
    output: str | Path = "runs",
    store: str | Path | None = None,
    workers: int | None = None,
    executor: PartValue | None = None,
    quiet: bool = False,
    **arguments: Unpack[Arguments],
) -> Located:
    """Locate the smallest capacity, or the largest shift, at which a skill stays at a level, in few runs.

    Plain arguments change the given sweep, or make one with a single target; of contamination and rate multiple a
    target has one, and ``dose`` is also where its retention is read. A sweep that was interrupted goes on when the same
    call is made again; a larger budget goes on from where the smaller one ended.

    Args:
        spec: the sweep to start from; where arguments change its target, it must have one
        arguments: changes of the sweep's study and target in plain words
        axis: ``capacity`` (one threshold for each shift) or ``shift`` (one for each student)
        skill: key of a forgetting curve, such as ``maths`` or ``maths:3``
        level: retention that counts as kept, one or several; the first decides when to stop
        width_decades: done when the interval of log10 threshold is narrower; 0: only the budget and the seeds end it
        runs: most runs; 0: no limit but the seeds
        hours: most hours of wall time; 0: no limit
        method: ``level_set``, ``grid`` or ``random``
        output: the folder that holds the sweep's folder
        store: where trained students are kept; by default the user's cache folder
        workers: worker processes, one thread each; by default as many as cores; 0 runs everything in this process
        executor: who carries the runs out, instead of worker processes, by name or with settings
        quiet: print nothing

    Returns:
        what was found: ``.threshold``, ``.at(shift, level)``, ``.dose(student)``, ``.to_frame()``, ``.result``

    Raises:
        UsageError: one line that says which argument is wrong and why
    """
    from forgetting.sweep.sweep import run_sweep

    rule = "a SweepSpec (forgetting.study.spec_files reads one from a file)"
    require(spec is None or isinstance(spec, SweepSpec), "spec", rule, spec)
    spec, path = spec or SweepSpec(), str | os.PathLike
    output, store = Path(checked(output, path, "output")), checked(store, path | None, "store")
    workers, quiet = checked(workers, int | None, "workers"), checked(quiet, bool, "quiet")
    require(workers is None or workers >= 0, "workers", "0 (in this process) or more", workers)
    require(workers is None or executor is None, "workers", "left out where an executor is given", workers)
    given = given_of(**arguments)
    _check_words(level, given.get("shift"), given.get("contamination"))
    named = {name: given[name] for name in ("dose", "contamination", "rate_multiple") if name in given}
    listed = given_of(levels=level, shifts=given.get("shift"), students=given.get("students"))
    wanted = given_of(axis=axis, skill=skill) | named | {name: several_of(value) for name, value in listed.items()}
    alone = len(spec.targets) == 1 or not wanted
    require(alone, "spec.targets", "one, where arguments change the target", f"{len(spec.targets)} targets")
    also = {"dose"} if "doses" in given else set()  # with an axis of its own the dose is only where retention is read
    study = merged(spec.study, {name: value for name, value in given.items() if name not in also})
    targets = (dataclasses.replace(spec.targets[0], **_target(wanted)), *spec.targets[1:])
    stop = dataclasses.replace(spec.stop, **given_of(width_decades=width_decades, runs=runs, hours=hours))
    search = dataclasses.replace(spec.search, **given_of(method=method))
    whole = dataclasses.replace(spec, study=study, targets=targets, stop=stop, search=search)
    carrier: Any = executor or spec.executor
    if workers is not None:
        carrier = {"name": "processes", "workers": workers} if workers else "inline"
    place = Path(store) if store else None
    result = run_sweep(whole, executor=executor_of(carrier), output=output, store=place, quiet=quiet)
    found = read_sweep(result)
    assert found is not None  # a sweep that has ended writes its file
    return Located(result, found)


def _check_words(level: Any, shift: Any, contamination: Any) -> None:
    """What would otherwise be named by the spec's own words."""
    for one in () if level is None else several_of(level):
        require(0 < checked(one, float, "level") < 1, "level", "above 0 and below 1", one)
    for one in () if shift is None else several_of(shift):
        require(0 < checked(one, float, "shift") <= 1, "shift", "above 0 and at most 1", one)
    if contamination is not None:
        registry.build("contamination", contamination, "contamination")


def _target(wanted: dict[str, Any]) -> dict[str, Any]:
    """The target's changes, checked as its annotations have them."""
    hints = {
        "axis": str, "skill": str, "dose": int, "levels": tuple[float, ...], "contamination": str | dict[str, Any],
        "shifts": tuple[float, ...], "students": tuple[str, ...], "rate_multiple": float,
    }  # fmt: skip
    names = {"levels": "level", "shifts": "shift"}
    return {name: checked(value, hints[name], names.get(name, name)) for name, value in wanted.items()}
