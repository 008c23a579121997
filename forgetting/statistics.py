"""From outcomes to intervals: the hierarchical bootstrap, Holm's correction and the noise floor of an item set.

Shapes: B draws, S runs (seeds), D doses, I items. Everything is deterministic by seed, and a resampling that is drawn
for one set of runs and items may be used for every student, dose and arm measured on it: that is what makes it paired.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forgetting import metrics, seeds
from forgetting.metrics import Floats

DRAWS = 2000
TAIL = 0.025  # of either side of a 95% interval
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


def cluster_weights(clusters: ArrayLike, draws: int, rng: np.random.Generator) -> Floats:
    """Counts ``[B, N]`` of a two-stage draw with replacement: clusters, then members within each drawn cluster.

    ``clusters`` labels the N members. A drawn cluster of n members gives n draws of them, so a single cluster is an
    ordinary bootstrap and clusters of one member are a bootstrap of clusters.
    """
    _, codes = np.unique(np.asarray(clusters), return_inverse=True)
    order, sizes = np.argsort(codes, kind="stable"), np.bincount(codes)
    starts, widest = np.cumsum(sizes) - sizes, int(sizes.max())
    counts = np.zeros(draws * codes.size)
    offsets = np.arange(draws)[:, None] * codes.size
    for picked in rng.integers(0, sizes.size, (sizes.size, draws)):
        within = (rng.random((draws, widest)) * sizes[picked, None]).astype(np.int64)
        kept = np.arange(widest) < sizes[picked, None]
        counts += np.bincount((offsets + order[starts[picked, None] + within])[kept], minlength=counts.size)
    return counts.reshape(draws, codes.size)


def resampling(distillation_seeds: ArrayLike, templates: ArrayLike, draws: int = DRAWS, seed: int = 0) -> Resampling:
    """The hierarchical bootstrap: seed, then template, then item.

    One entry a run in ``distillation_seeds`` (contamination seeds are nested in it), one an item in ``templates``.
    Runs and items are crossed, since every run answers the same items: a draw has one set of items for all its runs.
    With few seeds the spread between them is estimated from few, and the interval is too narrow by about S/(S-1).
    """
    return Resampling(
        cluster_weights(distillation_seeds, draws, seeds.generator(seed, "bootstrap", "runs")),
        cluster_weights(templates, draws, seeds.generator(seed, "bootstrap", "items")),
    )


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
    with np.errstate(divide="ignore", invalid="ignore"):
        low, high = _quantiles(np.where(base_BD > chance, (now_BD - chance) / (base_BD - chance), np.nan))
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

    def ratio(outcomes: NDArray[np.bool_], weights: Resampling) -> Floats:
        reached = np.ones(outcomes.shape[:2])
        now, base = _pool(weights.runs_BS, weights.accuracies(outcomes), reached)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.where(base > chance, (now - chance) / (base - chance), np.nan))

    runs, _, items = treated_SDI.shape
    plain = Resampling(np.ones((1, runs)), np.ones((1, items)))
    value = (ratio(treated_SDI, plain) - ratio(control_SDI, plain))[0]
    low, high = _quantiles(ratio(treated_SDI, draw) - ratio(control_SDI, draw))
    unseen = metrics.Z_95**2 / (items + metrics.Z_95**2) / (treated_SDI[:, 0].mean() - chance)
    flat = high - low < SAME
    flat[0] = False  # by definition
    return value, np.where(flat, value - unseen, low), np.where(flat, value + unseen, high)


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
