"""Where paths rise through 0: paths on a grid in, places out; and the value of a mean path less its bias.

Shapes: G grid points, S paths, M rows, D dimensions, B bootstrap samples.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from forgetting import seeds
from forgetting.analysis.level_set import process
from forgetting.analysis.level_set.process import RetentionProcess
from forgetting.analysis.metrics import Floats

SAMPLES = 256  # for the bias of a value, which is then known to a twelfth of the value's own error


def rise(grid_G: Floats, above_SG: Floats, weight_G: Floats) -> Floats:
    """Where each path's nearest non-decreasing path (grid points weighted by their precision) rises through 0, ``[S]``.

    Minus infinity where that path is never below 0, infinity where it always is. It need not be made: it is below 0 at
    the first k points, k being the first at which the weighted sum of the path's first k points is least (the switch
    relation; Groeneboom and Jongbloed 2014). Its value before the rise is the greatest mean of points that end there,
    after it the least mean of points that begin there.
    """
    sum_SG = np.cumsum(np.pad(above_SG * weight_G, ((0, 0), (1, 0))), axis=1)
    total_G = np.cumsum(np.pad(weight_G, (1, 0)))
    size, count_S = len(grid_G), np.argmin(sum_SG, axis=1)
    ends_G, rows = np.arange(size + 1), np.arange(len(above_SG))
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_SG = (sum_SG - sum_SG[rows, count_S][:, None]) / (total_G - total_G[count_S][:, None])
        left_S = np.where(ends_G < count_S[:, None], mean_SG, -np.inf).max(axis=1)
        right_S = np.where(ends_G > count_S[:, None], mean_SG, np.inf).min(axis=1)
        at_S = np.clip(count_S, 1, size - 1)
        place_S = grid_G[at_S - 1] + (grid_G[at_S] - grid_G[at_S - 1]) * left_S / (left_S - right_S)
    return np.where(count_S == 0, -np.inf, np.where(count_S == size, np.inf, place_S))


def last_rise(grid_G: Floats, above_SG: Floats) -> Floats:
    """Where each path itself rises through 0 for the last time, ``[S]``; infinite as in ``rise``."""
    below = above_SG < 0
    last = below.shape[1] - 1 - np.argmax(below[:, ::-1], axis=1)
    inside = np.minimum(last, below.shape[1] - 2)
    rows = np.arange(len(above_SG))
    left, right = above_SG[rows, inside], above_SG[rows, inside + 1]
    with np.errstate(divide="ignore", invalid="ignore"):
        place = grid_G[inside] + (grid_G[inside + 1] - grid_G[inside]) * left / (left - right)
    place = np.where(last == below.shape[1] - 1, np.inf, place)
    return np.where(below.any(axis=1), place, -np.inf)


def unbiased(
    best: RetentionProcess, near_M: NDArray[np.bool_], x_GD: Floats, mean_G: Floats, weight_G: Floats,
    level: float, value: float, seed: int,
) -> float:  # fmt: skip
    """The value less its median bias: were the projected mean the truth, by so much would data like these miss it.

    Data are drawn about it, with the noise of each row and the scatter of students, and their mean is formed at the
    same hyperparameters, projected and read (median-bias correction by a parametric bootstrap; Efron and Tibshirani
    1993, chapter 10). Nothing is taken off an infinite value, nor where most such data have no crossing.

    Args:
        best: the process
        near_M: which rows are near the line; the others' truth is the posterior mean
        x_GD: the grid's points on the line, of which the first coordinate ascends
        mean_G: posterior mean there, less the level
        weight_G: posterior precision there
        level: what was taken off
        value: where the projected mean rises through 0
        seed: of the draws
    """
    if not np.isfinite(value):
        return value
    data, grid_G = best.rows, x_GD[:, 0]
    truth_M = best.mean(data.x_MD)
    rising_G = optimize.isotonic_regression(mean_G, weights=weight_G).x
    apart_G = rising_G - (best.mean(x_GD) - level)  # the mean is one over hyperparameters, the process at their mode
    truth_M[near_M] += np.interp(data.x_MD[near_M, 0], grid_G, apart_G)
    rng = seeds.generator(seed, "bias")
    drawn_BM = truth_M + rng.standard_normal((SAMPLES, len(truth_M))) * np.sqrt(best.noise_M)
    if data.student_M is not None and best.student_sd is not None:
        own = rng.standard_normal((SAMPLES, int(data.student_M.max()) + 1))
        drawn_BM += best.student_sd * own[:, data.student_M]
    cross_MG = process.covariance(data.x_MD, x_GD, best.theta_H)
    smoother_MG = linalg.cho_solve((best.factor_MM, True), cross_MG, check_finite=False)
    bias = float(np.median(rise(grid_G, drawn_BM @ smoother_MG - level, weight_G))) - value
    return min(max(value - bias, 0.0), 1.0) if np.isfinite(bias) else value
