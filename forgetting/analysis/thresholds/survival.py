"""Crossing doses against capacity: a censored log-normal regression; D*(N), and its inverse N*(D), with intervals.

log10 D = a + b log10 N + gamma . z + sigma eps, eps standard normal, by maximum likelihood, where a run says only
that its crossing lies between two doses, before the first or after the last. In Olsen's parameters (coefficients over
sigma, 1 / sigma) the likelihood is concave (Olsen, Econometrica 1978; Burridge, JRSS B 1981), so that the start does
not matter. sigma is kept above a uniform spread over the narrowest gap between doses: finer noise cannot be seen, and
without it a line through every gap would be certain. Errors are scaled as in least squares (runs / (runs -
coefficients)) and quantiles are Student's, so that with nothing censored all of this is ordinary least squares.

Shapes: R runs, K covariates, P = 2 + K coefficients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.optimize import minimize
from scipy.special import log_ndtr

from forgetting.analysis.metrics import Floats
from forgetting.analysis.thresholds.crossing import Crossing, CrossingStatus
from forgetting.analysis.thresholds.status import FitStatus
from forgetting.analysis.thresholds.threshold import CONFIDENCE, Threshold, ThresholdStatus
from forgetting.errors import require

NO_NOISE = 1e-6  # decades: the least sigma where every crossing is exact


@dataclass(frozen=True, eq=False)
class Survival:
    """The regression. ``coefficients_P`` are (a, b, gamma...) per decade; doses and capacities are decimal logarithms.

    ``covariance_PP`` and ``sigma`` (decades) carry the correction for the number of coefficients. They are NaN unless
    ``status`` is ``fitted``.
    """

    status: str
    level: float
    coefficients_P: Floats
    covariance_PP: Floats
    sigma: float
    log_likelihood: float
    runs: int
    freedom: int
    capacity_low: float  # smallest and largest measured, parameters
    capacity_high: float
    dose_low: float  # smallest and largest bound of a crossing that is neither 0 nor infinite, samples
    dose_high: float

    @property
    def remedy(self) -> str:
        """What to do about the status."""
        return FitStatus[self.status].value

    def coefficient(self, index: int, confidence: float = CONFIDENCE) -> tuple[float, float, float]:
        """One coefficient with its interval: (value, low, high)."""
        value, error = float(self.coefficients_P[index]), math.sqrt(self.covariance_PP[index, index])
        reach = self._quantile(confidence) * error
        return value, value - reach, value + reach

    def dose_threshold(
        self,
        capacity: float,
        covariates: Sequence[float] = (),
        confidence: float = CONFIDENCE,
        *,
        extrapolate: bool = False,
    ) -> Threshold:
        """D*(N): the median crossing dose at a capacity. Outside the doses that were measured it is no number.

        A capacity outside those that were measured is refused unless ``extrapolate``.
        """
        require(capacity > 0, "capacity", "above 0", capacity)
        if not self._fitted:
            return Threshold("dose", self.level, self._unfitted("dose"), confidence=confidence)
        measured = self.capacity_low * (1 - 1e-9) <= capacity <= self.capacity_high * (1 + 1e-9)
        asked = f"measured ({self.capacity_low:,.0f} to {self.capacity_high:,.0f}) or extrapolate=True given"
        require(measured or extrapolate, "capacity", asked, capacity)
        x = self._row(math.log10(capacity), covariates)
        value, reach = self._predict(x, confidence)
        if value > math.log10(self.dose_high) or value < math.log10(self.dose_low):
            above = value > math.log10(self.dose_high)
            outside = ThresholdStatus.above_range if above else ThresholdStatus.below_range
            return Threshold("dose", self.level, outside.name, confidence=confidence)
        bounds = _power(value - reach), _power(value + reach)
        return Threshold("dose", self.level, ThresholdStatus.located.name, 10**value, *bounds, confidence)

    def capacity_threshold(
        self, dose: float, covariates: Sequence[float] = (), confidence: float = CONFIDENCE
    ) -> Threshold:
        """N*(D): the capacity whose median crossing dose is ``dose``, with Fieller's interval.

        The interval holds every capacity at which the line does not differ from ``dose``; a side that reaches beyond
        all capacities, as where the slope may be 0, is open. Where larger students lose the level at a smaller dose
        there is no smallest capacity that keeps it, and the status is ``not_monotone``.
        """
        require(dose > 0, "dose", "above 0", dose)
        if not self._fitted:
            return Threshold("capacity", self.level, self._unfitted("capacity"), confidence=confidence)
        ends = [math.log10(self.capacity_low), math.log10(self.capacity_high)]
        kept = [self._predict(self._row(end, covariates), confidence)[0] >= math.log10(dose) for end in ends]
        status = {
            (True, True): ThresholdStatus.below_range,
            (False, False): ThresholdStatus.above_range,
            (True, False): ThresholdStatus.not_monotone,
            (False, True): ThresholdStatus.located,
        }[kept[0], kept[1]]
        if status is not ThresholdStatus.located:
            return Threshold("capacity", self.level, status.name, confidence=confidence)
        value, low, high = self._fieller(math.log10(dose), covariates, confidence)
        return Threshold("capacity", self.level, status.name, value, low, high, confidence)

    @property
    def _fitted(self) -> bool:
        return self.status == FitStatus.fitted.name

    def _unfitted(self, axis: str) -> str:
        """The status of a threshold where no run crossed, or all did at once."""
        kinds = ThresholdStatus
        if self.status == FitStatus.never_crossed.name:
            return (kinds.above_range if axis == "dose" else kinds.below_range).name
        if self.status == FitStatus.always_crossed.name:
            return (kinds.below_range if axis == "dose" else kinds.above_range).name
        return kinds.too_little_data.name

    def _quantile(self, confidence: float) -> float:
        require(0 < confidence < 1, "confidence", "above 0 and below 1", confidence)
        return float(stats.t.ppf((1 + confidence) / 2, self.freedom))

    def _row(self, log_capacity: float, covariates: Sequence[float]) -> Floats:
        extra = len(self.coefficients_P) - 2
        require(len(covariates) == extra, "covariates", f"{extra} numbers, as in the fit", list(covariates))
        return np.array([1.0, log_capacity, *covariates])

    def _predict(self, x_P: Floats, confidence: float) -> tuple[float, float]:
        """The median log10 crossing dose and the half width of its interval."""
        error = math.sqrt(float(x_P @ self.covariance_PP @ x_P))
        return float(x_P @ self.coefficients_P), self._quantile(confidence) * error

    def _fieller(self, log_dose: float, covariates: Sequence[float], confidence: float) -> tuple[float, float, float]:
        """The roots of (x.c - log D)^2 = t^2 x.V.x in log10 N, as capacities (value, low, high)."""
        fixed, slope = self._row(0.0, covariates), np.zeros(len(self.coefficients_P))
        slope[1] = 1.0
        c, V, t2 = self.coefficients_P, self.covariance_PP, self._quantile(confidence) ** 2
        rest, b = float(fixed @ c) - log_dose, float(c[1])
        value = 10 ** (-rest / b)
        square = b * b - t2 * float(slope @ V @ slope)
        if square <= 0:  # the slope may be 0: every capacity, or all but a stretch of them
            return value, 0.0, math.inf
        half = b * rest - t2 * float(slope @ V @ fixed)
        root = math.sqrt(max(half * half - square * (rest * rest - t2 * float(fixed @ V @ fixed)), 0.0))
        low, high = (-half - root) / square, (-half + root) / square
        return value, _power(min(low, math.log10(value))), _power(max(high, math.log10(value)))


def _power(exponent: float) -> float:
    """10 to the exponent; 0 or infinite where that is no number."""
    return 0.0 if exponent < -300 else math.inf if exponent > 300 else 10**exponent


def fit_survival(
    crossings: Sequence[Crossing], capacity_R: ArrayLike, covariates_RK: ArrayLike | None = None, *, level: float
) -> Survival:
    """Fit the crossing doses of runs, one each; runs with an undefined crossing are left out.

    ``level`` is the one at which the crossings were read. Centre covariates (a log rate, a shift) as you like; the
    same units are then asked of the thresholds. Raises UsageError where lengths differ or a capacity is not above 0.
    """
    capacity = np.asarray(capacity_R, float)
    covariates = np.zeros((len(crossings), 0)) if covariates_RK is None else np.asarray(covariates_RK, float)
    covariates = covariates[:, None] if covariates.ndim == 1 else covariates
    require(len(covariates) == len(crossings), "covariates", f"{len(crossings)} rows, one a run", covariates.shape)
    require(capacity.shape == (len(crossings),), "capacity", f"{len(crossings)} numbers, one a run", capacity.shape)
    require(bool(np.all(capacity > 0)), "capacity", "above 0", capacity.tolist())
    require(0 < level < 1, "level", "above 0 and below 1", level)
    known = np.array([one.status != CrossingStatus.undefined.name for one in crossings], bool)
    used = [one for one, keep in zip(crossings, known, strict=True) if keep]
    capacity, covariates = capacity[known], covariates[known]
    with np.errstate(divide="ignore"):
        low, high = (np.log10(np.array([getattr(one, side) for one in used], float)) for side in ("low", "high"))
    X = np.column_stack([np.ones(len(used)), np.log10(capacity), covariates])
    status = _status(low, high, X)
    P = X.shape[1]
    coefficients, covariance = np.full(P, math.nan), np.full((P, P), math.nan)
    sigma = log_likelihood = math.nan
    freedom = len(used) - P
    if status is FitStatus.fitted:
        coefficients, covariance, sigma, log_likelihood = _maximise(low, high, X)
        covariance, sigma = covariance * len(used) / freedom, sigma * math.sqrt(len(used) / freedom)
    ends = 10 ** np.concatenate([low[np.isfinite(low)], high[np.isfinite(high)]])
    return Survival(
        status.name, level, coefficients, covariance, sigma, log_likelihood, len(used), freedom,
        float(capacity.min(initial=math.inf)), float(capacity.max(initial=0.0)),
        float(ends.min(initial=math.inf)), float(ends.max(initial=0.0)),
    )  # fmt: skip


def _status(low: Floats, high: Floats, X: Floats) -> FitStatus:
    if low.size and np.all(np.isinf(high)):
        return FitStatus.never_crossed
    if low.size and np.all(np.isinf(low)):
        return FitStatus.always_crossed
    if low.size <= X.shape[1] or np.linalg.matrix_rank(X) < X.shape[1]:
        return FitStatus.too_little_data
    return FitStatus.fitted


def _maximise(low: Floats, high: Floats, X: Floats) -> tuple[Floats, Floats, float, float]:
    """Coefficients, their covariance, sigma and the log-likelihood, from bounds in log10 dose."""
    exact = low == high
    gaps = (high - low)[~exact & np.isfinite(low) & np.isfinite(high)]
    floor = float(gaps.min()) / math.sqrt(12) if gaps.size else NO_NOISE
    P, centre = X.shape[1], np.append(0.0, X[:, 1:].mean(axis=0))
    Z = X - centre  # better conditioned; undone below

    def loss(point: Floats) -> tuple[float, Floats]:
        value, by_line, by_precision = _likelihood(low, high, exact, Z @ point[:P], float(point[P]))
        return -value, -np.append(by_line @ Z, by_precision)

    middle = np.where(exact, low, np.where(np.isinf(low), high, np.where(np.isinf(high), low, (low + high) / 2)))
    guess = np.linalg.lstsq(Z, middle, rcond=None)[0]
    spread = max(float(np.std(middle - Z @ guess)), floor)
    bounds = [(None, None)] * P + [(1e-6, 1 / floor)]
    found = minimize(
        loss, np.append(guess, 1.0) / spread, jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-14, "gtol": 1e-8, "maxiter": 2000},
    )  # fmt: skip
    point, precision = found.x[:P], float(found.x[P])
    information = _information(low, high, exact, Z, point, precision)
    if precision < (1 - 1e-6) / floor:
        inverse = np.linalg.pinv(information, hermitian=True)
    else:  # sigma sits on its floor and is taken as known
        inverse = np.zeros((P + 1, P + 1))
        inverse[:P, :P] = np.linalg.pinv(information[:P, :P], hermitian=True)
    # From (theta, precision) about the mean row to coefficients = theta / precision, and the intercept moved back.
    jacobian = np.column_stack([np.eye(P) / precision, -point / precision**2])
    shift = np.eye(P)
    shift[0] -= centre
    move = shift @ jacobian
    return shift @ point / precision, move @ inverse @ move.T, 1 / precision, -float(found.fun)


def _likelihood(
    low: Floats, high: Floats, exact: NDArray[np.bool_], line: Floats, precision: float
) -> tuple[float, Floats, float]:
    """Log-likelihood and its slopes by each run's line, ``[R]``, and by the precision.

    With u = precision * bound - line: log(Phi(u_high) - Phi(u_low)), or log precision + log phi(u) where exact.
    """
    finite_low, finite_high = np.where(np.isinf(low), 0.0, low), np.where(np.isinf(high), 0.0, high)
    upper = np.where(np.isinf(high), np.inf, precision * finite_high - line)
    lower = np.where(np.isinf(low), -np.inf, precision * finite_low - line)
    mirrored = lower > 0  # on the right side the difference of upper tails keeps its digits
    a, b = np.where(mirrored, -upper, lower), np.where(mirrored, -lower, upper)
    density = math.log(2 * math.pi) / 2
    with np.errstate(over="ignore"):
        top = log_ndtr(b)
        within = top + np.log1p(-np.exp(np.minimum(log_ndtr(a) - top, -1e-15)))
        each = np.where(exact, math.log(precision) - lower**2 / 2 - density, within)
        by_upper = np.where(exact, 0.0, np.exp(-(upper**2) / 2 - density - within))
        by_lower = np.where(exact, -lower, -np.exp(-(lower**2) / 2 - density - within))
    by_precision = by_upper @ finite_high + by_lower @ finite_low + exact.sum() / precision
    return float(each.sum()), -(by_upper + by_lower), float(by_precision)


def _information(
    low: Floats, high: Floats, exact: NDArray[np.bool_], Z: Floats, point: Floats, precision: float
) -> Floats:
    """Observed information in (theta, precision), by central differences of the exact slopes."""
    P = Z.shape[1]

    def slope(at: Floats) -> Floats:
        _, by_line, by_precision = _likelihood(low, high, exact, Z @ at[:P], float(at[P]))
        return np.append(by_line @ Z, by_precision)

    at = np.append(point, precision)
    steps = 1e-5 * np.maximum(np.abs(at), 1.0)
    rows = [
        (slope(at - step) - slope(at + step)) / (2 * size) for step, size in zip(np.diag(steps), steps, strict=True)
    ]
    information = np.array(rows)
    return np.asarray((information + information.T) / 2)
