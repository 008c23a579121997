"""From search observations to a threshold along one axis: points, retentions and variances in, a ``Threshold`` out.

Sample paths of the Gaussian process of ``process.py`` along the axis, at hyperparameters drawn from their posterior
(Laplace's approximation, reweighted), each give a crossing. Unless a second crossing is as likely as not, paths are
made non-decreasing first (projection of the posterior, Lin and Dunson, arXiv 1306.4041): a plateau near the level would
otherwise seem to cross it by noise alone. Smoothing flattens a knee, and the projection draws the beginning of a
plateau down, so that crossings come late there; the bias of the value is estimated and taken off (``rises.py``). A
boundary may be a step, of which a smooth process would be too sure inside a gap, so the interval also covers the gaps
between neighbouring measured points in which paths cross, and the gap of a single step (``step.py``) where that
explains the data as well.

Shapes: N observations, D dimensions, G grid points, K measured points, S sample paths, H hyperparameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from forgetting import seeds
from forgetting.analysis.level_set import process
from forgetting.analysis.level_set.process import Objective, RetentionProcess
from forgetting.analysis.level_set.rises import last_rise, rise, unbiased
from forgetting.analysis.level_set.step import Step, fit_step, is_rival
from forgetting.analysis.metrics import Floats
from forgetting.analysis.thresholds.threshold import CONFIDENCE, Axis, Threshold, ThresholdStatus
from forgetting.errors import require

GRID, PATHS, DRAWS = 129, 960, 16  # points along the axis, sample paths, draws of hyperparameters
FEWEST_PLACES, FEWEST_RUNS = 3, 4  # different places along the axis and observations below which nothing is said
CERTAIN = 0.95  # posterior probability from which a second crossing, or a threshold outside the range, is stated
DOUBTFUL = 0.75  # from which paths are no longer taken to rise
GAP_TAILS = 2.0  # a gap is covered whole unless fewer paths than so many tails of the interval cross in it or beyond
NEAR = 0.1  # share of the range of each other coordinate within which a measured point is a neighbour of the line


@dataclass(frozen=True)
class Crossings:
    """What sample paths say of the smallest place from which retention stays at or above a level.

    ``place_S`` in 0 to 1 along the axis, minus infinity where the path is never below the level, infinity where it ends
    below; ``low_S`` and ``high_S`` are the neighbouring measured places. ``value`` is the same place of the mean of the
    paths, its bias taken off: a path has the noise of the data twice, in the mean and about it, and noise on a plateau
    makes last crossings late. ``reversal`` is the greatest probability, over pairs of measured points, that retention
    is above the level at the first and below it at the second.
    """

    value: float
    place_S: Floats
    low_S: Floats
    high_S: Floats
    reversal: float


def estimate_threshold(
    points: ArrayLike,
    retention: ArrayLike,
    variance: ArrayLike,
    *,
    axis: Axis,
    level: float,
    along: int = 0,
    at: ArrayLike = (),
    confidence: float = CONFIDENCE,
    seed: int = 0,
    students: ArrayLike | None = None,
) -> Threshold:
    """The threshold along one axis at fixed other coordinates, with its interval.

    Args:
        points: coordinates ``[N, D]`` of every run (``[N]`` if there is one), replicates repeated; the column of a
            capacity is log10 of parameters, that of a dose log10 of samples, that of a shift the share
        retention: of every run, ``[N]``
        variance: of every retention, by the items it was measured on, ``[N]``; the spread between seeds is learned
        axis: what the column ``along`` is; retention rises with capacity and falls with dose and shift
        level: retention that counts as kept
        along: column of the axis
        at: the other coordinates of the line along which to look, in the order of their columns
        confidence: of the interval
        seed: of the sample paths
        students: of every run, the label of the student it was made on, ``[N]``; runs on one student then count as
            nested in it. Where no point has two students the interval excludes their scatter, and the threshold says so

    Returns:
        ``located`` with value and interval (in parameters, samples, or a share), or one of the other statuses. The
        range is that of the measured points: nothing is extrapolated.

    Raises:
        UsageError: shapes that do not match, values that are not finite, or a level or confidence out of range.
    """
    x_ND, y_N, v_N = np.asarray(points, float), np.asarray(retention, float), np.asarray(variance, float)
    x_ND = x_ND[:, None] if x_ND.ndim == 1 else x_ND
    line = np.asarray(at, float).reshape(-1)
    _check(x_ND, y_N, v_N, line, along, level, confidence)
    labels_N = None if students is None else np.asarray(students)
    if labels_N is not None:
        require(labels_N.shape == y_N.shape, "students", f"of shape {y_N.shape}", labels_N.shape)
    count = 0 if labels_N is None else len(np.unique(labels_N))
    x_ND = np.concatenate([x_ND[:, [along]], np.delete(x_ND, along, axis=1)], axis=1)
    if len(y_N) < FEWEST_RUNS or len(np.unique(x_ND[:, 0])) < FEWEST_PLACES:
        return Threshold(axis, level, ThresholdStatus.too_little_data.name, confidence=confidence, students=count)
    low_D = np.minimum(x_ND.min(axis=0), np.concatenate([[np.inf], line]))
    width_D = np.maximum(x_ND.max(axis=0), np.concatenate([[-np.inf], line])) - low_D
    width_D[width_D == 0] = 1.0
    unit_ND, unit_line = (x_ND - low_D) / width_D, (line - low_D[1:]) / width_D[1:]
    falling = axis != "capacity"
    if falling:
        unit_ND[:, 0] = 1 - unit_ND[:, 0]
    best = process.fit(process.rows(unit_ND, y_N, v_N, students_N=labels_N))
    found = crossings(best, unit_line, level, seed)
    rival = _step(best, unit_ND, y_N, unit_line, level)
    status, value, low, high = _verdict(found, rival, confidence)
    if status == ThresholdStatus.located:
        ends = (low, value, high)
        if falling:
            ends = (1 - high, 1 - value, 1 - low)
        low, value, high = (_native(axis, float(low_D[0] + end * width_D[0])) for end in ends)
        return Threshold(axis, level, status.name, value, low, high, confidence, count, best.student_sd)
    if falling and status in (ThresholdStatus.below_range, ThresholdStatus.above_range):
        below = status == ThresholdStatus.below_range
        status = ThresholdStatus.above_range if below else ThresholdStatus.below_range
    return Threshold(axis, level, status.name, confidence=confidence, students=count, student_sd=best.student_sd)


def crossings(best: RetentionProcess, line: Floats, level: float, seed: int = 0) -> Crossings:
    """Sample the crossing along the first dimension at the other coordinates ``line``; points are in the unit cube."""
    data = best.rows
    measured_K = np.unique(data.x_MD[_near(data.x_MD, line), 0])
    grid_G = np.unique(np.concatenate([np.linspace(0, 1, GRID), measured_K]))
    x_GD = np.concatenate([grid_G[:, None], np.broadcast_to(line, (len(grid_G), len(line)))], axis=1)
    above_SG = np.concatenate([m.paths(x_GD, z) for m, z in models(best, len(grid_G), seed)])
    above_SG -= level
    kept_SK = above_SG[:, np.searchsorted(grid_G, measured_K)] > 0
    pairs_KK = np.triu(kept_SK.T.astype(float) @ ~kept_SK / len(kept_SK), k=1)
    reversal = float(pairs_KK.max(initial=0.0))
    mean_1G, weight_G = above_SG.mean(axis=0, keepdims=True), 1 / np.maximum(above_SG.var(axis=0), 1e-9)
    if reversal < DOUBTFUL:
        place_S, value = rise(grid_G, above_SG, weight_G), float(rise(grid_G, mean_1G, weight_G)[0])
        near_M = _near(data.x_MD, line)
        value = unbiased(best, near_M, x_GD, mean_1G[0], weight_G, level, value, seed)
    else:
        place_S, value = last_rise(grid_G, above_SG), float(last_rise(grid_G, mean_1G)[0])
    ends = np.concatenate([[-np.inf], measured_K, [np.inf]])
    after_S = np.searchsorted(measured_K, place_S, side="left")
    low_S, high_S = (
        np.minimum(ends[after_S], place_S),
        np.maximum(ends[np.minimum(after_S + 1, len(ends) - 1)], place_S),
    )
    return Crossings(value, place_S, low_S, high_S, reversal)


def _near(x_ND: Floats, line: Floats) -> NDArray[np.bool_]:
    """Which points are neighbours of the line."""
    return np.asarray(np.all(np.abs(x_ND[:, 1:] - line) <= NEAR, axis=1))


def _step(best: RetentionProcess, unit_ND: Floats, retention_N: Floats, line: Floats, level: float) -> Step | None:
    """The step near the line, unless the process explains the observations there better."""
    near = _near(unit_ND, line)
    found = fit_step(unit_ND[near, 0], retention_N[near], level) if near.any() else None
    if found is None:
        return None
    residual = float(np.sum((retention_N[near] - best.mean(unit_ND[near])) ** 2))
    freedom = float(best.freedom[_near(best.rows.x_MD, line)].sum())
    return found if is_rival(found, residual, freedom, int(near.sum())) else None


def models(best: RetentionProcess, size: int, seed: int) -> list[tuple[RetentionProcess, Floats]]:
    """The process at several draws of hyperparameters, each with normal numbers for its share of the paths."""
    data, theta = best.rows, best.theta_H
    objective = Objective.of(data)
    draws, log_weight = _laplace(objective, theta, seed)
    weight = np.exp(log_weight - log_weight.max())
    edges = np.floor(np.cumsum(weight) / weight.sum() * PATHS + 0.5).astype(int)
    counts = np.diff(edges, prepend=0)
    normal = seeds.generator(seed, "paths").standard_normal((PATHS, size))
    starts = edges - counts
    return [
        (RetentionProcess.at(data, draw), normal[start : start + count])
        for draw, start, count in zip(draws, starts, counts, strict=True)
        if count
    ]


def _laplace(objective: Objective, theta_H: Floats, seed: int) -> tuple[Floats, Floats]:
    """Draws of hyperparameters from the normal approximation at their mode, and logarithms of their weights."""
    from scipy.stats import qmc

    size, step = len(theta_H), 1e-3
    hessian = np.empty((size, size))
    for i in range(size):
        shift = np.zeros(size)
        shift[i] = step
        hessian[i] = (objective(theta_H + shift)[1] - objective(theta_H - shift)[1]) / (2 * step)
    values, vectors = np.linalg.eigh((hessian + hessian.T) / 2)
    root = vectors / np.sqrt(np.maximum(values, 0.5))
    engine = qmc.Sobol(size, rng=seeds.generator(seed, "hyperparameters"))
    normal = special.ndtri(np.clip(engine.random(DRAWS), 1e-6, 1 - 1e-6))
    draws = theta_H + normal @ root.T
    density = np.asarray([-objective(draw)[0] for draw in draws])
    return draws, density + 0.5 * np.sum(normal**2, axis=1)


def _verdict(found: Crossings, rival: Step | None, confidence: float) -> tuple[ThresholdStatus, float, float, float]:
    """Status, value and ends of the interval, in 0 to 1 along the axis."""
    tail = (1 - confidence) / 2
    gap = min(GAP_TAILS * tail, 0.5)
    value = found.value
    low = min(value, _quantile(found.place_S, tail), _quantile(found.low_S, gap))
    high = max(value, _quantile(found.place_S, 1 - tail), _quantile(found.high_S, 1 - gap))
    if rival is not None:
        ends = rival.interval(tail)
        low, high = min(low, ends[0]), max(high, ends[1])
    nowhere = (np.nan, np.nan, np.nan)
    if found.reversal >= CERTAIN:
        return (ThresholdStatus.not_monotone, *nowhere)
    for sign, status in ((-1, ThresholdStatus.below_range), (1, ThresholdStatus.above_range)):
        if np.mean(found.place_S == sign * np.inf) >= CERTAIN:
            return (status, *nowhere)
    if not np.isfinite(value) or (np.isinf(low) and np.isinf(high)):
        return (ThresholdStatus.too_little_data, *nowhere)
    return ThresholdStatus.located, value, low, high


def _quantile(values_S: Floats, q: float) -> float:
    """An order statistic, since infinite values cannot be interpolated."""
    return float(np.sort(values_S)[min(int(q * len(values_S)), len(values_S) - 1)])


def _native(axis: Axis, place: float) -> float:
    """From a coordinate to the units of the axis; an end that the data do not bound is 0 or infinite."""
    if axis == "shift":
        return max(place, 0.0)
    return float(10.0**place)


def _check(x_ND: Floats, y_N: Floats, v_N: Floats, line: Floats, along: int, level: float, confidence: float) -> None:
    require(x_ND.ndim == 2, "points", "of shape [N, D]", x_ND.shape)
    require(y_N.shape == v_N.shape == x_ND.shape[:1], "retention, variance", f"of shape {x_ND.shape[:1]}",
            (y_N.shape, v_N.shape))  # fmt: skip
    require(0 <= along < x_ND.shape[1], "along", f"a column, 0 to {x_ND.shape[1] - 1}", along)
    require(len(line) == x_ND.shape[1] - 1, "at", f"{x_ND.shape[1] - 1} other coordinates", line.tolist())
    require(bool(np.isfinite(x_ND).all() and np.isfinite(y_N).all()), "points, retention", "finite", "NaN or infinity")
    require(bool(np.all(v_N >= 0) and np.isfinite(v_N).all()), "variance", "at least 0 and finite", float(v_N.min()))
    require(bool(np.isfinite(line).all()), "at", "finite", line.tolist())
    require(0 < level < 1, "level", "above 0 and below 1", level)
    require(0 < confidence < 1, "confidence", "above 0 and below 1", confidence)
