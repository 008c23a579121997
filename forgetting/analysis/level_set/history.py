"""What a study's trials say to a level-set sampler: trials in, observations, points under way, failures out.

A trial's value is the signed margin of its retention over the sampler's first level. Two user attributes may go with
it:

- ``variance``: the variance of the value (that of retention, or of the score if a baseline is given);
- ``baseline``: the score that counts as retention 1, where the objective returns a raw score less level x baseline. The
  level is then a share of each trial's own baseline.

Shapes: N observations, D dimensions.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from forgetting.analysis.level_set.space import Space
from forgetting.analysis.metrics import Floats

VARIANCE, BASELINE = "variance", "baseline"  # user attributes
Point = tuple[Any, ...]


@dataclass(frozen=True)
class History:
    """Complete trials in order of their numbers, points under way, points that failed, and runs of each point."""

    points: tuple[Point, ...]
    trials: tuple[FrozenTrial, ...]
    retention_N: Floats
    variance_N: Floats
    pending: tuple[Point, ...]
    failed: frozenset[Point]
    runs: Counter[Point]

    @classmethod
    def of(cls, trials: Sequence[FrozenTrial], space: Space, level: float) -> History:
        """Read the trials that have a value for every parameter of the space; others say nothing."""
        names = {d.name for d in space.dimensions}
        done: list[tuple[Point, FrozenTrial, float, float]] = []
        pending: list[Point] = []
        failed: set[Point] = set()
        runs: Counter[Point] = Counter()
        for trial in sorted(trials, key=lambda t: t.number):
            params = trial.params
            if not names <= params.keys():
                continue
            point = space.point(params)
            told = observation(trial, level)
            if told is not None:
                done.append((point, trial, *told))
                runs[point] += 1
            elif trial.state == TrialState.RUNNING:
                pending.append(point)
                runs[point] += 1
            elif trial.state.is_finished():
                failed.add(point)
        columns = list(zip(*done, strict=True)) or [(), (), (), ()]
        return cls(
            columns[0], columns[1], np.asarray(columns[2], float), np.asarray(columns[3], float),
            tuple(pending), frozenset(failed), runs,
        )  # fmt: skip


def observation(trial: FrozenTrial, level: float) -> tuple[float, float] | None:
    """Retention and its variance (0 if not told) of a complete trial, else None."""
    if trial.state != TrialState.COMPLETE or trial.value is None or not math.isfinite(trial.value):
        return None
    attrs = trial.user_attrs
    variance, baseline = float(attrs.get(VARIANCE, 0.0)), float(attrs.get(BASELINE, 1.0))
    return trial.value / baseline + level, variance / baseline**2
