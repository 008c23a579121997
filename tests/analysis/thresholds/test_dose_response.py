"""The logistic against statsmodels and exact curves, its profile interval by hand, coverage with seeds that differ."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from forgetting.analysis.thresholds.dose_response import DoseResponse, fit_dose_response
from forgetting.analysis.thresholds.status import FitStatus
from forgetting.analysis.thresholds.threshold import ThresholdStatus
from forgetting.errors import UsageError

DOSE = np.array([0, 20, 45, 100, 220, 480, 1050, 2300, 5000.0])


def _accuracy(
    dose: np.ndarray, midpoint: np.ndarray, slope: float, top: float = 0.95, bottom: float = 0.02
) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return bottom + (top - bottom) / (1 + np.exp(slope * (np.log(dose) - np.log(midpoint))))


def _study(rng: np.random.Generator, seeds: int, spread: float, items: int = 300) -> np.ndarray:
    """Right answers of seeds whose midpoints spread by so many decades about 400."""
    midpoints = 400 * 10 ** (spread * rng.standard_normal((seeds, 1)))
    return rng.binomial(items, _accuracy(DOSE, midpoints, 2.0))


def _crossing_of_the_mean(level: float, spread: float) -> float:
    """Where the mean of all seeds' curves crosses the level."""
    dose = np.geomspace(1, 10_000, 20_000)
    midpoints = 400 * 10 ** (spread * stats.norm.ppf((np.arange(400) + 0.5) / 400))[:, None]
    mean = _accuracy(dose, midpoints, 2.0).mean(axis=0) / 0.95
    return float(np.interp(-level, -mean, dose))


def test_exact_counts_give_the_curve_back() -> None:
    fit = fit_dose_response(DOSE, 1e4 * _accuracy(DOSE, np.array(400.0), 2.0, 0.9, 0.1), 1e4, chance=0.05)
    assert (fit.top, fit.bottom, fit.midpoint, fit.slope) == pytest.approx((0.9, 0.1, 400, 2.0), rel=1e-3)
    assert fit.scale == 1 and fit.status == "fitted"
    found = fit.threshold(0.5)
    assert fit.retention(found.value) == pytest.approx(0.5, rel=1e-6)
    assert fit.retention(0) == pytest.approx(1)
    assert fit.accuracy(DOSE) == pytest.approx(_accuracy(DOSE, np.array(400.0), 2.0, 0.9, 0.1), abs=1e-4)


def test_without_bottom_or_top_it_is_a_logistic_regression() -> None:
    """With retention 1 at dose 0 and 0 at the end, the binomial fit is statsmodels' GLM of log dose."""
    rng = np.random.default_rng(0)
    dose, items = DOSE[1:], 400
    right = rng.binomial(items, _accuracy(dose, np.array(400.0), 1.5, 1 - 1e-6, 1e-6))
    fit = fit_dose_response(DOSE, [items, *right], items, chance=0.0)
    design = np.column_stack([np.ones(8), np.log(dose)])
    glm = sm.GLM(np.column_stack([right, items - right]), design, family=sm.families.Binomial()).fit()
    a, b = glm.params
    theirs = right @ (design @ glm.params) - items * np.logaddexp(0, design @ glm.params).sum()
    assert fit.log_likelihood >= theirs - 1e-3
    assert fit.midpoint == pytest.approx(math.exp(-a / b), rel=0.05)
    assert fit.slope == pytest.approx(-b, rel=0.1)
    interval = fit.threshold(0.5, confidence=0.95)  # Wald's, by the delta method, for comparison
    direction = np.array([-1 / b, a / b**2])
    error = math.sqrt(direction @ glm.cov_params() @ direction)
    assert math.log(interval.high / interval.low) == pytest.approx(2 * 1.96 * error, rel=0.25)


def test_the_ends_of_the_interval_lie_at_the_critical_drop() -> None:
    """Against a brute search over the other three parameters at the ends."""
    right = _study(np.random.default_rng(1), 1, 0.0)
    fit = fit_dose_response(DOSE, right, 300, chance=0.0)
    found, level = fit.threshold(0.5, confidence=0.95), 0.5
    drop = fit.scale * stats.chi2.ppf(0.95, 1) / 2
    rng = np.random.default_rng(2)
    for end in (found.low, found.high):
        best = -math.inf
        centre, width = np.array([fit.top, fit.bottom, fit.slope]), np.array([0.05, 0.05, 1.0])
        for _ in range(60):
            top, bottom, slope = (centre[:, None] + width[:, None] * rng.uniform(-1, 1, (3, 400))).clip(
                [[0.5], [0.0], [0.3]], [[0.999], [0.3], [40]]
            )
            share = bottom / top
            midpoint = end * ((1 - level) / (level - share)) ** (-1 / slope)
            with np.errstate(divide="ignore"):
                p = bottom + (top - bottom) / (1 + np.exp(slope * (np.log(DOSE)[:, None] - np.log(midpoint))))
            p = p.clip(1e-6, 1 - 1e-6)
            value = (right.T * np.log(p) + (300 - right.T) * np.log1p(-p)).sum(axis=0)
            if value.max() > best:
                best, centre = float(value.max()), np.array([top, bottom, slope])[:, value.argmax()]
            width *= 0.9
        assert fit.log_likelihood - best == pytest.approx(drop, abs=0.05)


@pytest.mark.slow
@pytest.mark.parametrize(("seeds", "spread"), [(1, 0.0), (5, 0.0), (5, 0.15), (10, 0.2)])
@pytest.mark.parametrize("level", [0.9, 0.5])
def test_coverage(seeds: int, spread: float, level: float) -> None:
    """Nominally 90%; one binomial seed, five alike (wider, as nobody knows that they are alike), five that differ."""
    rng = np.random.default_rng(3)
    truth = _crossing_of_the_mean(level, spread)
    found = [fit_dose_response(DOSE, _study(rng, seeds, spread), 300, 0.0).threshold(level) for _ in range(100)]
    assert all(one.located for one in found)
    assert np.mean([one.low <= truth <= one.high for one in found]) >= 0.84


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = fit_dose_response(DOSE, _study(np.random.default_rng(4), 5, 0.0), 300, 0.0)
    apart = fit_dose_response(DOSE, _study(np.random.default_rng(4), 5, 0.3), 300, 0.0)
    assert apart.scale > 3 > alike.scale >= 1
    assert apart.threshold(0.5).decades > 3 * alike.threshold(0.5).decades


@pytest.mark.parametrize(
    ("accuracy", "status"),
    [
        ([0.95] * 9, "above_range"),  # flat
        ([0.95] * 8 + [0.8], "above_range"),  # falls, but not below the level
        ([0.95] + [0.05] * 8, "below_range"),  # down at once
        ([0.95, 0.94, 0.2, 0.2, 0.2, 0.94, 0.95, 0.94, 0.95], "not_monotone"),
        ([0.25] * 9, "too_little_data"),  # not learned
    ],
)
def test_statuses(accuracy: list[float], status: str) -> None:
    fit = fit_dose_response(DOSE, np.round(300 * np.array(accuracy)), 300, chance=0.0)
    assert fit.threshold(0.5).status == status
    if status == "too_little_data":
        assert fit.status == "not_learned" and "distil longer" in fit.remedy


def test_too_few_doses_and_doses_that_were_not_reached() -> None:
    assert fit_dose_response(DOSE[:3], [90, 50, 10], 100, 0.0).status == "too_little_data"
    right = _study(np.random.default_rng(5), 3, 0.0)
    items = np.full(right.shape, 300.0)
    items[:, -2:] = np.nan
    cut = fit_dose_response(DOSE, right, items, 0.0)
    short = fit_dose_response(DOSE[:-2], right[:, :-2], 300, 0.0)
    assert cut.log_likelihood == pytest.approx(short.log_likelihood)
    assert cut.threshold(0.5).value == pytest.approx(short.threshold(0.5).value)


def test_an_interval_the_data_do_not_bound_is_open() -> None:
    shallow = fit_dose_response(DOSE, np.round(30 * np.linspace(0.95, 0.45, 9)), 30, 0.0).threshold(0.6, 0.99)
    assert shallow.located and shallow.low > 20 and shallow.high == math.inf
    early = fit_dose_response(DOSE, np.round(20 * np.array([0.95, 0.9, *[0.6] * 6, 0.55])), 20, 0.0).threshold(
        0.9, 0.99
    )
    assert early.located and early.low == 0


@pytest.mark.parametrize(
    ("dose", "right", "word"),
    [([1, 2], [3, 4], "dose"), ([0, 2, 1], [1, 1, 1], "dose"), ([0, 1], [1], "right"), ([0, 1], [1, 11], "right")],
)
def test_bad_input_is_one_line(dose: list[float], right: list[float], word: str) -> None:
    with pytest.raises(UsageError, match=rf"^{word}: must be [^\n]*$"):
        fit_dose_response(dose, right, 10, 0.0)


def _verdicts(fit: DoseResponse) -> set[str]:
    """Hold the laws of any fit and of its thresholds; the statuses of the thresholds."""
    fitted, verdicts = fit.status == "fitted", set()
    assert FitStatus[fit.status] and math.isfinite(fit.midpoint) == fitted
    if fitted:
        curve = fit.accuracy(DOSE)
        assert np.all(np.diff(curve) <= 1e-12) and curve.min() >= 0 and curve.max() <= 1
        assert fit.retention(0) == pytest.approx(1) and fit.scale >= 1
    for level in (0.9, 0.5):
        found = fit.threshold(level)
        verdicts.add(found.status)
        assert (found.status == "too_little_data") == (not fitted)
        if found.located:
            assert 0 <= found.low <= found.value <= found.high and DOSE[1] <= found.value <= DOSE[-1]
            assert fit.retention(found.value) == pytest.approx(level, abs=1e-6)
        else:
            assert math.isnan(found.value)
        if found.status == "above_range":
            assert fit.retention(DOSE[-1]) >= level
        if found.status == "below_range":
            assert fit.retention(DOSE[1]) < level
    return verdicts


_COUNTS = st.lists(st.integers(0, 20), min_size=9, max_size=9)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.lists(_COUNTS, min_size=1, max_size=4), st.sampled_from([0.0, 0.25]))
def test_no_counts_crash_it(right: list[list[int]], chance: float) -> None:
    fit = fit_dose_response(DOSE, right, 20, chance)
    assert _verdicts(fit) <= set(ThresholdStatus.__members__)
    base = np.mean(right, axis=0)[0] / 20
    assert fit.status == "fitted" or base < chance + 0.35  # only what was not learned is left unfitted


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=9, max_size=9))
def test_no_falling_counts_crash_it(right: list[int]) -> None:
    fit = fit_dose_response(DOSE, sorted(right, reverse=True), 40, 0.0)
    assert "not_monotone" not in _verdicts(fit)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.1, 3.0, 50.0]))
def test_scaling_doses_scales_thresholds(seed: int, factor: float) -> None:
    right = _study(np.random.default_rng(seed), 2, 0.1)
    here = fit_dose_response(DOSE, right, 300, 0.0).threshold(0.5)
    there = fit_dose_response(DOSE * factor, right, 300, 0.0).threshold(0.5)
    assert there.status == here.status
    assert (there.value, there.low, there.high) == pytest.approx(
        (here.value * factor, here.low * factor, here.high * factor), rel=5e-3, nan_ok=True
    )
