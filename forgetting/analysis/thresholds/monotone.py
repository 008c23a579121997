"""Retention against capacity with no shape assumed but that it rises: a monotone fit with its band, and its thresholds.

The means of the sizes are pooled where they fall (PAVA, ``scipy.optimize.isotonic_regression``, weights: runs), and
the fit runs straight between sizes in log10 capacity. The band is a parametric bootstrap: the mean of S runs is drawn
from its Student distribution of S - 1 degrees of freedom. (Drawing 5 runs with replacement gives 90% intervals that
cover the threshold in 84 of 100 studies.) Where the standard error of a run is known (of its items), the error of a
mean is at least that of as many independent runs, and single runs are drawn as normal with it.

Shapes: R runs, C sizes, B draws.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import isotonic_regression

from forgetting import seeds
from forgetting.analysis.metrics import Floats
from forgetting.analysis.statistics import DRAWS
from forgetting.analysis.thresholds.crossing import rebounds_beyond_noise
from forgetting.analysis.thresholds.status import FitStatus
from forgetting.analysis.thresholds.threshold import CONFIDENCE, Threshold, ThresholdStatus
from forgetting.errors import require


@dataclass(frozen=True, eq=False)
class Monotone:
    """A rising fit: sizes in ascending order with mean and fitted retention, and the fit of every draw ``[B, C]``."""

    status: str
    capacity_C: Floats
    mean_C: Floats
    error_C: Floats  # standard error of each mean, over draws before they are made monotone
    fit_C: Floats
    draws_BC: Floats

    @property
    def remedy(self) -> str:
        """What to do about the status."""
        return FitStatus[self.status].value

    def band(self, confidence: float = CONFIDENCE) -> tuple[Floats, Floats]:
        """Lower and upper bound of retention at each size, each ``[C]``."""
        tail = (1 - confidence) / 2
        low, high = np.quantile(self.draws_BC, (tail, 1 - tail), axis=0)
        return np.minimum(low, self.fit_C), np.maximum(high, self.fit_C)

    def threshold(self, level: float, confidence: float = CONFIDENCE) -> Threshold:
        """The smallest capacity whose fitted retention is at or above the level; quantiles over the draws around it.

        A side of the interval is open where so many draws leave the ladder on that side.
        """
        require(0 < level < 1, "level", "above 0 and below 1", level)
        require(0 < confidence < 1, "confidence", "above 0 and below 1", confidence)
        status = self._status(level)
        if status is not ThresholdStatus.located:
            return Threshold("capacity", level, status.name, confidence=confidence)
        x = np.log10(self.capacity_C)
        value = 10 ** _invert(x, self.fit_C, level)
        crossed = np.array([_invert(x, draw, level) for draw in self.draws_BC])
        tail = (1 - confidence) / 2
        # No interpolation between a number and infinity: the draw at or beyond the quantile.
        low = float(np.quantile(crossed, tail, method="lower"))
        high = float(np.quantile(crossed, 1 - tail, method="higher"))
        bounds = min(10**low, value), max(10**high, value)  # 10 to minus infinity is 0
        return Threshold("capacity", level, status.name, value, *bounds, confidence)

    def _status(self, level: float) -> ThresholdStatus:
        if self.status != FitStatus.fitted.name:
            return ThresholdStatus.too_little_data
        if rebounds_beyond_noise((self.mean_C - level)[::-1], self.error_C[::-1]):
            return ThresholdStatus.not_monotone
        if self.fit_C[0] >= level:
            return ThresholdStatus.below_range
        if self.fit_C[-1] < level:
            return ThresholdStatus.above_range
        return ThresholdStatus.located


def _invert(x: Floats, fit: Floats, level: float) -> float:
    """Where the fit reaches the level; minus or plus infinity where it does before the first size or nowhere."""
    at = int(np.searchsorted(fit, level))
    if at == 0 or at == fit.size:
        return -math.inf if at == 0 else math.inf
    share = (level - fit[at - 1]) / (fit[at] - fit[at - 1])
    return float(x[at - 1] + share * (x[at] - x[at - 1]))


def fit_monotone(
    capacity_R: ArrayLike,
    retention_R: ArrayLike,
    *,
    error_R: ArrayLike | None = None,
    draws: int = DRAWS,
    seed: int = 0,
) -> Monotone:
    """Fit one retention a run; NaN retention is left out. Runs are independent (a fresh student for each seed).

    Needs two sizes, and at each of them two runs or a known ``error_R``; else the status is ``too_little_data``.
    Raises UsageError where lengths differ or a capacity is not above 0.
    """
    capacity, retention = np.asarray(capacity_R, float), np.asarray(retention_R, float)
    error = np.full(capacity.shape, np.nan) if error_R is None else np.asarray(error_R, float)
    require(capacity.ndim == 1 and capacity.shape == retention.shape, "retention", "one number a run", retention.shape)
    require(error.shape == capacity.shape, "error", "one number a run", error.shape)
    require(bool(np.all(capacity > 0)), "capacity", "above 0", capacity.tolist())
    require(draws >= 1, "draws", "1 or more", draws)
    known = np.isfinite(retention)
    capacity, retention, error = capacity[known], retention[known], error[known]
    sizes, codes = np.unique(capacity, return_inverse=True)
    runs = np.bincount(codes, minlength=sizes.size)
    mean = np.bincount(codes, retention, minlength=sizes.size) / np.maximum(runs, 1)
    enough = sizes.size >= 2 and all(n >= 2 or np.isfinite(error[codes == c]).all() for c, n in enumerate(runs))
    if not enough:
        empty = np.empty((0, sizes.size))
        return Monotone(FitStatus.too_little_data.name, sizes, mean, np.full_like(mean, np.nan), mean, empty)
    rng = seeds.generator(seed, "monotone")
    drawn = np.stack([_means(retention[codes == c], error[codes == c], draws, rng) for c in range(sizes.size)], axis=1)
    fit = isotonic_regression(mean, weights=runs).x
    rising = np.stack([isotonic_regression(row, weights=runs).x for row in drawn])
    return Monotone(FitStatus.fitted.name, sizes, mean, drawn.std(axis=0), fit, rising)


def _means(retention: Floats, error: Floats, draws: int, rng: np.random.Generator) -> Floats:
    """Draws of the mean of one size's runs."""
    n = retention.size
    known = math.sqrt(float((np.nan_to_num(error) ** 2).sum())) / n
    own = float(retention.std(ddof=1)) / math.sqrt(n) if n > 1 else 0.0
    apart = known * rng.standard_normal(draws) if known >= own else own * rng.standard_t(n - 1, draws)
    return np.asarray(retention.mean() + apart)
