"""The monotone fit against a hand-made PAVA, its inversion, its coverage and its statuses."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from forgetting.analysis.thresholds.monotone import fit_monotone
from forgetting.errors import UsageError

X = np.linspace(4, 5.5, 7)


def _pava(values: list[float], weights: list[float]) -> list[float]:
    blocks: list[list[float]] = []
    for value, weight in zip(values, weights, strict=True):
        blocks.append([value, weight, 1])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            v, w, n = blocks.pop()
            u, x, m = blocks.pop()
            blocks.append([(u * x + v * w) / (x + w), x + w, m + n])
    return [v for v, _, n in blocks for _ in range(int(n))]


def test_by_hand() -> None:
    capacity = [1e4, 1e4, 1e5, 1e5, 1e6, 1e6, 1e7, 1e7]
    retention = [0.1, 0.1, 0.6, 0.6, 0.4, 0.4, 1.0, 1.0]
    fit = fit_monotone(capacity, retention)
    assert fit.mean_C == pytest.approx([0.1, 0.6, 0.4, 1.0])
    assert fit.fit_C == pytest.approx([0.1, 0.5, 0.5, 1.0])
    assert fit.threshold(0.3).value == pytest.approx(10**4.5)
    assert fit.threshold(0.75).value == pytest.approx(10**6.5)
    assert fit.threshold(0.45).status == "not_monotone"  # .6 and then, for sure, .4
    assert fit.threshold(0.3).low == fit.threshold(0.3).high == pytest.approx(10**4.5)  # nothing varies


@given(st.lists(st.tuples(st.floats(-0.2, 1.2), st.integers(2, 6)), min_size=2, max_size=9))
def test_it_is_pava_weighted_by_runs(sizes: list[tuple[float, int]]) -> None:
    capacity = np.repeat(10.0 ** np.arange(len(sizes)), [n for _, n in sizes])
    fit = fit_monotone(capacity, np.repeat([v for v, _ in sizes], [n for _, n in sizes]), draws=5)
    assert fit.fit_C == pytest.approx(_pava([v for v, _ in sizes], [n for _, n in sizes]), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("level", [0.5, 0.8])
def test_coverage(level: float) -> None:
    rng, p = np.random.default_rng(0), expit(4 * (X - 4.7))
    truth = 10 ** np.interp(level, p, X)
    covered = []
    for study in range(200):
        fit = fit_monotone(
            10 ** np.repeat(X, 5), np.repeat(p, 5) + 0.08 * rng.standard_normal(35), draws=400, seed=study
        )
        found = fit.threshold(level)
        covered.append(found.low <= truth <= found.high)
    assert 0.85 <= np.mean(covered) <= 0.97


def test_the_band_of_one_size_is_students() -> None:
    retention = np.array([0.4, 0.5, 0.6, 0.5, 0.55, 5.0, 5.1, 5.2, 5.3, 5.4])
    fit = fit_monotone(np.repeat([1e4, 1e5], 5), retention, draws=40_000)
    low, high = fit.band(0.90)
    reach = 2.131847 * retention[:5].std(ddof=1) / math.sqrt(5)  # t of 4 degrees of freedom
    assert (low[0], high[0]) == pytest.approx((0.51 - reach, 0.51 + reach), abs=0.004)


def test_known_errors_serve_single_runs_and_are_the_least() -> None:
    capacity, retention = [1e4, 1e5], [0.2, 0.9]
    assert fit_monotone(capacity, retention).status == "too_little_data"
    fit = fit_monotone(capacity, retention, error_R=[0.03, 0.03], draws=40_000)
    assert fit.error_C == pytest.approx([0.03, 0.03], rel=0.03)
    same = fit_monotone([1e4, 1e4, 1e5, 1e5], [0.2, 0.2, 0.9, 0.9], error_R=[0.03] * 4, draws=40_000)
    assert same.error_C == pytest.approx([0.03 / math.sqrt(2)] * 2, rel=0.03)


def test_statuses_and_open_sides() -> None:
    rng = np.random.default_rng(1)
    noise, capacity = 0.03 * rng.standard_normal(35), 10 ** np.repeat(X, 5)
    assert fit_monotone(capacity, 0.95 + noise).threshold(0.5).status == "below_range"
    assert fit_monotone(capacity, 0.1 + noise).threshold(0.5).status == "above_range"
    assert fit_monotone(capacity, np.repeat([0.1, 0.9, 0.1, 0.9, 0.1, 0.9, 0.9], 5) + noise).threshold(0.5).status == (
        "not_monotone"
    )
    assert fit_monotone(capacity, np.repeat(0.9 - 0.8 * (X > 4.7), 5) + noise).threshold(0.5).status == "not_monotone"
    assert fit_monotone([], []).threshold(0.5).status == "too_little_data"
    hovering = fit_monotone(capacity, np.repeat(np.linspace(0.1, 0.51, 7), 5) + 2 * noise).threshold(0.5)
    assert hovering.located and hovering.high == math.inf and hovering.low > 0


def test_bad_input_is_one_line() -> None:
    with pytest.raises(UsageError, match="retention"):
        fit_monotone([1, 2], [1])
    with pytest.raises(UsageError, match="capacity"):
        fit_monotone([0, 2], [1, 1])


_RUNS = st.tuples(st.sampled_from([1e4, 2e4, 5e4, 1e5]), st.floats(-0.2, 1.2) | st.just(math.nan))


@settings(max_examples=60, deadline=None)
@given(st.lists(_RUNS, max_size=20), st.floats(0.05, 0.95))
def test_no_data_crash_it_and_scale_is_carried(runs: list[tuple[float, float]], level: float) -> None:
    capacity, retention = np.array([n for n, _ in runs]), [r for _, r in runs]
    found = fit_monotone(capacity, retention, draws=50).threshold(level)
    scaled = fit_monotone(8 * capacity, retention, draws=50).threshold(level)
    assert found.status == scaled.status
    assert not found.located or found.low <= found.value <= found.high
    assert (scaled.value, scaled.low, scaled.high) == pytest.approx(
        (8 * found.value, 8 * found.low, 8 * found.high), nan_ok=True
    )
