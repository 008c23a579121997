"""A Gaussian process on logit-retention with known and learned noise: observations in, a posterior on any points out.

Retention R of an observation is put on the logit scale, z = ln(R / (1 - R)) with R held inside (0, 1) by its own
variance, and its variance carried over by the delta method. The model is

    z_ij = f(x_i) + e_ij, f ~ GP(0, c^2 + b^2 (x - 1/2).(x' - 1/2) + s^2 Matern-5/2(x, x')), e_ij ~ N(0, v_ij + t^2)

with the v_ij known (how many items were asked) and t the spread between seeds, learned with s and a length a dimension
by maximum a posteriori. Points are scaled to the unit cube. Replicates of a point are pooled exactly, so the cost grows
with the number of distinct points, not of observations.

Shapes: N observations, P distinct points, Q query points, K dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import cho_factor, cho_solve, solve_triangular
from scipy.optimize import minimize

Floats = NDArray[np.float64]

CONSTANT, SLOPE = 3.0, 4.0  # prior standard deviations of mean and slope, logits (a unit is the range of a dimension)
PRIOR_MEAN = {"length": np.log(0.4), "scale": np.log(1.5), "spread": np.log(0.5)}  # of the logarithms
PRIOR_SD = {"length": 0.6, "scale": 0.7, "spread": 0.7}
FLOOR = 1e-3  # retention is held this far inside (0, 1) even where its variance is tiny


def logit_of(retention: ArrayLike, variance: ArrayLike) -> tuple[Floats, Floats]:
    """Logits and their variances from retention and its variance, each ``[N]``.

    At or beyond 0 and 1 retention is moved inside by a quarter of its standard deviation: an answer count of 0 of n
    says that R is near 0, not that its logit is minus infinity.
    """
    r, v = np.asarray(retention, float), np.maximum(np.asarray(variance, float), 1e-8)
    inside = np.clip(np.sqrt(v) / 4, FLOOR, 0.2)
    held = np.clip(r, inside, 1 - inside)
    slope = 1 / (held * (1 - held))
    return np.log(held / (1 - held)), np.minimum(v * slope**2, 25.0)


@dataclass(frozen=True)
class Hyperparameters:
    """Logarithms of the lengths ``[K]`` (in ranges), of the scale s and of the spread t (in logits)."""

    values: Floats

    @property
    def lengths(self) -> Floats:
        """One length a dimension."""
        return np.exp(self.values[:-2])

    @property
    def scale(self) -> float:
        """Standard deviation of the smooth part."""
        return float(np.exp(self.values[-2]))

    @property
    def spread(self) -> float:
        """Standard deviation between seeds."""
        return float(np.exp(self.values[-1]))


@dataclass(frozen=True)
class Observations:
    """What was seen: ``points_NK`` in the unit cube, logits and their known variances ``[N]``."""

    points_NK: Floats
    z_N: Floats
    variance_N: Floats

    def pooled(self, spread: float) -> tuple[Floats, Floats, Floats, float]:
        """Distinct points ``[P, K]``, pooled logits and variances ``[P]``, log likelihood of the differences."""
        points, code = np.unique(self.points_NK, axis=0, return_inverse=True)
        code = code.reshape(-1)
        weight = 1 / (self.variance_N + spread**2)
        total = np.bincount(code, weights=weight)
        mean = np.bincount(code, weights=weight * self.z_N) / total
        counts = np.bincount(code)
        within = -0.5 * np.sum(weight * (self.z_N - mean[code]) ** 2) + 0.5 * np.sum(np.log(weight))
        within -= 0.5 * np.sum(np.log(total)) + 0.5 * np.log(2 * np.pi) * np.sum(counts - 1)
        return points, mean, 1 / total, float(within)


def covariance(a_PK: Floats, b_QK: Floats, hyper: Hyperparameters) -> Floats:
    """Prior covariance ``[P, Q]``."""
    scaled = (a_PK[:, None, :] - b_QK[None, :, :]) / hyper.lengths
    r = np.sqrt(5 * np.sum(scaled**2, axis=-1))
    matern = hyper.scale**2 * (1 + r + r**2 / 3) * np.exp(-r)
    return np.asarray(CONSTANT**2 + SLOPE**2 * (a_PK - 0.5) @ (b_QK - 0.5).T + matern)


class Posterior:
    """What observations say at fixed hyperparameters."""

    def __init__(self, seen: Observations, hyper: Hyperparameters) -> None:
        self.seen, self.hyper = seen, hyper
        self._points, mean, noise, self._within = seen.pooled(hyper.spread)
        matrix = covariance(self._points, self._points, hyper) + np.diag(noise + 1e-8)
        self._factor = cho_factor(matrix, lower=True)
        self._weights = cho_solve(self._factor, mean)
        self._mean = mean

    def log_likelihood(self) -> float:
        """Of all observations, replicates included."""
        logs = np.log(np.diag(self._factor[0])).sum()
        n = len(self._mean)
        return float(-0.5 * self._mean @ self._weights - logs - 0.5 * n * np.log(2 * np.pi) + self._within)

    def at(self, points_QK: ArrayLike) -> tuple[Floats, Floats]:
        """Mean and standard deviation of f, each ``[Q]``."""
        query = np.asarray(points_QK, float)
        across = covariance(self._points, query, self.hyper)
        half = solve_triangular(self._factor[0], across, lower=True)
        prior = CONSTANT**2 + SLOPE**2 * np.sum((query - 0.5) ** 2, axis=1) + self.hyper.scale**2
        return across.T @ self._weights, np.sqrt(np.maximum(prior - np.sum(half**2, axis=0), 1e-12))

    def paths(self, points_QK: ArrayLike, draws: int, rng: np.random.Generator) -> Floats:
        """Draws of f at all points together, ``[draws, Q]``."""
        query = np.asarray(points_QK, float)
        across = covariance(self._points, query, self.hyper)
        half = solve_triangular(self._factor[0], across, lower=True)
        spread = covariance(query, query, self.hyper) - half.T @ half
        values, vectors = np.linalg.eigh((spread + spread.T) / 2)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        return np.asarray(across.T @ self._weights + rng.standard_normal((draws, len(query))) @ root.T)


def _log_prior(values: Floats) -> float:
    means = np.array([PRIOR_MEAN["length"]] * (len(values) - 2) + [PRIOR_MEAN["scale"], PRIOR_MEAN["spread"]])
    spreads = np.array([PRIOR_SD["length"]] * (len(values) - 2) + [PRIOR_SD["scale"], PRIOR_SD["spread"]])
    return float(-0.5 * np.sum(((values - means) / spreads) ** 2))


def _log_posterior(values: Floats, seen: Observations) -> float:
    try:
        return Posterior(seen, Hyperparameters(values)).log_likelihood() + _log_prior(values)
    except np.linalg.LinAlgError:
        return -1e10


def fit(seen: Observations) -> Hyperparameters:
    """Hyperparameters by maximum a posteriori, from the prior's mean; deterministic."""
    start = np.array([PRIOR_MEAN["length"]] * seen.points_NK.shape[1] + [PRIOR_MEAN["scale"], PRIOR_MEAN["spread"]])
    bounds = [(m - 3, m + 3) for m in start]
    found = minimize(
        lambda v: -_log_posterior(v, seen), start, method="L-BFGS-B", bounds=bounds, options={"maxiter": 40}
    )
    return Hyperparameters(np.asarray(found.x))


def draw_hyperparameters(
    seen: Observations, best: Hyperparameters, draws: int, rng: np.random.Generator
) -> list[Hyperparameters]:
    """Draws from the posterior of the hyperparameters: a normal at its mode, resampled by importance."""
    mode, step = best.values, 0.05
    size = len(mode)
    top = _log_posterior(mode, seen)
    curvature = np.empty((size, size))
    for i in range(size):
        for j in range(i + 1):
            e_i, e_j = np.eye(size)[i] * step, np.eye(size)[j] * step
            corners = [_log_posterior(mode + a * e_i + b * e_j, seen) for a in (1, -1) for b in (1, -1)]
            second = (corners[0] - corners[1] - corners[2] + corners[3]) / (4 * step**2)
            curvature[i, j] = curvature[j, i] = -second
    values, vectors = np.linalg.eigh(curvature)
    deviations = 1 / np.sqrt(np.clip(values, 1.0, None))
    normal = rng.standard_normal((2 * draws, size))
    offered = mode + (normal * deviations) @ vectors.T
    logs = np.array([_log_posterior(v, seen) for v in offered]) - top + 0.5 * np.sum(normal**2, axis=1)
    share = np.exp(logs - logs.max())
    chosen = rng.choice(2 * draws, draws, p=share / share.sum())
    return [Hyperparameters(offered[i]) for i in chosen]
