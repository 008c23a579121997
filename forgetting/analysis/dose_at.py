"""The dose at which a forgetting curve falls to a level: a curve and a level in, the dose with its interval out."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forgetting.analysis.metrics import Floats, Status
from forgetting.analysis.thresholds.crossing import crossing
from forgetting.errors import require

if TYPE_CHECKING:
    from forgetting.analysis.curves import ForgettingCurve

REACHED = "reached"


@dataclass(frozen=True)
class DoseAt:
    """The dose, in contaminating samples, from which retention stays below ``level``.

    ``dose`` is NaN unless ``status`` is ``reached``. ``low`` and ``high`` are where the curve's 95% band falls to the
    level; ``high`` is infinite where its upper bound never does, ``low`` where even its lower bound does not.
    """

    level: float
    status: str  # reached, not_reached, or the curve's own where its retention is no number
    dose: float
    low: float
    high: float
    last: int  # the last dose that was measured

    @property
    def reached(self) -> bool:
        """Whether there is a dose."""
        return self.status == REACHED

    def __str__(self) -> str:
        head = f"retention {self.level:g}"
        if self.reached:
            above = f"{self.high:,.0f}" if math.isfinite(self.high) else f"beyond {self.last:,}"
            return f"{head} at dose {self.dose:,.0f} (95% interval {self.low:,.0f} to {above})"
        if self.status == Status.not_reached.name:
            earliest = f" (95% interval from {self.low:,.0f})" if math.isfinite(self.low) else ""
            return f"{head} not reached by dose {self.last:,}{earliest}"
        return f"{head}: {self.status.replace('_', ' ')}"


def dose_at(curve: ForgettingCurve, level: float) -> DoseAt:
    """Between two doses the curve runs straight in log dose; from dose 0, whose logarithm is none, straight in dose."""
    require(0 < level < 1, "level", "above 0 and below 1", level)
    last = int(curve.dose[-1])
    if curve.status != Status.ok.name:
        return DoseAt(level, curve.status, math.nan, math.nan, math.nan, last)
    at = curve.dose.astype(float)
    dose, low, high = (falls_at(at, own, level) for own in (curve.retention, curve.low, curve.high))
    if math.isinf(dose):
        return DoseAt(level, Status.not_reached.name, math.nan, low, math.inf, last)
    return DoseAt(level, REACHED, dose, min(low, dose), max(high, dose), last)


def falls_at(dose_D: Floats, retention_D: Floats, level: float) -> float:
    """Where one line falls to the level for good, in contaminating samples; infinite where it does not.

    Between two doses it runs straight in log dose, from dose 0 straight in dose.
    """
    found = crossing(dose_D, retention_D, level)
    if not math.isfinite(found.high):
        return math.inf
    before, after = (float(retention_D[np.flatnonzero(dose_D == at)[0]]) for at in (found.low, found.high))
    share = min(max((before - level) / (before - after), 0.0), 1.0)
    if found.low == 0:
        return share * found.high
    return float(found.low * (found.high / found.low) ** share)
