"""Censored regression against least squares (statsmodels) and a generic optimiser; coverage; statuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import minimize

from forgetting.analysis.thresholds.crossing import Crossing
from forgetting.analysis.thresholds.survival import fit_survival
from forgetting.errors import UsageError

DOSES = np.geomspace(20, 50_000, 12)
CAPACITY = np.repeat(10 ** np.linspace(4, 6, 7), 5)
X = np.log10(CAPACITY)


def _observed(log_dose: np.ndarray, doses: np.ndarray = DOSES) -> list[Crossing]:
    edges = np.concatenate([[0.0], doses, [math.inf]])
    at = np.searchsorted(doses, 10**log_dose)
    return [Crossing.between(edges[k], edges[k + 1]) for k in at]


def _draw(rng: np.random.Generator, sigma: float = 0.3) -> np.ndarray:
    return -1 + 0.8 * X + sigma * rng.standard_normal(X.size)


def test_with_nothing_censored_it_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    shift = np.tile(np.arange(5) / 4, 7)
    y = _draw(rng) - 0.5 * shift
    fit = fit_survival([Crossing.between(v, v) for v in 10**y], CAPACITY, shift, level=0.9)
    reference = sm.OLS(y, np.column_stack([np.ones(35), X, shift])).fit()
    assert fit.coefficients_P == pytest.approx(reference.params, rel=1e-5)
    assert fit.covariance_PP == pytest.approx(reference.cov_params(), rel=1e-4)
    assert fit.sigma == pytest.approx(math.sqrt(reference.scale), rel=1e-5)
    assert fit.log_likelihood == pytest.approx(reference.llf)
    assert fit.coefficient(2, 0.9) == pytest.approx((reference.params[2], *reference.conf_int(0.1)[2]), rel=1e-4)
    predicted = reference.get_prediction([[1, 5, 0.5]]).summary_frame(alpha=0.1)
    found = fit.dose_threshold(1e5, [0.5])
    expected = 10 ** predicted[["mean", "mean_ci_lower", "mean_ci_upper"]].to_numpy()[0]
    assert (found.value, found.low, found.high) == pytest.approx(tuple(expected), rel=1e-4)


def test_the_censored_likelihood_is_that_of_a_generic_optimiser() -> None:
    runs = _observed(_draw(np.random.default_rng(1)), np.geomspace(150, 4000, 9))
    assert {one.status for one in runs} == {"left", "interval", "right"}
    fit = fit_survival(runs, CAPACITY, level=0.5)
    with np.errstate(divide="ignore"):
        low, high = (np.log10([getattr(one, side) for one in runs]) for side in ("low", "high"))

    def loss(p: np.ndarray) -> float:
        mean, sigma = p[0] + p[1] * X, math.exp(p[2])
        return -float(np.log(stats.norm.cdf(high, mean, sigma) - stats.norm.cdf(low, mean, sigma)).sum())

    best = minimize(loss, [-1, 0.8, -1], method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 9999})
    assert fit.log_likelihood == pytest.approx(-best.fun, abs=1e-6)
    assert fit.coefficients_P == pytest.approx(best.x[:2], abs=1e-4)
    assert fit.sigma == pytest.approx(math.exp(best.x[2]) * math.sqrt(35 / 33), rel=1e-3)

    steps = np.eye(3) * 1e-3  # the covariance from this likelihood's own curvature
    hessian = np.array([[(loss(best.x + a + b) - loss(best.x + a - b) - loss(best.x - a + b) + loss(best.x - a - b))
                         / 4e-6 for b in steps] for a in steps])  # fmt: skip
    assert fit.covariance_PP == pytest.approx(np.linalg.inv(hessian)[:2, :2] * 35 / 33, rel=0.02)


def test_leaving_out_what_never_crossed_would_bias_it() -> None:
    rng = np.random.default_rng(2)
    doses = np.geomspace(20, 3000, 9)  # half the runs never cross
    slopes, naive = [], []
    for _ in range(60):
        runs = _observed(_draw(rng), doses)
        slopes.append(fit_survival(runs, CAPACITY, level=0.5).coefficients_P[1])
        crossed = [one.status == "interval" for one in runs]
        seen = [one for one, keep in zip(runs, crossed, strict=True) if keep]
        naive.append(fit_survival(seen, CAPACITY[crossed], level=0.5).coefficients_P[1])
    assert np.mean(slopes) == pytest.approx(0.8, abs=0.04)
    assert np.mean(naive) < 0.7


@pytest.mark.parametrize("sigma", [0.1, 0.3])
def test_coverage(sigma: float) -> None:
    rng = np.random.default_rng(3)
    covered = np.zeros(3)
    for _ in range(200):
        fit = fit_survival(_observed(_draw(rng, sigma)), CAPACITY, level=0.9)
        dose, capacity, slope = fit.dose_threshold(1e5), fit.capacity_threshold(1000), fit.coefficient(1)
        covered += [dose.low <= 1000 <= dose.high, capacity.low <= 1e5 <= capacity.high, slope[1] <= 0.8 <= slope[2]]
    assert np.all(covered / 200 >= 0.84) and np.all(covered / 200 <= 0.96)


def test_fieller_is_the_set_of_capacities_that_do_not_differ() -> None:
    fit = fit_survival(_observed(_draw(np.random.default_rng(4))), CAPACITY, level=0.9)
    found = fit.capacity_threshold(1000)
    assert fit.dose_threshold(found.low).high == pytest.approx(1000, rel=1e-6)
    assert fit.dose_threshold(found.high).low == pytest.approx(1000, rel=1e-6)
    assert fit.dose_threshold(found.value).value == pytest.approx(1000, rel=1e-6)


def test_statuses() -> None:
    right, left = Crossing.between(100, math.inf), Crossing.between(0, 20)
    kept = fit_survival([right] * 35, CAPACITY, level=0.9)
    assert (kept.status, kept.dose_threshold(1e5).status, kept.capacity_threshold(50).status) == (
        "never_crossed", "above_range", "below_range")  # fmt: skip
    lost = fit_survival([left] * 35, CAPACITY, level=0.9)
    assert (lost.status, lost.dose_threshold(1e5).status, lost.capacity_threshold(50).status) == (
        "always_crossed", "below_range", "above_range")  # fmt: skip
    few = fit_survival([Crossing.between(20, 40), right], [1e4, 1e5], level=0.9)
    assert few.status == few.dose_threshold(1e5).status == "too_little_data" and "add" in few.remedy
    one_size = fit_survival([Crossing.between(20, 40)] * 9, [1e4] * 9, level=0.9)
    assert one_size.status == "too_little_data"
    assert fit_survival([], [], level=0.9).status == "too_little_data"
    undefined = Crossing(math.nan, math.nan, "undefined")
    assert fit_survival([undefined] * 35, CAPACITY, level=0.9).runs == 0

    fit = fit_survival(_observed(_draw(np.random.default_rng(5))), CAPACITY, level=0.9)
    assert fit.capacity_threshold(20).status == "below_range"
    assert fit.capacity_threshold(50_000).status == "above_range"
    falling = fit_survival(_observed(6 - _draw(np.random.default_rng(6))), CAPACITY, level=0.9)
    assert falling.capacity_threshold(1000).status == "not_monotone"
    flat = fit_survival(_observed(3 + 0.5 * np.random.default_rng(7).standard_normal(35)), CAPACITY, level=0.9)
    middle = flat.dose_threshold(1e5).value
    opened = flat.capacity_threshold(middle)
    assert opened.status in {"located", "not_monotone"}
    if opened.located:
        assert (opened.low, opened.high) == (0, math.inf)


def test_gaps_that_a_line_passes_through_do_not_make_it_certain() -> None:
    fit = fit_survival(_observed(-1 + 0.8 * X), CAPACITY, level=0.9)
    gap = math.log10(DOSES[1] / DOSES[0])
    assert fit.sigma >= gap / math.sqrt(12)
    assert fit.dose_threshold(1e5).low < 1000 < fit.dose_threshold(1e5).high


def test_bad_input_is_one_line() -> None:
    with pytest.raises(UsageError, match="capacity"):
        fit_survival([Crossing.between(1, 2)], [1, 2], level=0.9)
    fit = fit_survival(_observed(_draw(np.random.default_rng(5))), CAPACITY, level=0.9)
    with pytest.raises(UsageError, match="covariates"):
        fit.dose_threshold(1e5, [1.0])
    with pytest.raises(UsageError, match=r"capacity: must be measured \(10,000 to 1,000,000\)"):
        fit.dose_threshold(2e6)
    assert fit.dose_threshold(2e6, extrapolate=True).value > fit.dose_threshold(1e6).value


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([0.25, 2.0, 10.0]))
def test_scaling_doses_moves_the_intercept_alone(seed: int, factor: float) -> None:
    y = _draw(np.random.default_rng(seed))
    here = fit_survival(_observed(y), CAPACITY, level=0.9)
    there = fit_survival(_observed(y + math.log10(factor), DOSES * factor), CAPACITY, level=0.9)
    assert there.coefficients_P - here.coefficients_P == pytest.approx([math.log10(factor), 0], abs=1e-4)
    assert there.sigma == pytest.approx(here.sigma, rel=1e-3)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([1e4, 3e4, 1e5, 1e6])), max_size=20))
def test_no_data_crash_it(cells: list[tuple[int, float]]) -> None:
    edges = np.concatenate([[0.0], DOSES, [math.inf]])
    fit = fit_survival([Crossing.between(edges[k], edges[k + 1]) for k, _ in cells], [n for _, n in cells], level=0.9)
    for found in (fit.dose_threshold(3e4, extrapolate=True), fit.capacity_threshold(500)):
        assert not found.located or found.low <= found.value <= found.high
