"""The rival of a smooth boundary: retentions along an axis in, the gap where a single step would lie out.

A step has one retention below and one above, and may lie anywhere between two neighbouring measured places with equal
probability for equal widths; the noise has one variance, integrated out.

Shapes: N observations, J gaps between different places.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetting.analysis.metrics import Floats

PARAMETERS = 3  # two retentions and where the step lies


@dataclass(frozen=True)
class Step:
    """Gaps as ``low_J`` to ``high_J``, the posterior probability of each, and the least residual sum of squares."""

    low_J: Floats
    high_J: Floats
    probability_J: Floats
    residual: float

    def interval(self, tail: float) -> tuple[float, float]:
        """The gaps that hold all but a tail of probability on either side."""
        total_J = np.cumsum(self.probability_J)
        first, last = np.searchsorted(total_J, tail), np.searchsorted(total_J, 1 - tail)
        return float(self.low_J[first]), float(self.high_J[min(int(last), len(total_J) - 1)])


def fit_step(place_N: Floats, retention_N: Floats, level: float) -> Step | None:
    """Where a step up through the level would lie; None if no gap has its mean below the level and above it."""
    order = np.argsort(place_N, kind="stable")
    place, value = place_N[order], retention_N[order]
    cut_J = np.flatnonzero(np.diff(place) > 0) + 1
    if not len(cut_J):
        return None
    total, square, size = np.cumsum(value), float(value @ value), len(value)
    below_J, above_J = total[cut_J - 1] / cut_J, (total[-1] - total[cut_J - 1]) / (size - cut_J)
    residual_J = np.maximum(square - cut_J * below_J**2 - (size - cut_J) * above_J**2, 1e-9)
    low_J, high_J = place[cut_J - 1], place[cut_J]
    log_J = -0.5 * (size - 2) * np.log(residual_J) + np.log(high_J - low_J)
    log_J[(below_J >= level) | (above_J < level)] = -np.inf
    if not np.isfinite(log_J).any():
        return None
    weight_J = np.exp(log_J - log_J.max())
    return Step(low_J, high_J, weight_J / weight_J.sum(), float(residual_J[np.argmax(log_J)]))


def is_rival(step: Step, residual: float, freedom: float, size: int) -> bool:
    """Whether the step is, by BIC, no worse than a curve with a residual and degrees of freedom."""
    ours = size * np.log(step.residual / size) + PARAMETERS * np.log(size)
    theirs = size * np.log(max(residual, 1e-9) / size) + freedom * np.log(size)
    return bool(ours <= theirs)
