"""What claims compare: a measured study in; treated arms, their controls, and the retention lost between them out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from forgetting import seeds
from forgetting.analysis.metrics import Floats
from forgetting.analysis.statistics import DRAWS
from forgetting.claims.judging.accuracy import Cell, seed_count, shared_doses, shared_runs
from forgetting.claims.judging.decision import Counts, interval
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import Pair


@dataclass(frozen=True, eq=False)
class Loss:
    """Retention lost at one dose: by (student, capacity) and as the mean over sizes, drawn."""

    dose: int
    by_size: Mapping[tuple[str, int], Floats]
    n: Counts

    @property
    def mean(self) -> Floats:
        """Every size counts alike."""
        return np.asarray(np.mean(list(self.by_size.values()), axis=0))

    def interval(self) -> tuple[float, float]:
        """95%."""
        return interval(self.mean, self.n.seeds, self.n.items)


def treated_arms(study: Measured, pair: Pair) -> list[MeasuredArm]:
    """Plain arms of a pair, best first: rate as set, constant policy, with a control beside them, highest shift."""
    arms = [a for a in study.arms if a.contamination == pair.contamination and a.plain and pair.form in (None, a.form)]
    return sorted(
        arms,
        key=lambda a: (
            abs(math.log(a.rate_multiple)), a.rate_policy != "constant", control_of(study, a) is None, -a.shift
        ),
    )  # fmt: skip


def control_of(study: Measured, arm: MeasuredArm, contamination: str = "original") -> MeasuredArm | None:
    """The plain arm of another contamination at the same shift, rate and rate policy."""
    plain = (other for other in study.arms if other.plain and other.contamination == contamination)
    return next((other for other in plain if other.exposure == arm.exposure), None)


def loss(study: Measured, arm: MeasuredArm, skill: str, dose: int, control: MeasuredArm | None) -> Loss | None:
    """Retention of the control minus that of the arm (1 minus it without a control), at the dose.

    Where the dose was not measured at every size: the largest that was, not above it, else the smallest that was.
    """
    cells: dict[tuple[str, int], tuple[Cell, ...]] = {}
    beside = {} if control is None else study.cells(control, skill)
    for student, cell in study.cells(arm, skill).items():
        if cell.learned() and (control is None or student in beside):
            cells[student, cell.capacity] = (cell, beside[student]) if control else (cell,)
    doses = [set(shared_doses(*own)) for own in cells.values()]
    common = sorted(set.intersection(*doses)) if doses else []
    if not common:
        return None
    at = max((d for d in common if d <= dose), default=common[0])
    by_size, seeds = {}, []
    for key, own in cells.items():
        runs = shared_runs(at, *own)
        lost = -own[0].retention(at, runs)
        by_size[key] = lost + (own[1].retention(at, runs) if len(own) > 1 else 1.0)
        seeds.append(seed_count(runs))
    items = min(cell.items for own in cells.values() for cell in own)
    return Loss(at, by_size, Counts(len(by_size), min(seeds), items))


def drawn_ratio(part: ArrayLike, whole: ArrayLike) -> Floats:
    """The ratio of means over students, and of ``DRAWS`` resamplings of them, the same for all statistics."""
    a, b = np.asarray(part, float), np.asarray(whole, float)
    picked = seeds.generator(0, "students").integers(0, len(a), (DRAWS, len(a)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.concatenate([[a.mean() / b.mean()], a[picked].mean(1) / b[picked].mean(1)])


def rise_per_decade(by_size: Mapping[tuple[str, int], Floats]) -> Floats | None:
    """The slope of a drawn effect over log10 capacity (least squares); None with fewer than three sizes."""
    if len(by_size) < 3:
        return None
    x = np.log10([capacity for _, capacity in by_size])
    x = x - x.mean()
    return np.asarray(x @ np.stack(list(by_size.values())) / (x @ x))
