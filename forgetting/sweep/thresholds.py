"""The thresholds of a target from runs: one for each place (a shift for capacities, a student for shifts) and level."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.trial import FrozenTrial, TrialState

from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.metrics import Status
from forgetting.analysis.thresholds.threshold import Threshold, ThresholdStatus
from forgetting.record.files import RunFolder
from forgetting.stages.folder import run_folder
from forgetting.study.run import Run
from forgetting.sweep.outcomes import outcome
from forgetting.sweep.search_space import SweepPoint, SweepSpace
from forgetting.sweep.sweep_spec import SweepAxis


@dataclass(frozen=True)
class Seen:
    """Retention of one run at a point, with its variance; ``distillation_seed`` tells students of one size apart."""

    point: SweepPoint
    retention: float
    variance: float
    distillation_seed: int = 0

    @property
    def student(self) -> str:
        """A label of the student that the run was made on."""
        return f"{self.point[0]}-d{self.distillation_seed}"


@dataclass(frozen=True)
class Placed:
    """A threshold and the place on the other axis where it holds: a shift, or a student."""

    place: str | float
    threshold: Threshold

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"place": self.place, **self.threshold.to_dict()}


def told(space: SweepSpace, trials: Iterable[FrozenTrial]) -> list[Seen]:
    """What the finished trials of a search showed."""
    runs = {str(run): run for run in space.runs}
    return [
        Seen(
            _point(trial.params),
            float(trial.user_attrs["retention"]),
            float(trial.user_attrs["variance"]),
            runs[trial.user_attrs["run"]].distillation_seed,
        )
        for trial in trials
        if trial.state == TrialState.COMPLETE
    ]


def observe(space: SweepSpace, runs: Iterable[Run], folder: Path) -> list[Seen]:
    """What the complete runs in a sweep's folder show of a target, whichever search asked for them."""
    points = {space.run(point, repeat): point for point in space.points for repeat in range(space.repeats)}
    found = []
    for run in runs:
        if run in points:
            one = outcome(space, RunFolder(run_folder(folder, run)))
            if one.status == Status.ok.name:
                found.append(Seen(points[run], one.retention, one.variance, run.distillation_seed))
    return found


def estimate(space: SweepSpace, seen: Iterable[Seen]) -> list[Placed]:
    """All thresholds of a target, places first, then levels."""
    seen = list(seen)
    points, retention, variance = arrays(space, seen)
    capacity = space.target.axis == "capacity"
    places: tuple[str | float, ...] = space.shifts if capacity else space.students
    several = len(space.shifts if capacity else space.students) > 1
    along = 0 if capacity or len(space.students) == 1 else 1
    found = []
    for place in places:
        at = space.coordinates((space.students[0], float(place)) if capacity else (str(place), space.shifts[0]))
        for level in space.target.levels:
            if not seen:
                found.append(Placed(place, Threshold(space.target.axis, level, ThresholdStatus.too_little_data.name)))
                continue
            threshold = estimate_threshold(
                points,
                retention,
                variance,
                axis=space.target.axis,
                level=level,
                along=along,
                at=(at[1 if capacity else 0],) if several else (),
                students=[one.student for one in seen],
            )
            found.append(Placed(place, threshold))
    return found


def estimate_both(space: SweepSpace, seen: Iterable[Seen]) -> list[Placed]:
    """The target's thresholds, and those along the other axis where it has enough points: the same runs hold both."""
    seen = list(seen)
    other: SweepAxis = "shift" if space.target.axis == "capacity" else "capacity"
    across = space.shifts if other == "shift" else space.students
    found = estimate(space, seen)
    if len(across) >= 3:
        found += estimate(replace(space, target=replace(space.target, axis=other)), seen)
    return found


def arrays(
    space: SweepSpace, seen: Iterable[Seen]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Points ``[N, K]`` (log10 capacity and shift, but for an axis of one value), retention and variance ``[N]``."""
    seen = list(seen)
    columns = [i for i, axis in enumerate((space.students, space.shifts)) if len(axis) > 1]
    points = np.array([space.coordinates(one.point) for one in seen]).reshape(-1, 2)[:, columns]
    return points, np.array([one.retention for one in seen]), np.array([one.variance for one in seen])


def known(space: SweepSpace, found: Iterable[Placed], seen: Iterable[Seen], width_decades: float) -> bool:
    """Whether nothing more is to be learned of the thresholds at the first level.

    Each is narrow enough, or as narrow as the ladder can tell (no capacity or shift of the study lies inside its
    interval), or outside the measured range with the end of the range measured.
    """
    first = [p for p in found if p.threshold.level == space.target.levels[0]]
    points = {one.point for one in seen}
    return bool(first) and all(_known(space, p, points, width_decades) for p in first)


def _known(space: SweepSpace, placed: Placed, points: set[SweepPoint], width_decades: float) -> bool:
    threshold, capacity = placed.threshold, space.target.axis == "capacity"
    if threshold.status in (ThresholdStatus.below_range.name, ThresholdStatus.above_range.name):
        side = 0 if threshold.status == ThresholdStatus.below_range.name else -1
        end = (space.students[side], placed.place) if capacity else (placed.place, space.shifts[side])
        return end in points
    if not threshold.located:
        return False
    if threshold.decades <= width_decades:
        return True
    axis = [float(space.capacity(s)) for s in space.students] if capacity else list(space.shifts)
    inside = [x for x in axis if threshold.low * (1 + 1e-9) < x < threshold.high * (1 - 1e-9)]
    return not inside and math.isfinite(threshold.high) and threshold.low > 0


def _point(params: Mapping[str, Any]) -> SweepPoint:
    return str(params["student"]), float(params["shift"])
