"""From outcomes to intervals: the hierarchical bootstrap, equivalence, Holm's correction and the noise floor of items.

Shapes: B draws, S runs (seeds), D doses, I items. Everything is deterministic by seed, and a resampling that is drawn
for one set of runs and items may be used for every student, dose and arm measured on it: that is what makes it paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forgetting import seeds
from forgetting.analysis import metrics
from forgetting.analysis.metrics import Floats
from forgetting.errors import require

DRAWS = 2000
TAIL = 0.025  # of either side of a 95% interval
TOST = 0.05  # of each of the two one-sided tests of equivalence
Z_90 = 1.6448536269514722  # one-sided 95% quantile of the normal distribution
MARGIN = 0.02  # retention or accuracy: two points count as no difference
SAME = 1e-12  # a smaller spread of draws is rounding


@dataclass(frozen=True)
class Resampling:
    """How often each run and each item occurs in each draw: ``runs_BS`` and ``items_BI``."""

    runs_BS: Floats
    items_BI: Floats

    def accuracies(self, outcomes_SDI: NDArray[np.bool_]) -> Floats:
        """The accuracy of every run at every dose on the items of every draw, ``[B, S, D]``."""
        runs, doses, items = outcomes_SDI.shape
        sums = self.items_BI @ outcomes_SDI.reshape(runs * doses, items).T.astype(float)
        return np.asarray((sums / self.items_BI.sum(axis=1, keepdims=True)).reshape(-1, runs, doses))


@dataclass(frozen=True)
class Band:
    """Pooled accuracy and retention at each dose with 95% intervals, each ``[D]``; retention is NaN if not learned."""

    accuracy: Floats
    accuracy_low: Floats
    accuracy_high: Floats
    accuracy_0: Floats  # of the runs that reached the dose
    retention: Floats
    low: Floats
    high: Floats


@dataclass(frozen=True)
class NoiseFloor:
    """Two disjoint halves of one item set, scored at the same weights: what a difference of nothing looks like."""

    items: int  # of each half
    accuracy: float
    difference: float  # first half minus second
    standard_error: float


@dataclass(frozen=True)
class Equivalence:
    """A difference with its 90% interval, and the p of the two one-sided tests that it lies beyond the margin."""

    value: float
    low: float
    high: float
    margin: float
    p: float

    @property
    def equivalent(self) -> bool:
        """Whether the whole interval lies within the margin."""
        return -self.margin < self.low and self.high < self.margin


def cluster_weights(clusters: ArrayLike, draws: int, rng: np.random.Generator) -> Floats:
    """Counts ``[B, N]`` of a two-stage draw with replacement: clusters, then members within each drawn cluster.

    ``clusters`` labels the N members. A drawn cluster of n members gives n draws of them, so a single cluster is an
    ordinary bootstrap and clusters of one member are a bootstrap of clusters.
    """
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    order, sizes = np.argsort(codes, kind="stable"), np.bincount(codes)
    starts, widest = np.cumsum(sizes) - sizes, int(sizes.max())
    offsets, drawn = np.arange(draws)[:, None] * codes.size, []
    for picked in rng.integers(0, sizes.size, (sizes.size, draws)):
        within = (rng.random((draws, widest)) * sizes[picked, None]).astype(np.int64)
        kept = np.arange(widest) < sizes[picked, None]
        drawn.append((offsets + order[starts[picked, None] + within])[kept])
    counts = np.bincount(np.concatenate(drawn), minlength=draws * codes.size)
    return counts.reshape(draws, codes.size).astype(float)


def resampling(distillation_seeds: ArrayLike, templates: ArrayLike, draws: int = DRAWS, seed: int = 0) -> Resampling:
    """The hierarchical bootstrap: seed, then template, then item.

    One entry a run in ``distillation_seeds`` (contamination seeds are nested in it), one an item in ``templates``.
    Runs and items are crossed, since every run answers the same items: a draw has one set of items for all its runs.
    With few seeds the spread between them is estimated from few, and the interval is too narrow by about S/(S-1).
    """
    runs, items = (tuple(np.asarray(labels).tolist()) for labels in (distillation_seeds, templates))
    return Resampling(_drawn(runs, draws, seed, "runs"), _drawn(items, draws, seed, "items"))


def bootstrap_weights(clusters: ArrayLike, *names: str, draws: int = DRAWS, seed: int = 0) -> Floats:
    """``cluster_weights`` ``[B, N]`` by a generator of that name: equal names and clusters give equal draws.

    What is to be resampled independently (the items of two depths, say) takes names that differ.
    """
    return cluster_weights(clusters, draws, seeds.generator(seed, "bootstrap", *names))


@lru_cache(maxsize=32)  # the items of a benchmark, and of each depth and coverage, serve every student and arm
def _drawn(clusters: tuple[Any, ...], draws: int, seed: int, what: str) -> Floats:
    weights = bootstrap_weights(clusters, what, draws=draws, seed=seed)
    weights.flags.writeable = False
    return weights


def _pool(runs_BS: Floats, accuracies_BSD: Floats, reached_SD: Floats) -> tuple[Floats, Floats]:
    """Mean over drawn runs that reached each dose, at the dose and (same runs) at dose 0, each ``[B, D]``."""
    with np.errstate(invalid="ignore"):
        total = runs_BS @ reached_SD
        now = np.einsum("bs,bsd,sd->bd", runs_BS, accuracies_BSD, reached_SD) / total
        return now, ((runs_BS * accuracies_BSD[:, :, 0]) @ reached_SD) / total


def _quantiles(draws_BD: Floats) -> tuple[Floats, Floats]:
    """2.5% and 97.5% of each column, NaN draws (no run drawn reached the dose) left out; NaN where all are."""
    known = np.isfinite(draws_BD)
    if known.all():
        low, high = np.quantile(draws_BD, (TAIL, 1 - TAIL), axis=0)
        return low, high
    bounds = np.full((2, draws_BD.shape[1]), np.nan)
    for column in np.flatnonzero(known.any(axis=0)):
        bounds[:, column] = np.quantile(draws_BD[known[:, column], column], (TAIL, 1 - TAIL))
    return bounds[0], bounds[1]


def retention_draws(
    outcomes_SDI: NDArray[np.bool_], chance: float, draw: Resampling, reached_SD: ArrayLike | None = None
) -> Floats:
    """Retention at each dose (the first is dose 0) in every draw, ``[B, D]``; NaN where a draw's baseline is chance.

    The same ``draw`` for two arms, students or shifts gives draws that are paired.
    """
    reached = np.ones(outcomes_SDI.shape[:2]) if reached_SD is None else np.asarray(reached_SD, float)
    return _ratio(*_pool(draw.runs_BS, draw.accuracies(outcomes_SDI), reached), chance)


def _ratio(now: Floats, base: Floats, chance: float) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(base > chance, (now - chance) / (base - chance), np.nan))


def retention_band(
    outcomes_SDI: NDArray[np.bool_], chance: float, draw: Resampling, reached_SD: ArrayLike | None = None
) -> Band:
    """Retention and accuracy at each dose (the first is dose 0), pooled over runs, with paired bootstrap intervals.

    The estimate is the ratio of pooled means, never the mean of ratios. Where every draw is the same (all items right,
    none right, or none changed) the bootstrap knows nothing of the items that were not asked: there accuracy may be
    off by z²/(n + z²), the upper Wilson bound of 0 in n items.
    """
    runs, doses, items = outcomes_SDI.shape
    reached = np.ones((runs, doses)) if reached_SD is None else np.asarray(reached_SD, float)
    now, base = _pool(np.ones((1, runs)), outcomes_SDI.mean(axis=2)[None], reached)
    accuracy, accuracy_0 = now[0], base[0]
    now_BD, base_BD = _pool(draw.runs_BS, draw.accuracies(outcomes_SDI), reached)
    accuracy_low, accuracy_high = _quantiles(now_BD)
    low, high = _quantiles(_ratio(now_BD, base_BD, chance))
    unseen = metrics.Z_95**2 / (items + metrics.Z_95**2)
    below, above = np.clip(accuracy - unseen, 0, 1), np.clip(accuracy + unseen, 0, 1)
    flat = accuracy_high - accuracy_low < SAME
    accuracy_low, accuracy_high = np.where(flat, below, accuracy_low), np.where(flat, above, accuracy_high)
    flat |= high - low < SAME
    low = np.where(flat, metrics.retention(below, accuracy_0, chance), low)
    high = np.where(flat, metrics.retention(above, accuracy_0, chance), high)
    low[0] = high[0] = 1.0  # by definition
    unlearned = ~metrics.learned(accuracy_0, chance)
    low[unlearned] = high[unlearned] = np.nan
    ratio = metrics.retention(accuracy, accuracy_0, chance)
    return Band(accuracy, accuracy_low, accuracy_high, accuracy_0, ratio, low, high)


def retention_difference(
    treated_SDI: NDArray[np.bool_], control_SDI: NDArray[np.bool_], chance: float, draw: Resampling
) -> tuple[Floats, Floats, Floats]:
    """Retention of the treated arm minus that of a control on the same runs, doses and items: (value, low, high).

    Where every draw is the same (no item differs between the arms, say) an item that was not asked may still differ:
    the bounds then lie z²/(n + z²) of accuracy to either side, as in ``retention_band``.
    """
    runs, _, items = treated_SDI.shape
    plain = Resampling(np.ones((1, runs)), np.ones((1, items)))

    def difference(weights: Resampling) -> Floats:
        return retention_draws(treated_SDI, chance, weights) - retention_draws(control_SDI, chance, weights)

    value = difference(plain)[0]
    low, high = _quantiles(difference(draw))
    unseen = metrics.Z_95**2 / (items + metrics.Z_95**2) / (treated_SDI[:, 0].mean() - chance)
    flat = high - low < SAME
    flat[0] = False  # by definition
    return value, np.where(flat, value - unseen, low), np.where(flat, value + unseen, high)


def paired_difference(
    first_SI: NDArray[np.bool_], second_SI: NDArray[np.bool_], draw: Resampling
) -> tuple[float, float, float]:
    """Accuracy of the second minus that of the first on the same runs and items: (value, low, high), 95%.

    Where no outcome differs between the two, the bounds lie z²/(n + z²) to either side, as in ``retention_band``.
    """
    runs, items = first_SI.shape
    now_BD, base_BD = _pool(draw.runs_BS, draw.accuracies(np.stack([first_SI, second_SI], axis=1)), np.ones((runs, 2)))
    low, high = _quantiles(now_BD[:, 1:] - base_BD[:, 1:])
    value = float(second_SI.mean() - first_SI.mean())
    if high[0] - low[0] < SAME:
        unseen = metrics.Z_95**2 / (items + metrics.Z_95**2)
        return value, value - unseen, value + unseen
    return value, float(low[0]), float(high[0])


def equivalence(value: float, draws_B: ArrayLike, items: int, margin: float = MARGIN) -> Equivalence:
    """Two one-sided tests at 5% that a difference is within plus or minus ``margin``: its 90% interval lies inside.

    ``draws_B`` are bootstrap draws of the difference, measured on ``items`` items. Where no outcome differed the
    draws are all alike, yet items that were not asked may differ: the interval reaches at least z²/(n + z²) to either
    side, so that 133 items without a difference are the fewest that show equivalence within 2 points.
    """
    require(0 < margin < 1, "margin", "above 0 and below 1", margin)
    require(items >= 1, "items", "1 or more", items)
    draws = np.asarray(draws_B, float)
    draws = draws[np.isfinite(draws)]
    if draws.size == 0 or not np.isfinite(value):
        return Equivalence(value, np.nan, np.nan, margin, 1.0)
    unseen = Z_90**2 / (items + Z_90**2)
    low, high = np.quantile(draws, (TOST, 1 - TOST))
    low, high = min(float(low), value - unseen), max(float(high), value + unseen)
    outside = max(int((draws >= margin).sum()), int((draws <= -margin).sum()))
    p = (1 + outside) / (1 + draws.size)
    inside = -margin < low and high < margin
    return Equivalence(value, low, high, margin, p if inside else max(p, TOST))


def holm(p: ArrayLike) -> Floats:
    """Holm's step-down adjusted p values, in the order given."""
    values = np.asarray(p, float)
    order = np.argsort(values, kind="stable")
    stepped = np.maximum.accumulate(values[order] * np.arange(values.size, 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def noise_floor(right: ArrayLike, problems: Sequence[str]) -> NoiseFloor:
    """Split an item set in two halves by the hash of the problem (twins stay together) and compare their accuracies.

    Halves are of equal size; an odd problem is left out. The standard error is Agresti and Caffo's (one right and one
    wrong item added to each half), so that it is not 0 where every item is right. Needs two problems.
    """
    hashed = sorted(set(problems), key=lambda problem: hashlib.sha256(problem.encode()).digest())
    half, outcomes = len(hashed) // 2, np.asarray(right, float)
    chosen = (set(hashed[:half]), set(hashed[half : 2 * half]))
    sides = [outcomes[[problem in side for problem in problems]] for side in chosen]
    smoothed = [((side.sum() + 1) / (side.size + 2), side.size + 2) for side in sides]
    error = float(np.sqrt(sum(p * (1 - p) / n for p, n in smoothed)))
    return NoiseFloor(sides[0].size, float(outcomes.mean()), float(sides[0].mean() - sides[1].mean()), error)
