"""C6, altered syntax costs code: a measured study in, the loss of retention against the control out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from forgetting.claims._loss import LossClaim, LossReading, lower_rate
from forgetting.claims.judging.comparisons import Loss, control_of, loss, treated_arms
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.verdict import RivalState


@dataclass(frozen=True)
class SyntaxLoss(LossClaim):
    """C6: altered syntax costs code more than as much text of the original distribution does."""

    identifier: ClassVar[str] = "C6"
    rivals: ClassVar[tuple[str, ...]] = ("relabelling", "format", "rate")

    dose: int = 5_000

    def states(self, reading: LossReading) -> Mapping[str, Callable[[], RivalState]]:
        """Answers are right in the other dialect; answers only stopped to parse; the learning rate does it."""
        study, arm, skill, found = reading.study, reading.arm, reading.pair.skill, reading.found
        return {
            "relabelling": lambda: _relabelling(study, arm, skill, found, reading.margin),
            "format": lambda: _format(study, arm, skill, found),
            "rate": lambda: lower_rate(reading),
        }

    def notes(self, reading: LossReading) -> tuple[str, ...]:
        """The loss in forms of the contamination that the claim is not about as well."""
        return (*super().notes(reading), *_other_forms(reading))


def _relabelling(study: Measured, arm: MeasuredArm, skill: str, found: Loss, margin: float) -> RivalState:
    """Counts an answer that is right in the dialect as kept."""
    kept = []
    for student, _ in found.by_size:
        cell, share = study.cell(student, arm, skill), study.shares(student, arm, skill, found.dose)["dialect_rate"]
        assert cell is not None
        kept.append(share / (float(cell.accuracy(0, cell.runs(found.dose))[0]) - cell.chance))
    back = float(np.mean(kept))
    if not math.isfinite(back):
        return "open", "answers in the dialect were not counted"
    low, _ = found.interval()
    left = float(found.mean[0]) - back
    text = f"counting answers that are right in the dialect as kept, {left:.2f} is lost"
    return "excluded" if low - back > margin else "explains" if left <= margin else "open", text


def _format(study: Measured, arm: MeasuredArm, skill: str, found: Loss) -> RivalState:
    fallen = []
    for student, _ in found.by_size:
        rates = [study.shares(student, arm, skill, dose)["valid_rate"] for dose in (0, found.dose)]
        fallen.append(rates[0] - rates[1])
    share = float(np.mean(fallen))
    if not math.isfinite(share):
        return "open", "answers that parse were not counted"
    if share < float(found.mean[0]) / 2:
        return "excluded", f"answers that parse fell by {share:.2f} only, less than half of the loss"
    return "open", f"answers that parse fell by {share:.2f}; whether a few samples bring them back was not measured"


def _other_forms(reading: LossReading) -> tuple[str, ...]:
    study, pair, notes = reading.study, reading.pair, list[str]()
    if pair.form is None:
        return ()
    for form in sorted({a.form for a in study.arms if a.form and a.contamination == pair.contamination} - {pair.form}):
        arm = treated_arms(study, replace(pair, form=form))
        other = loss(study, arm[0], pair.skill, reading.found.dose, control_of(study, arm[0])) if arm else None
        if other is not None:
            back = _relabelling(study, arm[0], pair.skill, other, reading.margin)[1]
            low, high = other.interval()
            notes.append(f"form {form}: {other.mean[0]:.2f} is lost [{low:.2f}, {high:.2f}]; {back}")
    return tuple(notes)
