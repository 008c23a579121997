"""Retention against log dose: right answers of some seeds at some doses in, a logistic curve and its thresholds out.

accuracy(d) = bottom + (top - bottom) / (1 + (d / midpoint)^slope), so that dose 0 is the top, and retention is the
accuracy's share of the way from chance to the top. The four parameters maximise the binomial likelihood of the counts.
The crossing dose has a profile likelihood of its own, and its interval is {log dose: 2 (l_max - l) <= scale * F}.

``scale`` makes the likelihood a quasi-likelihood. It is the largest of 1; Pearson's chi square over its degrees of
freedom, which catches spread between seeds and lack of fit; and, where there are seeds, the robust variance of the
log crossing dose (clusters: seeds) over the variance the binomial gives (Chandler & Bate, Biometrika 2007), which
catches a seed that forgets early at all doses. F is the quantile of F(1, S - 1), or of chi square for one seed, whose
interval then knows of items and not of seeds. Every run answers the same items, so that the binomial variance, which
takes doses as independent, is too large rather than too small for a ratio of two of them.

Shapes: S runs (seeds), D doses.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.optimize import brentq, minimize
from scipy.special import expit, xlog1py, xlogy

from forgetting.analysis import metrics
from forgetting.analysis.metrics import Floats
from forgetting.analysis.thresholds.crossing import rebounds_beyond_noise
from forgetting.analysis.thresholds.status import FitStatus
from forgetting.analysis.thresholds.threshold import CONFIDENCE, Threshold, ThresholdStatus
from forgetting.errors import require

SLOPES = (0.3, 40.0)  # per natural logarithm of dose: 10-90% widths of 6.4 to 0.05 decades
EDGE = 1e-6  # accuracies and shares stay this far from 0 and 1
REACH = math.log(10.0)  # an interval is followed for a decade beyond the doses, then it is open
STEP = 0.25  # of log dose
PARAMETERS = 4


@dataclass(frozen=True, eq=False)
class DoseResponse:
    """A fitted curve. ``top`` and ``bottom`` are accuracies, ``midpoint`` is in samples, ``slope`` per log dose.

    They are NaN unless ``status`` is ``fitted``. ``scale`` is Pearson's overdispersion, 1 or more.
    """

    status: str
    chance: float
    dose_D: Floats
    right_SD: Floats
    items_SD: Floats
    top: float = math.nan
    bottom: float = math.nan
    midpoint: float = math.nan
    slope: float = math.nan
    scale: float = math.nan
    log_likelihood: float = math.nan

    @property
    def remedy(self) -> str:
        """What to do about the status."""
        return FitStatus[self.status].value

    def accuracy(self, dose: ArrayLike) -> Floats:
        """The fitted accuracy at doses of 0 or more."""
        with np.errstate(divide="ignore"):
            fall = expit(-self.slope * (np.log(np.asarray(dose, float)) - math.log(self.midpoint)))
        return np.asarray(self.bottom + (self.top - self.bottom) * fall)

    def retention(self, dose: ArrayLike) -> Floats:
        """The fitted retention at doses of 0 or more."""
        return np.asarray((self.accuracy(dose) - self.chance) / (self.top - self.chance))

    def threshold(self, level: float, confidence: float = CONFIDENCE) -> Threshold:
        """The crossing dose at a level of retention, with its profile-likelihood interval.

        The value lies within the doses that were measured; its interval may reach one decade beyond them.
        """
        require(0 < level < 1, "level", "above 0 and below 1", level)
        require(0 < confidence < 1, "confidence", "above 0 and below 1", confidence)
        status, value = self._located(level)
        if status is not ThresholdStatus.located:
            return Threshold("dose", level, status.name, confidence=confidence)
        low, high = self._interval(math.log(value), level, confidence)
        return Threshold("dose", level, status.name, value, low, high, confidence)

    def _located(self, level: float) -> tuple[ThresholdStatus, float]:
        if self.status != FitStatus.fitted.name:
            return ThresholdStatus.too_little_data, math.nan
        if self._rebounds(level):
            return ThresholdStatus.not_monotone, math.nan
        first, last = self.dose_D[self.dose_D > 0][[0, -1]]
        if self.retention(last) >= level:
            return ThresholdStatus.above_range, math.nan
        if self.retention(first) < level:
            return ThresholdStatus.below_range, math.nan
        share = (self.bottom - self.chance) / (self.top - self.chance)
        value = self.midpoint * ((1 - level) / (level - share)) ** (1 / self.slope)
        return ThresholdStatus.located, float(np.clip(value, first, last))

    def _rebounds(self, level: float) -> bool:
        """Whether pooled accuracy loses the level and comes back, given the spread between seeds at each dose."""
        right, items = self._totals
        share = np.clip((right + 1) / (items + 2), EDGE, 1 - EDGE)
        target = self.chance + level * (share[0] - self.chance)
        cells = self.items_SD > 0
        spread = (self.right_SD - self.items_SD * (right / items)) ** 2 / np.maximum(
            self.items_SD * share * (1 - share), EDGE
        )
        freedom = int(cells.sum()) - share.size
        scale = max(1.0, float(spread[cells].sum() / freedom)) if freedom > 0 else 1.0
        variance = share * (1 - share) / items
        error = np.sqrt(scale * (variance + level**2 * variance[0]))
        return rebounds_beyond_noise((share - target)[1:], error[1:])

    @cached_property
    def _totals(self) -> tuple[Floats, Floats]:
        return self.right_SD.sum(axis=0), self.items_SD.sum(axis=0)

    def _interval(self, log_value: float, level: float, confidence: float) -> tuple[float, float]:
        """Follow the profile down on either side of the estimate until it has fallen by the critical drop."""
        drop = self._critical(level, confidence) / 2
        start = np.array([self.top, min(self.bottom / self._target(self.top, level), 1 - EDGE), self.slope])
        best = max(self.log_likelihood, self._profile(log_value, level, start)[0])
        positive = self.dose_D[self.dose_D > 0]
        bounds = []
        for edge in (math.log(positive[0]) - REACH, math.log(positive[-1]) + REACH):
            side, followed, known = math.copysign(1.0, edge - log_value), [start], {log_value: -drop}

            def excess(at: float, followed: list[Floats] = followed, known: dict[float, float] = known) -> float:
                """How far the profile lies below the critical drop.

                Far from the estimate there may be two maxima: one is followed, the other starts from the estimate.
                """
                if at not in known:
                    found = max(
                        (self._profile(at, level, near) for near in (followed[-1], start)), key=lambda one: one[0]
                    )
                    followed.append(found[1])
                    known[at] = best - found[0] - drop
                return known[at]

            inner = log_value
            while (edge - inner) * side > 0:  # in steps, so that the nuisance parameters follow
                outer = side * min(side * inner + STEP, side * edge)
                if excess(outer) > 0:
                    bounds.append(math.exp(float(brentq(excess, inner, outer, xtol=1e-3))))
                    break
                inner = outer
            else:
                bounds.append(0.0 if side < 0 else math.inf)
        value = math.exp(log_value)
        return min(bounds[0], value), max(bounds[1], value)

    def _target(self, top: float, level: float) -> float:
        return self.chance + level * (top - self.chance)

    def _profile(self, log_dose: float, level: float, start: Floats) -> tuple[float, Floats]:
        """Log-likelihood maximised over top, slope and the bottom's share of the level, given the crossing dose."""
        right, items = self._totals
        zero, x = self.dose_D == 0, np.log(np.where(self.dose_D == 0, 1.0, self.dose_D))

        def curve(point: Floats) -> tuple[Floats, Floats]:
            """Accuracies and their slopes by (top, share, slope)."""
            top, share, slope = point
            target, span = self._target(top, level), top - self.chance
            bottom = share * target
            tilt = math.log((1 - level) * span / (target * (1 - share)))
            fall = np.where(zero, 1.0, expit(-slope * (x - log_dose) - tilt))
            bend = (top - bottom) * fall * (1 - fall)
            by_top = share * level * (1 - fall) + fall - bend * (1 / span - level / target)
            by_share = target * (1 - fall) - bend / (1 - share)
            return bottom + (top - bottom) * fall, np.stack([by_top, by_share, -bend * (x - log_dose)])

        bounds = [(self.chance + 0.01, 1 - EDGE), (0.0, 1 - EDGE), SLOPES]
        return _maximise(curve, right, items, start, bounds)

    def _critical(self, level: float, confidence: float) -> float:
        """The drop of 2 log-likelihood at the ends of the interval: scale times quantile."""
        runs = self.right_SD.shape[0]
        if runs == 1:
            return self.scale * float(stats.chi2.ppf(confidence, 1))
        return max(self.scale, self._robust_ratio(level)) * float(stats.f.ppf(confidence, 1, runs - 1))

    def _robust_ratio(self, level: float) -> float:
        """Variance of the log crossing dose with seeds as clusters, over that of the binomial."""
        positive = self.dose_D > 0
        x = np.log(np.where(positive, self.dose_D, 1.0)) - math.log(self.midpoint)
        fall = np.where(positive, expit(-self.slope * x), 1.0)
        bend = (self.top - self.bottom) * fall * (1 - fall)
        slopes_PD = np.stack([fall, 1 - fall, bend * self.slope, -bend * x])  # by top, bottom, log midpoint, slope
        p = np.clip(self.accuracy(self.dose_D), EDGE, 1 - EDGE)
        residual_SD = (self.right_SD - self.items_SD * p) / (p * (1 - p))
        score_SP = residual_SD @ slopes_PD.T
        information = (slopes_PD * (self._totals[1] / (p * (1 - p)))) @ slopes_PD.T
        share = (self.bottom - self.chance) / (self.top - self.chance)
        log_odds = math.log((1 - level) / (level - share))
        inner = np.array([-share, 1.0]) / ((self.top - self.chance) * (level - share) * self.slope)
        direction = np.linalg.pinv(information, hermitian=True) @ np.array([*inner, 1.0, -log_odds / self.slope**2])
        runs = score_SP.shape[0]
        robust = float(((score_SP @ direction) ** 2).sum()) * runs / (runs - 1)
        plain = float(direction @ information @ direction)
        return robust / plain if plain > 0 else 1.0


def fit_dose_response(dose_D: ArrayLike, right_SD: ArrayLike, items_SD: ArrayLike, chance: float) -> DoseResponse:
    """Fit counts of right answers out of ``items_SD`` (one number, or 0 where a run did not reach a dose).

    Doses ascend and the first is 0. Raises UsageError for shapes that do not match or counts that are no counts; what
    the data cannot say is a status.
    """
    dose, right = np.asarray(dose_D, float), np.atleast_2d(np.asarray(right_SD, float))
    require(dose.ndim == 1 and dose.size > 0 and dose[0] == 0, "dose", "a list that starts at 0", dose.tolist())
    require(bool(np.all(np.diff(dose) > 0)), "dose", "ascending", dose.tolist())
    require(right.shape[1] == dose.size, "right", f"{dose.size} numbers a run, one a dose", right.shape)
    require(0 <= chance < 1, "chance", "0 or more and below 1", chance)
    items = np.nan_to_num(np.broadcast_to(np.asarray(items_SD, float), right.shape))
    right = np.where(items > 0, right, 0.0)
    require(bool(np.all((right >= 0) & (right <= items))), "right", "from 0 to the number of items", right.tolist())
    reached = items.sum(axis=0) > 0
    dose, right, items = dose[reached], right[:, reached], items[:, reached]
    if dose.size < PARAMETERS or dose[0] > 0:
        return DoseResponse(FitStatus.too_little_data.name, chance, dose, right, items)
    total_right, total_items = right.sum(axis=0), items.sum(axis=0)
    if not metrics.learned(total_right[0] / total_items[0], chance):
        return DoseResponse(FitStatus.not_learned.name, chance, dose, right, items)
    log_likelihood, (top, share, log_midpoint, slope) = _fit(dose, total_right, total_items, chance)
    bottom, midpoint = share * top, math.exp(log_midpoint)
    plain = DoseResponse(
        FitStatus.fitted.name, chance, dose, right, items, top, bottom, midpoint, slope, 1.0, log_likelihood
    )
    p = np.clip(plain.accuracy(dose), EDGE, 1 - EDGE)
    cells = items > 0
    pearson = ((right - items * p) ** 2 / np.where(cells, items * p * (1 - p), 1.0))[cells]
    # A cell that expects less than one right or wrong answer has no chi square; it would make the scale a lottery.
    usable = (items * np.minimum(p, 1 - p))[cells] >= 1
    freedom = int(usable.sum()) - PARAMETERS
    scale = max(1.0, float(pearson[usable].sum() / freedom)) if freedom > 0 else 1.0
    return DoseResponse(
        FitStatus.fitted.name, chance, dose, right, items, top, bottom, midpoint, slope, scale, log_likelihood
    )


def _fit(dose: Floats, right: Floats, items: Floats, chance: float) -> tuple[float, Floats]:
    """Maximum likelihood of top, bottom's share of the top, log midpoint and slope, from several starts."""
    zero, x = dose == 0, np.log(np.where(dose == 0, 1.0, dose))

    def curve(point: Floats) -> tuple[Floats, Floats]:
        top, share, middle, slope = point
        fall = np.where(zero, 1.0, expit(-slope * (x - middle)))
        bend = top * (1 - share) * fall * (1 - fall)
        by_top = share + (1 - share) * fall
        return top * by_top, np.stack([by_top, top * (1 - fall), bend * slope, -bend * (x - middle)])

    first, last = x[1], x[-1]
    bounds = [(chance + 0.01, 1 - EDGE), (0.0, 1 - EDGE), (first - REACH, last + REACH), SLOPES]
    share = float(np.clip(right[-1] / items[-1] / (right[0] / items[0]), 0.0, 1 - EDGE))
    top = float(np.clip(right[0] / items[0], chance + 0.01, 1 - EDGE))
    starts = [np.array([top, share, middle, slope]) for middle in (x[1:-1] + x[2:]) / 2 for slope in (1.5, 6.0)]
    ranked = sorted(starts, key=lambda start: -_log_likelihood(curve(start)[0], right, items))
    return max((_maximise(curve, right, items, start, bounds) for start in ranked[:3]), key=lambda found: found[0])


def _log_likelihood(p: Floats, right: Floats, items: Floats) -> float:
    p = np.clip(p, EDGE, 1 - EDGE)
    return float((xlogy(right, p) + xlog1py(items - right, -p)).sum())


def _maximise(
    curve: Callable[[Floats], tuple[Floats, Floats]],
    right: Floats,
    items: Floats,
    start: Floats,
    bounds: list[tuple[float, float]],
) -> tuple[float, Floats]:
    """The best binomial log-likelihood and its point. ``curve`` gives accuracies and their slopes by parameter."""
    total = items.sum()

    def loss(point: Floats) -> tuple[float, Floats]:
        p, slopes = curve(point)
        p = np.clip(p, EDGE, 1 - EDGE)
        return -_log_likelihood(p, right, items) / total, -(slopes @ ((right - items * p) / (p * (1 - p)))) / total

    low, high = np.array(bounds).T
    found = minimize(
        loss, np.clip(start, low, high), jac=True, method="L-BFGS-B", bounds=bounds,
        options={"ftol": 1e-12, "gtol": 1e-9, "maxiter": 300},
    )  # fmt: skip
    return -float(found.fun) * float(total), np.asarray(found.x)
