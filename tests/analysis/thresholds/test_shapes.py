"""The shape rule on studies of known shape, its evidence against statsmodels and scipy, and its laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import curve_fit
from scipy.special import expit

from forgetting.analysis.thresholds.shapes import TEN_TO_NINETY, Shape, ShapeReason, judge_shape
from forgetting.errors import UsageError

X = 4 + 0.25 * np.arange(7)
CAPACITY = 10 ** np.repeat(X, 5)


def _logistic(x: np.ndarray, bottom: float, top: float, middle: float, width: float) -> np.ndarray:
    return bottom + (top - bottom) * expit(TEN_TO_NINETY / width * (x - middle))


TRUTHS = {
    "constant": np.full(7, 0.6),
    "line": np.linspace(0.2, 0.9, 7),
    "wide": _logistic(X, 0.05, 0.95, 4.75, 1.2),
    "step": _logistic(X, 0.05, 0.95, 4.6, 0.01),
}


def _study(truth: np.ndarray, seed: int = 0, noise: float = 0.04) -> np.ndarray:
    return np.repeat(truth, 5) + noise * np.random.default_rng(seed).standard_normal(35)


@pytest.mark.parametrize(
    ("truth", "verdict", "winner"),
    [("constant", "constant", "constant"), ("line", "trend", "line"), ("wide", "trend", "logistic"),
     ("step", "step", "logistic")],
)  # fmt: skip
def test_quiet_studies_are_named(truth: str, verdict: str, winner: str) -> None:
    for seed in range(5):
        found = judge_shape(CAPACITY, _study(TRUTHS[truth], seed))
        assert (found.verdict, found.reason, found.winner) == (verdict, "clear", winner)
        assert found.spacing == pytest.approx(0.25)
        assert (found.sizes, found.seeds) == (7, 5)
        assert found.remedy == ShapeReason.clear.value
        assert found.width_low <= found.width_decades <= found.width_high


@pytest.mark.slow
def test_the_errors_of_the_rule() -> None:
    """A small run of validation/shape_rule.py, with its limits and room for 100 studies."""
    for truth, verdict in (("constant", "constant"), ("line", "trend"), ("wide", "trend"), ("step", "step")):
        named = [judge_shape(CAPACITY, _study(TRUTHS[truth], seed, 0.08)).verdict for seed in range(100, 140)]
        assert sum(one not in (verdict, "inconclusive") for one in named) <= 4, truth
        assert sum(one == "inconclusive" for one in named) <= 18, truth


@pytest.mark.parametrize(
    ("sizes", "seeds", "reason"), [(4, 1, "too_few_sizes"), (6, 5, "too_few_sizes"), (7, 4, "too_few_seeds")]
)
def test_too_few_runs_are_inconclusive_whatever_they_show(sizes: int, seeds: int, reason: str) -> None:
    x = np.repeat(X[:sizes], seeds)
    found = judge_shape(10**x, (x > X[sizes // 2]) * 0.9)
    assert (found.verdict, found.reason) == ("inconclusive", reason)
    assert found.remedy == ShapeReason[reason].value


def test_one_short_size_is_enough_for_no_verdict() -> None:
    value = _study(TRUTHS["step"])
    assert judge_shape(CAPACITY[:-1], value[:-1]).reason == "too_few_seeds"
    value[3] = math.nan  # a run whose skill was not learned
    assert (judge_shape(CAPACITY, value).reason, judge_shape(CAPACITY, value).seeds) == ("too_few_seeds", 4)


def test_reasons_for_no_verdict() -> None:
    bump = judge_shape(CAPACITY, _study(np.array([0.1, 0.1, 0.9, 0.9, 0.9, 0.1, 0.1])))
    assert (bump.verdict, bump.reason) == ("inconclusive", "no_shape_fits")
    middling = judge_shape(CAPACITY, _study(_logistic(X, 0.05, 0.95, 4.7, 0.375)))
    assert (middling.verdict, middling.reason) == ("inconclusive", "width_not_bounded")
    noisy = judge_shape(CAPACITY, _study(TRUTHS["constant"], 3, noise=0.4))
    assert (noisy.verdict, noisy.reason) == ("inconclusive", "change_not_bounded")


def test_noise_free_studies_have_verdicts_too() -> None:
    assert {name: judge_shape(CAPACITY, np.repeat(truth, 5)).verdict for name, truth in TRUTHS.items()} == {
        "constant": "constant", "line": "trend", "wide": "trend", "step": "step"}  # fmt: skip


def test_bic_and_change_are_those_of_statsmodels() -> None:
    value = _study(TRUTHS["line"], 1, 0.08)
    found = judge_shape(CAPACITY, value)
    line = sm.OLS(value, sm.add_constant(np.log10(CAPACITY))).fit()
    flat = sm.OLS(value, np.ones(35)).fit()
    assert found.bic["line"] - found.bic["constant"] == pytest.approx(line.bic - flat.bic)
    span = X[-1] - X[0]
    expected = (line.params[1], *line.conf_int(0.05)[1])
    assert (found.change, found.change_low, found.change_high) == pytest.approx(tuple(span * v for v in expected))
    assert found.predict("line", 1e5) == pytest.approx(line.params @ [1, 5])
    assert found.predict("constant", [1e4, 1e5]) == pytest.approx(np.full(2, value.mean()))


def test_the_logistic_and_its_width_are_those_of_curve_fit() -> None:
    value = _study(_logistic(X, 0.05, 0.95, 4.8, 0.6), 2)
    found = judge_shape(CAPACITY, value)
    x = np.log10(CAPACITY)
    best, _ = curve_fit(_logistic, x, value, p0=(0, 1, 4.75, 0.5))
    squares = ((value - _logistic(x, *best)) ** 2).sum()
    assert found.width_decades == pytest.approx(best[3], rel=0.05)
    assert found.predict("logistic", 10**X) == pytest.approx(_logistic(X, *best), abs=0.005)
    assert found.bic["logistic"] - found.bic["constant"] == pytest.approx(
        35 * math.log(squares / ((value - value.mean()) ** 2).sum()) + 3 * math.log(35), abs=0.05
    )
    for end in (found.width_low, found.width_high):  # the F test is just rejected at either end
        at_end, _ = curve_fit(lambda x, b, t, m, w=end: _logistic(x, b, t, m, w), x, value, p0=best[:3])
        drop = (((value - _logistic(x, *at_end, end)) ** 2).sum() / squares - 1) * 31
        assert drop == pytest.approx(stats.f.ppf(0.95, 1, 31), rel=0.05)


def test_leave_one_size_out_by_hand() -> None:
    value = _study(TRUTHS["line"], 4)
    found, means = judge_shape(CAPACITY, value), value.reshape(7, 5).mean(axis=1)
    left_out = []
    for size in range(7):
        keep = np.arange(7) != size
        left_out.append(means[size] - np.polyval(np.polyfit(X[keep], means[keep], 1), X[size]))
    assert found.leave_one_size_out["line"] == pytest.approx(np.sqrt(np.mean(np.square(left_out))))
    assert found.leave_one_size_out["constant"] == pytest.approx(np.std(means) * 7 / 6)


def test_the_width_interval_covers() -> None:
    truth, covered = _logistic(X, 0.05, 0.95, 4.7, 0.7), []
    for seed in range(60):
        found = judge_shape(CAPACITY, _study(truth, seed, 0.08))
        covered.append(found.width_low <= 0.7 <= found.width_high)
    assert np.mean(covered) >= 0.88


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(TRUTHS)), st.sampled_from([0.01, 30.0]))
def test_scale_and_order_do_not_matter_and_a_falling_step_is_a_step(seed: int, truth: str, factor: float) -> None:
    value = _study(TRUTHS[truth], seed)
    found = judge_shape(CAPACITY, value)
    order = np.random.default_rng(seed).permutation(35)
    for other in (judge_shape(CAPACITY * factor, value), judge_shape(CAPACITY[order], value[order])):
        assert other.verdict == found.verdict
        assert other.width_high == pytest.approx(found.width_high, rel=1e-3)
    falling = judge_shape(CAPACITY, 1 - value)
    assert falling.verdict == found.verdict and falling.change == pytest.approx(-found.change, abs=1e-9)


_RUNS = st.tuples(st.sampled_from(list(10**X)), st.sampled_from([0.0, 0.5, 1.0, math.nan]) | st.floats(-1, 2))


@settings(max_examples=60, deadline=None)
@given(st.lists(_RUNS, max_size=60))
def test_no_data_crash_it(runs: list[tuple[float, float]]) -> None:
    found = judge_shape([n for n, _ in runs], [v for _, v in runs])
    assert isinstance(found, Shape) and found.remedy
    if found.sizes < 7 or found.seeds < 5:
        assert found.verdict == "inconclusive"
    if not math.isnan(found.width_decades):
        assert found.width_low <= found.width_decades <= found.width_high


def test_bad_input_is_one_line() -> None:
    with pytest.raises(UsageError, match="value"):
        judge_shape([1, 2], [1])
    with pytest.raises(UsageError, match="capacity"):
        judge_shape([0, 2], [1, 1])
    with pytest.raises(UsageError, match="did you mean 'line'"):
        judge_shape(CAPACITY, _study(TRUTHS["line"])).predict("lines", 1e5)
