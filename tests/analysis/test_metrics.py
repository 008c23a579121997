"""Metrics against references: statsmodels, scipy, and matrices worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from forgetting.analysis import metrics
from forgetting.analysis.metrics import Status


@given(st.integers(1, 2000), st.data())
def test_wilson_agrees_with_statsmodels(n: int, data: st.DataObject) -> None:
    right = data.draw(st.integers(0, n))
    low, high = metrics.wilson(right, n)
    assert (float(low), float(high)) == pytest.approx(proportion_confint(right, n, method="wilson"), abs=1e-12)


def test_wilson_takes_arrays_and_is_undefined_without_items() -> None:
    low, high = metrics.wilson([0, 5, 3], [10, 10, 0])
    assert np.isnan(low[2]) and np.isnan(high[2])
    assert low[0] == 0 and high[0] < 0.3 and low[1] < 0.5 < high[1]


@given(st.integers(0, 80), st.integers(0, 80))
def test_mcnemar_agrees_with_statsmodels_and_scipy(lost: int, gained: int) -> None:
    p = float(metrics.mcnemar_p(lost, gained))
    assert p == pytest.approx(mcnemar([[3, lost], [gained, 4]], exact=True).pvalue, abs=1e-12)
    if lost + gained:
        assert p == pytest.approx(binomtest(min(lost, gained), lost + gained, 0.5).pvalue, abs=1e-12)


@pytest.mark.parametrize(
    ("now", "base", "chance", "expected"),
    [(0.5, 1.0, 0.0, 0.5), (0.55, 0.85, 0.25, 0.5), (0.25, 0.85, 0.25, 0.0), (1.0, 0.9, 0.0, 1 / 0.9)],
)
def test_retention_by_hand(now: float, base: float, chance: float, expected: float) -> None:
    assert float(metrics.retention(now, base, chance)) == pytest.approx(expected)


def test_retention_is_no_number_where_the_skill_was_not_learned() -> None:
    assert np.isnan(metrics.retention(0.2, 0.299, 0.0))
    assert float(metrics.retention(0.3, 0.3, 0.0)) == 1.0
    assert float(metrics.retention(0.4, 0.4, 0.1)) == 1.0  # .4 - .1 is below .3 in binary
    assert np.isnan(metrics.retention([0.5, 0.5], [0.5, 0.54], 0.25)).all()


def test_relative_drop_and_points_are_positive_for_loss() -> None:
    assert float(metrics.relative_drop(0.6, 0.8)) == pytest.approx(0.25)
    assert np.isnan(metrics.relative_drop(0.0, 0.0))
    assert float(metrics.drop_points(0.613, 0.8)) == pytest.approx(18.7)


def test_plasticity_is_the_fall_of_nll_and_nothing_at_dose_0() -> None:
    assert metrics.plasticity([-0.5, 0.25]) == pytest.approx([0.5, -0.25])
    assert math.copysign(1.0, float(metrics.plasticity(0.0))) == 1.0


@given(st.floats(0.01, 1.0), st.integers(1, 12))
def test_hazard_recovers_the_accuracy_of_a_step(q: float, k: int) -> None:
    assert float(np.exp(-metrics.hazard(q**k, k))) == pytest.approx(q)


def test_hazard_of_nothing_right_is_infinite() -> None:
    assert np.isinf(metrics.hazard(0.0, 2))


def test_gaps_add_up_to_the_whole_loss() -> None:
    base, joint, sequential = 0.95, 0.85, 0.40
    capacity, interference = metrics.capacity_gap(base, joint), metrics.interference_gap(joint, sequential)
    assert float(capacity) == pytest.approx(0.1)
    assert float(capacity + interference) == pytest.approx(base - sequential)


def test_every_status_is_its_own_remedy() -> None:
    texts = [status.value for status in Status]
    assert len(set(texts)) == len(Status.__members__) and all(text.endswith(".") for text in texts)


@given(st.integers(1, 30), st.data())
def test_pass_at_k_is_the_share_of_draws_with_a_right_one(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    expected = 1 - math.comb(n - c, k) / math.comb(n, k)
    assert metrics.pass_at_k(n, c, k) == pytest.approx(expected, abs=1e-12)


def test_pass_at_k_by_hand() -> None:
    found = metrics.pass_at_k([10, 10, 10, 3], [0, 3, 10, 1], 5)
    assert found[:3] == pytest.approx([0.0, 1 - 21 / 252, 1.0]) and np.isnan(found[3])
    assert metrics.pass_at_k(8, 2, 1) == pytest.approx(0.25)
