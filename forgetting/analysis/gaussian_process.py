"""Regression by a Gaussian process on numbers and on kinds (words that are alike or not), with groups left out.

The kernel is a squared exponential with a length scale a column (Rasmussen and Williams 2006, 5.1); two words of a kind
lie one length apart, whichever they are. The mean is that of the outcomes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, optimize

from forgetting.analysis.metrics import Floats


@dataclass(frozen=True, eq=False)
class GaussianProcess:
    """Past points (rows N, columns D, of which the last ``kinds`` are places of words), their outcomes, and scales.

    ``log_theta`` has the logs of D length scales, then of the standard deviations of outcomes and of noise.
    """

    x_ND: Floats
    y_N: Floats
    kinds: int
    log_theta: Floats

    @cached_property
    def root(self) -> Floats:
        """The lower Cholesky factor of the Gram matrix with the noise."""
        gram = self._kernel(self.x_ND, self.x_ND) + math.exp(2 * self.log_theta[-1]) * np.eye(len(self.x_ND))
        return np.asarray(np.linalg.cholesky(gram), np.float64)

    def conditioned(self, at_RD: Floats) -> tuple[Floats, Floats]:
        """Mean and standard deviation of an outcome at R other points, its noise included; each ``[R]``."""
        middle = float(self.y_N.mean())
        across = linalg.solve_triangular(self.root, self._kernel(self.x_ND, at_RD), lower=True)
        mean = middle + across.T @ linalg.solve_triangular(self.root, self.y_N - middle, lower=True)
        whole = math.exp(2 * self.log_theta[-2]) + math.exp(2 * self.log_theta[-1])
        return mean, np.sqrt(whole - (across**2).sum(axis=0))

    def left_out(self, group_N: NDArray[Any]) -> tuple[Floats, Floats]:
        """The same, each ``[N]``, of past points by those of other groups; of a single group by its outcomes' mean.

        By the inverse of the whole Gram matrix (Rasmussen and Williams 2006, 5.4.2, for groups).
        """
        inverse_NN = linalg.cho_solve((self.root, True), np.eye(len(self.y_N)))
        weight_N, mean_N, sd_N = inverse_NN @ (self.y_N - self.y_N.mean()), self.y_N.copy(), np.ones(len(self.y_N))
        for name in np.unique(group_N):
            out = group_N == name
            covariance = np.linalg.inv(inverse_NN[np.ix_(out, out)])
            mean_N[out], sd_N[out] = self.y_N[out] - covariance @ weight_N[out], np.sqrt(np.diag(covariance))
        return mean_N, sd_N

    def _kernel(self, a: Floats, b: Floats) -> Floats:
        scale, many = np.exp(self.log_theta[:-2]), a.shape[1] - self.kinds
        scaled_a, scaled_b = a[:, :many] / scale[:many], b[:, :many] / scale[:many]
        squares = (scaled_a**2).sum(1)[:, None] + (scaled_b**2).sum(1) - 2 * scaled_a @ scaled_b.T
        for place in range(many, a.shape[1]):
            squares += (a[:, place, None] != b[:, place]) / scale[place] ** 2
        return np.asarray(np.exp(2 * self.log_theta[-2] - np.maximum(squares, 0.0) / 2))


def scales(x: Floats, y: Floats, kinds: int) -> Floats:
    """The posterior mode of ``log_theta``, ``[D + 2]``, under broad normal priors about what outcomes in 0 to 1 say."""
    prior = np.log([*[3.0] * (x.shape[1] - kinds), *[2.0] * kinds, 0.4, 0.08])
    width = np.array([*[1.0] * x.shape[1], 0.5, 0.5])
    residual = y - y.mean()

    def loss(log_theta: Floats) -> float:
        try:
            root = GaussianProcess(x, y, kinds, log_theta).root
        except np.linalg.LinAlgError:
            return 1e12
        fit = linalg.solve_triangular(root, residual, lower=True)
        return float(fit @ fit / 2 + np.log(np.diag(root)).sum() + (((log_theta - prior) / width) ** 2).sum() / 2)

    found = optimize.minimize(loss, prior, method="L-BFGS-B", options={"maxiter": 60})
    return np.asarray(found.x)
