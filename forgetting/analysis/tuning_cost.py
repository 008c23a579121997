"""What a fine-tuning cost in each skill, in one row: a study's folder in; accuracies, the dose of the first loss out.

A skill is *below* from the first dose on at which the whole 95% interval of its retention lies below 1, and does so at
every later dose. Where there is no such dose, the smallest loss that could have been seen says how much that means.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from forgetting.analysis.curves import ORIGINAL, ForgettingCurve
from forgetting.analysis.metrics import Status
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import ArmCurves, StudyFolder, new_source


@dataclass(frozen=True)
class SkillCost:
    """One skill at dose 0 and at the last dose; bounds at 95%. Retention and what follows from it may be NaN.

    ``below_from`` is the dose from which retention stays below 1 beyond the noise of the items, None where there is
    none; ``not_excluded`` the largest loss of retention that the interval at the last dose does not exclude.
    """

    skill: str
    items: int
    dose: int
    accuracy_0: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    retention: float
    low: float
    high: float
    below_from: int | None
    not_excluded: float
    status: str

    @property
    def learned(self) -> bool:
        """Whether there was enough at dose 0 for a retention."""
        return self.status == Status.ok.name


def skill_cost(curve: ForgettingCurve) -> SkillCost:
    """The row of one curve."""
    below = np.asarray(curve.high < 1)
    lasting = np.flatnonzero(np.logical_and.accumulate(below[::-1])[::-1])
    from_dose = int(curve.dose[lasting[0]]) if len(lasting) else None
    return SkillCost(
        curve.skill, int(curve.items[-1]), int(curve.dose[-1]), float(curve.accuracy[0]), float(curve.accuracy[-1]),
        float(curve.accuracy_low[-1]), float(curve.accuracy_high[-1]), float(curve.retention[-1]),
        float(curve.low[-1]), float(curve.high[-1]), from_dose, float(np.maximum(0.0, 1 - curve.low[-1])), curve.status,
    )  # fmt: skip


def costs(arm: ArmCurves, student: str) -> list[SkillCost]:
    """Of one student in one arm, a row for each skill over all depths and items."""
    plain = (c for c in arm.curves.get(student, {}).values() if c.variant == ORIGINAL and c.key == c.skill)
    return [skill_cost(curve) for curve in plain]


def new_task(study: StudyFolder, arm: ArmCurves, student: str) -> tuple[int, float, float]:
    """Held-out samples of the new task, and the NLL of their answers (nats a token) at dose 0 and at the last dose.

    Means over seeds; 0 samples and NaN where there was no probe.
    """
    rows = study.scores
    rows = rows[(rows["arm"] == arm.name) & (rows["student"] == student) & (rows["benchmark"] == PROBE)]
    rows = rows[rows["depth"].isna() & (rows["variant"] == new_source(arm.settings, rows))]
    if rows.empty:
        return 0, math.nan, math.nan
    nll = rows.groupby("dose")["nll"].mean().sort_index()
    return int(rows["items"].max()), float(nll.iloc[0]), float(nll.iloc[-1])
