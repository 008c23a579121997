"""The dose at which a curve falls to a level: by hand-computed curves, and what is said where there is none."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from forgetting.analysis.curves import ForgettingCurve
from forgetting.errors import UsageError


def curve(retention: list[float], reach: float = 0.1, status: str = "ok") -> ForgettingCurve:
    value = np.array(retention)
    low, high = value - reach, value + reach
    low[0] = high[0] = 1.0
    size = len(value)
    one, whole = np.ones(size), np.ones(size, np.int64)
    dose = np.array([0, 10, 100, 1000])[:size]
    return ForgettingCurve(
        "s", 1, "a", "maths", "original", None, None, status, dose, value, low, high, value, low, high, one, one, one,
        whole, whole,
    )  # fmt: skip


def test_between_two_doses_it_is_straight_in_log_dose() -> None:
    found = curve([1.0, 0.9, 0.5, 0.1]).dose_at(0.7)
    assert found.reached and found.dose == pytest.approx(math.sqrt(10 * 100))
    assert found.low == pytest.approx(10 ** (1 + 0.1 / 0.4)) and found.high == pytest.approx(10 ** (1 + 0.3 / 0.4))
    assert str(found) == "retention 0.7 at dose 32 (95% interval 18 to 56)"


def test_before_the_first_dose_it_is_straight_in_dose() -> None:
    found = curve([1.0, 0.5, 0.2], 0.0).dose_at(0.75)
    assert (found.dose, found.low, found.high) == (5.0, 5.0, 5.0)


def test_what_was_not_reached_says_so_and_what_the_band_allows() -> None:
    found = curve([1.0, 0.9, 0.6], 0.2).dose_at(0.5)
    assert not found.reached and found.status == "not_reached" and math.isnan(found.dose)
    assert found.low == pytest.approx(10 ** (1 + 2 / 3))
    assert "not reached by dose 100 (95% interval from 46)" in str(found)
    assert str(curve([1.0, 0.9, 0.9]).dose_at(0.5)) == "retention 0.5 not reached by dose 100"


def test_an_open_upper_side_is_infinite() -> None:
    found = curve([1.0, 0.9, 0.45]).dose_at(0.5)
    assert found.reached and math.isinf(found.high) and "to beyond 100" in str(found)


def test_a_rebound_counts_from_the_last_fall() -> None:
    assert 100 < curve([1.0, 0.4, 0.8, 0.2], 0.0).dose_at(0.5).dose < 1000


def test_a_skill_that_was_not_learned_has_none() -> None:
    unlearned = dataclasses.replace(curve([math.nan] * 3), status="not_learned")
    assert str(unlearned.dose_at(0.5)) == "retention 0.5: not learned"


@pytest.mark.parametrize("level", [0, 1, -0.5, 2])
def test_a_level_outside_is_one_line(level: float) -> None:
    with pytest.raises(UsageError, match="level: must be above 0 and below 1"):
        curve([1.0, 0.5]).dose_at(level)
