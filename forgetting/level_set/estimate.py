"""From the runs of a search to a threshold along one axis, with an interval that holds for slopes and for steps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

from forgetting.errors import require
from forgetting.level_set.process import (
    Floats,
    Observations,
    Posterior,
    draw_hyperparameters,
    fit,
    logit_of,
)
from forgetting.thresholds.threshold import CONFIDENCE, Axis, Threshold

GRID = 121
HYPERPARAMETERS, PATHS = 12, 40
FEWEST = 4  # observations below which nothing is said
SURE = 0.95


@dataclass(frozen=True)
class Search:
    """Runs of a search: ``points_NK`` in the axes' own units, retention and its variance ``[N]``.

    ``low_K`` and ``high_K`` are the ranges of the axes, which scale the points.
    """

    points_NK: Floats
    retention_N: Floats
    variance_N: Floats
    low_K: Floats
    high_K: Floats

    def unit(self, points_QK: ArrayLike) -> Floats:
        """Points scaled to the unit cube; an axis of one value is at one half."""
        width = self.high_K - self.low_K
        scaled = (np.asarray(points_QK, float) - self.low_K) / np.where(width > 0, width, 1.0)
        return np.where(width > 0, scaled, 0.5)

    def observations(self) -> Observations:
        """The same on the logit scale and in the unit cube."""
        z, variance = logit_of(self.retention_N, self.variance_N)
        return Observations(self.unit(self.points_NK), z, variance)


def estimate_thresholds(
    search: Search,
    *,
    axis: Axis,
    dimension: int,
    at: Sequence[ArrayLike],
    measured: Sequence[ArrayLike],
    levels: Sequence[float],
    rising: bool,
    confidence: float = CONFIDENCE,
    seed: int = 0,
) -> list[Threshold]:
    """Thresholds along one axis, for every place of the others and every level.

    Args:
        search: the runs
        axis: what the threshold is of; a capacity's axis is log10 of the parameters
        dimension: number of the axis among the K dimensions
        at: places ``[K]``, one a threshold; the axis's own entry is ignored
        measured: for each place, the values of the axis at which runs were made there, ascending
        levels: retention that counts as kept
        rising: whether retention rises along the axis (capacity) or falls (shift)
        confidence: of the intervals
        seed: of the posterior draws

    Returns:
        one ``Threshold`` a place and level, places first

    The interval holds the posterior's quantiles *and* the gap between the measured neighbours around the crossing:
    where the boundary is a step, nothing inside that gap is known, and a smooth process would be too sure.
    """
    for level in levels:
        require(0 < level < 1, "levels", "above 0 and below 1", level)
    if len(search.retention_N) < FEWEST:
        return [Threshold(axis, level, "too_little_data", confidence=confidence) for _ in at for level in levels]
    rng = np.random.default_rng([seed, len(search.retention_N)])
    seen = search.observations()
    best = fit(seen)
    drawn = [Posterior(seen, hyper) for hyper in draw_hyperparameters(seen, best, HYPERPARAMETERS, rng)]
    found = []
    for place, own in zip(at, measured, strict=True):
        values = np.asarray(own, float)
        grid = np.unique(np.concatenate([np.linspace(search.low_K[dimension], search.high_K[dimension], GRID), values]))
        line = np.repeat(np.asarray(place, float)[None], len(grid), axis=0)
        line[:, dimension] = grid
        paths = np.concatenate([p.paths(search.unit(line), PATHS, rng) for p in drawn])
        where = np.searchsorted(grid, values)
        for level in levels:
            above = paths >= math.log(level / (1 - level))
            found.append(_threshold(axis, level, grid, above, where, rising, confidence))
    return found


def _threshold(
    axis: Axis, level: float, grid: Floats, above_DQ: np.ndarray, measured: np.ndarray, rising: bool, confidence: float
) -> Threshold:
    """A threshold from whether each draw is above the level at each point of the grid."""
    kept = above_DQ if rising else above_DQ[:, ::-1]
    line = grid if rising else grid[::-1]
    where = measured if rising else len(grid) - 1 - measured[::-1]
    if len(where) < 2:
        return Threshold(axis, level, "too_little_data", confidence=confidence)
    sure = kept[:, where].mean(axis=0)
    if np.any((sure[:-1] > SURE) & (np.minimum.accumulate(sure[::-1])[::-1][1:] < 1 - SURE)):
        return Threshold(axis, level, "not_monotone", confidence=confidence)
    lost = ~kept
    last_lost = np.where(lost.any(axis=1), len(line) - 1 - np.argmax(lost[:, ::-1], axis=1), -1)  # -1: never lost
    never, always = float(np.mean(last_lost < 0)), float(np.mean(last_lost == len(line) - 1))
    if max(never, always) > 0.5:
        outside = (never > always) == rising
        return Threshold(axis, level, "below_range" if outside else "above_range", confidence=confidence)
    tail = (1 - confidence) / 2
    first_kept = np.sort(last_lost + 1)
    low, middle, high = (int(np.quantile(first_kept, q, method="nearest")) for q in (tail, 0.5, 1 - tail))
    before = where[where < middle]
    after = where[where >= min(middle, len(line) - 1)]
    low = min(low, int(before[-1]) if len(before) else 0)
    high = max(high, int(after[0]) if len(after) else len(line))
    open_low, open_high = low <= 0, high >= len(line)
    ends = [line[max(low, 0)], line[min(middle, len(line) - 1)], line[min(high, len(line) - 1)]]
    if not rising:
        ends, (open_low, open_high) = ends[::-1], (open_high, open_low)
    scale = (lambda x: 10.0**x) if axis == "capacity" else float
    value = scale(ends[1])
    return Threshold(
        axis,
        level,
        "located",
        value,
        0.0 if open_low else min(scale(ends[0]), value),
        math.inf if open_high else max(scale(ends[2]), value),
        confidence,
    )


@dataclass(frozen=True)
class Calibration:
    """How runs that were drawn at random fell into the intervals that all the others predicted for them."""

    runs: int
    coverage: dict[float, float]  # share inside the central interval of that probability
    z: tuple[float, ...]


def calibration(search: Search, holdout_N: ArrayLike) -> Calibration:
    """Predict the hold-out runs from the others: f, plus the spread between seeds, plus each run's own variance."""
    held = np.asarray(holdout_N, bool)
    seen = search.observations()
    if held.sum() == 0 or (~held).sum() < FEWEST:
        return Calibration(int(held.sum()), {}, ())
    fitted = Observations(seen.points_NK[~held], seen.z_N[~held], seen.variance_N[~held])
    hyper = fit(fitted)
    mean, deviation = Posterior(fitted, hyper).at(seen.points_NK[held])
    z = (seen.z_N[held] - mean) / np.sqrt(deviation**2 + hyper.spread**2 + seen.variance_N[held])
    shares = {p: float(np.mean(np.abs(z) <= norm.ppf((1 + p) / 2))) for p in (0.5, 0.8, 0.9)}
    return Calibration(int(held.sum()), shares, tuple(float(v) for v in z))
