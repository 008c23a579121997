"""Crossing doses by hand, laws of scale and order, and what counts as a rebound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.analysis.thresholds.crossing import Crossing, CrossingStatus, crossing, crossings, rebounds_beyond_noise
from forgetting.errors import UsageError

NAN = math.nan
DOSE = [0, 20, 40, 80]


@pytest.mark.parametrize(
    ("retention", "expected"),
    [
        ([1, 1, 0.8, 0.2], Crossing(20, 40, "interval")),
        ([1, 0.9, 0.89, 0.2], Crossing(20, 40, "interval")),  # at the level is kept
        ([1, 0.95, 0.95, 0.95], Crossing(80, math.inf, "right")),
        ([1, 0.1, 0.1, 0.1], Crossing(0, 20, "left")),
        ([1, 0.8, 0.95, 0.2], Crossing(40, 80, "interval", rebounds=1)),
        ([1, 0.8, 0.8, 0.95], Crossing(80, math.inf, "right", rebounds=1)),
        ([1, 0.95, 0.2, NAN], Crossing(20, 40, "interval")),  # the last dose was not reached
        ([1, 0.95, NAN, NAN], Crossing(20, math.inf, "right")),
        ([1, 0.95, NAN, 0.2], Crossing(20, 80, "interval")),
    ],
)
def test_by_hand(retention: list[float], expected: Crossing) -> None:
    assert crossing(DOSE, retention, 0.9) == expected
    assert crossing(DOSE[1:], retention[1:], 0.9) == expected  # dose 0 is kept by definition
    assert crossings(DOSE, [retention, retention], 0.9) == (expected, expected)


def test_rounding_does_not_lose_the_level() -> None:
    assert 0.36 / 0.4 < 0.9  # in floating point
    assert crossing([0, 20], [1, 0.36 / 0.4], 0.9).status == "right"


def test_retention_that_is_not_known_is_a_status() -> None:
    nothing = crossing(DOSE, [NAN] * 4, 0.9)
    assert nothing.status == "undefined" and math.isnan(nothing.low)
    assert nothing.remedy == CrossingStatus.undefined.value
    assert crossing([0], [1.0], 0.5).status == "undefined"


def test_between_reads_the_status_from_the_bounds() -> None:
    found = [Crossing.between(*ends).status for ends in ((0, 20), (20, 40), (40, math.inf), (30, 30))]
    assert found == ["left", "interval", "right", "exact"]


@pytest.mark.parametrize(
    ("dose", "retention", "level", "word"),
    [
        ([20, 10], [1, 1], 0.5, "dose"),
        ([-1, 1], [1, 1], 0.5, "dose"),
        ([0, 1], [1], 0.5, "retention"),
        ([0, 1], [1, 1], 1.0, "level"),
    ],
)
def test_bad_input_is_one_line(dose: list[float], retention: list[float], level: float, word: str) -> None:
    with pytest.raises(UsageError, match=rf"^{word}: must be [^\n]*$"):
        crossing(dose, retention, level)


@given(st.lists(st.floats(-0.2, 1.2) | st.just(NAN), min_size=1, max_size=9), st.floats(0.05, 0.95), st.floats(0.1, 10))
def test_laws(retention: list[float], level: float, factor: float) -> None:
    dose = 20.0 * 2.0 ** np.arange(len(retention))
    found = crossing(dose, retention, level)
    scaled = crossing(dose * factor, retention, level)
    assert found.status == scaled.status
    if found.status == "undefined":
        return
    assert (scaled.low, scaled.high) == pytest.approx((found.low * factor, found.high * factor))
    known = np.isfinite(retention)
    after = np.asarray(retention)[known & (dose > found.low)]
    assert np.all(after < level)
    lower = crossing(dose, retention, level / 2)
    assert lower.low >= found.low and lower.high >= found.high  # a lower level is lost later
    falling = crossing(dose, np.minimum.accumulate(np.nan_to_num(retention, nan=-1)), level)
    assert falling.rebounds == 0


def test_rebounds_need_to_be_beyond_noise() -> None:
    assert rebounds_beyond_noise([0.1, -0.3, 0.3], [0.05, 0.05, 0.05])
    assert not rebounds_beyond_noise([0.1, -0.3, 0.3], [0.2, 0.2, 0.2])
    assert not rebounds_beyond_noise([0.3, 0.2, -0.3], [0.01, 0.01, 0.01])  # order matters
    rng = np.random.default_rng(0)
    at_the_level = [rebounds_beyond_noise(rng.standard_normal(8), np.ones(8)) for _ in range(2000)]
    assert np.mean(at_the_level) < 0.01
