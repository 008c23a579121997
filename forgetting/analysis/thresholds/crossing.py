"""The crossing dose of a run: retention at some doses in, the two doses between which it is lost for good out.

Shapes: S runs, D doses (dose 0 may be among them). Doses are contaminating samples.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import norm

from forgetting.errors import require

ROUNDING = 1e-12  # .81 / .9 is at the level of .9
REBOUND_P = 0.01  # of naming a monotone curve not monotone, all pairs of its points together


class CrossingStatus(enum.Enum):
    """What is known of a crossing dose. The name is stored; the text is the remedy."""

    interval = "Nothing to remedy; more doses between the two bounds narrow them."
    left = "The level was lost before the first dose: evaluate smaller doses."
    right = "The level was kept at the last dose: train on larger doses."
    exact = "Nothing to remedy."
    undefined = "Retention is not known at any dose above 0: learn the skill first, or raise the cap of the stream."


@dataclass(frozen=True)
class Crossing:
    """The crossing dose lies above ``low`` and at or below ``high``.

    A crossing on the left has ``low`` 0: retention was last kept at dose 0, whose logarithm is no number, so that the
    gap before the first dose is open below. One on the right has ``high`` infinite. ``rebounds`` counts how often
    retention came back to the level after it was below; the crossing is the last one, from which it stays below.
    """

    low: float
    high: float
    status: str
    rebounds: int = 0

    def __post_init__(self) -> None:
        require(self.status in CrossingStatus.__members__, "status", "the name of a CrossingStatus", self.status)
        if self.status != CrossingStatus.undefined.name:
            require(0 <= self.low <= self.high and self.high > 0, "high", f"above {self.low} and 0", self.high)

    @property
    def remedy(self) -> str:
        """What to do about the status."""
        return CrossingStatus[self.status].value

    @classmethod
    def between(cls, low: float, high: float, rebounds: int = 0) -> Crossing:
        """The crossing with these bounds, its status read from them."""
        kinds = CrossingStatus
        kind = kinds.exact if low == high else kinds.right if math.isinf(high) else kinds.interval
        return cls(low, high, kinds.left.name if low == 0 else kind.name, rebounds)


def crossing(dose_D: ArrayLike, retention_D: ArrayLike, level: float) -> Crossing:
    """Where one run loses the level for good. Doses ascend; NaN retention (dose not reached) is left out.

    Dose 0 counts as kept, whether or not it is given. One run's retention carries the noise of its items: a run that
    hovers at the level gives a late crossing with rebounds, and ``survival`` takes that up as residual spread.
    """
    dose, retention = np.asarray(dose_D, float), np.asarray(retention_D, float)
    require(0 < level < 1, "level", "above 0 and below 1", level)
    require(dose.ndim == 1 and dose.shape == retention.shape, "retention", "one number a dose", retention.shape)
    require(bool(np.all(np.diff(dose) > 0) and np.all(dose >= 0)), "dose", "ascending from 0 or more", dose.tolist())
    known = np.isfinite(retention) & (dose > 0)
    dose, kept = dose[known], retention[known] >= level - ROUNDING
    if dose.size == 0:
        return Crossing(math.nan, math.nan, CrossingStatus.undefined.name)
    rebounds = int(np.sum(~kept[:-1] & kept[1:]))
    last = int(np.flatnonzero(kept)[-1]) if kept.any() else -1
    low = float(dose[last]) if last >= 0 else 0.0
    high = float(dose[last + 1]) if last + 1 < dose.size else math.inf
    return Crossing.between(low, high, rebounds)


def crossings(dose_D: ArrayLike, retention_SD: ArrayLike, level: float) -> tuple[Crossing, ...]:
    """The crossing of each run."""
    return tuple(crossing(dose_D, retention_D, level) for retention_D in np.atleast_2d(np.asarray(retention_SD, float)))


def rebounds_beyond_noise(margin_P: ArrayLike, error_P: ArrayLike) -> bool:
    """Whether points that should fall from above 0 to below it come back: one below 0, and a later one above, for sure.

    ``margin_P`` is a distance to the level in the order of the axis, ``error_P`` its standard error. Every point has
    its own one-sided test, at 1% for all of them together (Bonferroni).
    """
    margin, error = np.asarray(margin_P, float), np.asarray(error_P, float)
    known = np.isfinite(margin) & np.isfinite(error)
    margin, error = margin[known], error[known]
    if margin.size < 2:
        return False
    reach = float(norm.isf(REBOUND_P / margin.size)) * error
    below: NDArray[np.bool_] = margin + reach < 0
    above: NDArray[np.bool_] = margin - reach > 0
    return bool(np.any(np.logical_or.accumulate(below)[:-1] & above[1:]))
