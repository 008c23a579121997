"""A Gaussian process on retention: retentions with known variances in, its mean, spread and sample paths out.

Observation i at point x: z_i = f(x) + seed noise + measurement noise, with a learned seed-to-seed variance tau² and a
known measurement variance w_i. f has a constant and a linear part with wide priors, so that it goes on beyond the data
as the data do, and a Matérn-5/2 part with one length scale for each dimension. Hyperparameters are those of greatest
posterior density under weak priors. Replicates are pooled exactly: the process has one row a distinct point (of a
student, where they are told), whatever the number of runs.

Where some point was measured on several students, all observations of one student share a random effect of learned
variance, at whatever points they were made: runs on one student are nested in it and count as one where it is large. f
is the mean over students. With one student a point its effect cannot be told from f, and there is none.

Retention is taken as it is measured, above 1 or below 0 too: noise has mean 0 on this scale and on no other, so that a
plateau at 1 has its mean at 1. A logit would need retention cut off at 1, and would weigh runs by what they happen to
show; both draw plateaus down and push thresholds at .9 out.

Shapes: N observations, M rows (distinct points), Q query points, D dimensions, H hyperparameters, S samples.
Points are in units of the search space, 0 to 1 in each dimension.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import linalg, optimize

from forgetting.analysis.metrics import Floats

Whole = NDArray[np.int64]

COMPARABLE = 10.0  # times the median variance of a row up to which a variance differs by luck
MOST_ROWS = 256  # beyond it neighbouring points share a row, so that time and memory stay bounded
CONSTANT_SD, SLOPE_SD = 1.0, 1.0  # of the linear part: at the middle of the space, and over its whole width
LENGTH_PRIOR, SIGNAL_PRIOR, SEED_PRIOR = (np.log(0.3), 0.5), (np.log(0.5), 0.5), (np.log(0.06), 0.6)  # of logarithms
STUDENT_PRIOR = (np.log(0.06), 0.8)
ROOT_5 = np.sqrt(5.0)
JITTER = 1e-8


@dataclass(frozen=True)
class Rows:
    """Observations ``z_N`` with known variances ``w_N``, and the row of each: its point is ``x_MD[row_N]``.

    ``student_M`` numbers the student of each row; None where students were not told or cannot be told from points.
    """

    x_MD: Floats
    row_N: Whole
    z_N: Floats
    w_N: Floats
    student_M: Whole | None = None

    def same_student(self) -> Floats:
        """``[M, M]``: 1 where two rows are of one student, else 0; empty without students."""
        own = np.empty(0) if self.student_M is None else self.student_M
        return np.asarray(own[:, None] == own[None, :], float)

    def pooled(self, tau: float) -> tuple[Floats, Floats]:
        """Inverse-variance mean of each row and its variance, seed noise included, each ``[M]``."""
        weight_N = 1 / (self.w_N + tau**2)
        total_M = np.bincount(self.row_N, weight_N, minlength=len(self.x_MD))
        return np.bincount(self.row_N, weight_N * self.z_N, minlength=len(self.x_MD)) / total_M, 1 / total_M


def rows(
    x_ND: ArrayLike,
    retention_N: ArrayLike,
    variance_N: ArrayLike,
    most_rows: int = MOST_ROWS,
    students_N: ArrayLike | None = None,
) -> Rows:
    """Retentions with their variances as rows; ``students_N`` labels the student of each.

    Variances are computed from the same answers as retentions, so that a run which happens to come out high or low has
    another variance than its replicates, and pooling would favour one side: those of a row are replaced by their mean.
    One far beyond is of another kind (a run that was ended early) and stays. Where there are more than ``most_rows``
    distinct points, those in one cell of the finest halving of the space that has no more occupied cells share a row at
    their mean position.
    """
    x, retention, variance = (np.asarray(values, float) for values in (x_ND, retention_N, variance_N))
    points, row, count = np.unique(np.round(x, 9), axis=0, return_inverse=True, return_counts=True)
    if students_N is not None:
        student_N = np.unique(np.asarray(students_N), return_inverse=True)[1].reshape(-1)
        pairs, own = np.unique(np.stack([row.reshape(-1), student_N], 1), axis=0, return_inverse=True)
        if len(pairs) > len(points):
            level_N = _levelled(row.reshape(-1), variance)
            return Rows(points[pairs[:, 0]], own.reshape(-1), retention, level_N, pairs[:, 1])
    cells = 1024
    while len(points) > most_rows:
        _, row, count = np.unique(np.floor(x * cells), axis=0, return_inverse=True, return_counts=True)
        points = np.stack([np.bincount(row.reshape(-1), column) / count for column in x.T], axis=1)
        cells //= 2
    row = row.reshape(-1)
    return Rows(points, row, retention, _levelled(row, variance))


def _levelled(row_N: Whole, variance_N: Floats) -> Floats:
    """Variances, those that are comparable within a row replaced by their mean."""
    order, count_M = np.lexsort((variance_N, row_N)), np.bincount(row_N)
    median_M = variance_N[order][np.cumsum(count_M) - count_M // 2 - 1]
    like_N = variance_N <= COMPARABLE * median_M[row_N]
    total_M, like_M = np.bincount(row_N, variance_N * like_N), np.bincount(row_N, like_N)
    return np.where(like_N, total_M[row_N] / like_M[row_N], variance_N)


@dataclass(frozen=True)
class RetentionProcess:
    """The posterior at given hyperparameters ``theta_H``.

    They are logarithms of D length scales, signal sd, seed sd and, where rows have students, student sd.
    """

    rows: Rows
    theta_H: Floats
    factor_MM: Floats  # lower Cholesky factor of the covariance of pooled rows
    weight_M: Floats  # its inverse times the pooled rows
    noise_M: Floats  # variances of the pooled rows

    @classmethod
    def at(cls, data: Rows, theta_H: Floats) -> RetentionProcess:
        """Condition on the rows."""
        size = data.x_MD.shape[1]
        mean_M, noise_M = data.pooled(float(np.exp(theta_H[size + 1])))
        total = covariance(data.x_MD, data.x_MD, theta_H) + np.diag(noise_M + JITTER)
        if data.student_M is not None:
            total += np.exp(2 * theta_H[size + 2]) * data.same_student()
        factor = linalg.cholesky(total, lower=True, check_finite=False)
        weight = linalg.cho_solve((factor, True), mean_M, check_finite=False)
        return cls(data, theta_H, factor, weight, noise_M)

    @property
    def seed_sd(self) -> float:
        """Seed-to-seed standard deviation of retention."""
        return float(np.exp(self.theta_H[self.rows.x_MD.shape[1] + 1]))

    @property
    def student_sd(self) -> float | None:
        """Standard deviation of retention between students; None where it is not learned."""
        return None if self.rows.student_M is None else float(np.exp(self.theta_H[-1]))

    @property
    def freedom(self) -> Floats:
        """Effective degrees of freedom of f spent on each row: diagonal of the matrix that takes rows to their fit."""
        prior = covariance(self.rows.x_MD, self.rows.x_MD, self.theta_H)
        return np.asarray(np.diag(linalg.cho_solve((self.factor_MM, True), prior, check_finite=False)))

    def mean(self, x_QD: Floats) -> Floats:
        """Posterior mean at points, ``[Q]``."""
        return np.asarray(covariance(x_QD, self.rows.x_MD, self.theta_H) @ self.weight_M)

    def predict(self, x_QD: Floats) -> tuple[Floats, Floats]:
        """Posterior mean and standard deviation of f at points, each ``[Q]``."""
        cross_QM = covariance(x_QD, self.rows.x_MD, self.theta_H)
        half_MQ = linalg.solve_triangular(self.factor_MM, cross_QM.T, lower=True, check_finite=False)
        left = _own_variance(x_QD, self.theta_H) - np.sum(half_MQ**2, axis=0)
        return np.asarray(cross_QM @ self.weight_M), np.sqrt(np.maximum(left, 1e-12))

    def paths(self, x_QD: Floats, normal_SQ: Floats) -> Floats:
        """Sample paths of f at points, ``[S, Q]``, from standard normal numbers."""
        cross_QM = covariance(x_QD, self.rows.x_MD, self.theta_H)
        half_MQ = linalg.solve_triangular(self.factor_MM, cross_QM.T, lower=True, check_finite=False)
        joint = covariance(x_QD, x_QD, self.theta_H) - half_MQ.T @ half_MQ
        scale = np.sqrt(np.maximum(np.diag(joint).max(), 1e-12))
        factor = linalg.cholesky(joint + 1e-7 * scale**2 * np.eye(len(x_QD)), lower=True, check_finite=False)
        return np.asarray(cross_QM @ self.weight_M + normal_SQ @ factor.T)

    def with_pending(self, x_QD: Floats) -> RetentionProcess:
        """The same process once points under way have told their posterior mean, at the variance a run has here."""
        if not len(x_QD):
            return self
        typical = float(np.median(self.rows.w_N))
        own, student = len(self.rows.x_MD), self.rows.student_M
        if student is not None:  # each point under way is of a student of its own
            student = np.concatenate([student, student.max() + 1 + np.arange(len(x_QD))])
        return RetentionProcess.at(
            Rows(
                np.concatenate([self.rows.x_MD, x_QD]),
                np.concatenate([self.rows.row_N, own + np.arange(len(x_QD))]),
                np.concatenate([self.rows.z_N, self.mean(x_QD)]),
                np.concatenate([self.rows.w_N, np.full(len(x_QD), typical)]),
                student,
            ),
            self.theta_H,
        )


def covariance(a_AD: Floats, b_BD: Floats, theta_H: Floats) -> Floats:
    """Prior covariance of f between two sets of points, ``[A, B]``."""
    size = a_AD.shape[1]
    length, signal = np.exp(theta_H[:size]), np.exp(theta_H[size])
    square = np.zeros((len(a_AD), len(b_BD)))
    for column, scale in enumerate(length):
        square += ((a_AD[:, None, column] - b_BD[None, :, column]) / scale) ** 2
    far = ROOT_5 * np.sqrt(square)
    matern = signal**2 * (1 + far + far**2 / 3) * np.exp(-far)
    return np.asarray(matern + CONSTANT_SD**2 + SLOPE_SD**2 * ((a_AD - 0.5) @ (b_BD - 0.5).T))


def _own_variance(x_QD: Floats, theta_H: Floats) -> Floats:
    linear = CONSTANT_SD**2 + SLOPE_SD**2 * np.sum((x_QD - 0.5) ** 2, axis=1)
    return np.asarray(np.exp(2 * theta_H[x_QD.shape[1]]) + linear)


def _prior(dimensions: int, students: bool) -> tuple[Floats, Floats]:
    pairs = np.asarray([LENGTH_PRIOR] * dimensions + [SIGNAL_PRIOR, SEED_PRIOR] + [STUDENT_PRIOR] * students)
    return pairs[:, 0], pairs[:, 1]


@dataclass(frozen=True)
class Objective:
    """Negative log posterior density of hyperparameters (up to a constant) and its gradient, for rows."""

    rows: Rows
    square_DMM: Floats  # squared differences in each dimension
    linear_MM: Floats
    same_MM: Floats  # of one student; empty without students

    @classmethod
    def of(cls, data: Rows) -> Objective:
        """Compute once what does not depend on hyperparameters."""
        x = data.x_MD
        square = (x.T[:, :, None] - x.T[:, None, :]) ** 2
        return cls(data, square, CONSTANT_SD**2 + SLOPE_SD**2 * ((x - 0.5) @ (x - 0.5).T), data.same_student())

    def __call__(self, theta_H: Floats) -> tuple[float, Floats]:
        """Value and gradient. The likelihood is that of all observations: scatter in a row tells of the seed noise."""
        data, size = self.rows, len(self.square_DMM)
        length2, (signal2, tau2) = np.exp(2 * theta_H[:size]), np.exp(2 * theta_H[size : size + 2])
        far = ROOT_5 * np.sqrt(np.tensordot(1 / length2, self.square_DMM, axes=1))
        decay = np.exp(-far)
        matern = signal2 * (1 + far + far**2 / 3) * decay
        mean_M, noise_M = data.pooled(np.sqrt(tau2))
        total = matern + self.linear_MM
        if len(self.same_MM):
            total += np.exp(2 * theta_H[-1]) * self.same_MM
        total[np.diag_indices_from(total)] += noise_M + JITTER
        factor, _ = linalg.lapack.dpotrf(total, lower=1, clean=1)
        half, _ = linalg.lapack.dpotri(factor, lower=1)
        inverse = np.tril(half) + np.tril(half, -1).T
        weight = inverse @ mean_M
        weight_N = 1 / (data.w_N + tau2)
        within = weight_N * (data.z_N - mean_M[data.row_N])
        log_likelihood = -0.5 * float(mean_M @ weight) - float(np.log(np.diag(factor)).sum())
        log_likelihood += 0.5 * float(np.log(weight_N).sum() + np.log(noise_M).sum())
        log_likelihood -= 0.5 * float(within @ (data.z_N - mean_M[data.row_N]))
        pull = np.outer(weight, weight) - inverse
        slope = pull * (signal2 * 5 / 3) * (1 + far) * decay
        gradient = np.empty_like(theta_H)
        gradient[:size] = 0.5 * np.einsum("mn,dmn->d", slope, self.square_DMM) / length2
        gradient[size] = float(np.sum(pull * matern))
        if len(self.same_MM):
            gradient[-1] = np.exp(2 * theta_H[-1]) * float(np.sum(pull * self.same_MM))
        fitted_M = mean_M - noise_M * weight
        residual_N = weight_N * (data.z_N - fitted_M[data.row_N])
        spread_M = noise_M - noise_M**2 * np.diag(inverse)
        trace = float(weight_N.sum() - weight_N**2 @ spread_M[data.row_N])
        gradient[size + 1] = tau2 * (float(residual_N @ residual_N) - trace)
        centre, sd = _prior(size, len(self.same_MM) > 0)
        log_prior = -0.5 * float(np.sum(((theta_H - centre) / sd) ** 2))
        return -(log_likelihood + log_prior), -(gradient - (theta_H - centre) / sd**2)


def fit(data: Rows) -> RetentionProcess:
    """The process at the hyperparameters of greatest posterior density for the rows."""
    return RetentionProcess.at(data, mode(data))


def mode(data: Rows) -> Floats:
    """Hyperparameters ``[H]`` of greatest posterior density: L-BFGS from two fixed starts (long and short scales)."""
    size = data.x_MD.shape[1]
    objective, (centre, sd) = Objective.of(data), _prior(size, data.student_M is not None)
    bounds = [(c - 4 * s, c + 4 * s) for c, s in zip(centre, sd, strict=True)]
    best, least = centre, np.inf
    for shift in (0.7, -1.0):
        start = centre.copy()
        start[:size] += shift * sd[:size]
        found = optimize.minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": 60, "ftol": 1e-7}
        )
        if found.fun < least:
            best, least = np.asarray(found.x, float), float(found.fun)
    return best
