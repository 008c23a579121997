"""The test of one part against its margin, and a claim from its parts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.analysis import statistics
from forgetting.claims.judging.decision import (
    OPEN,
    OPPOSES,
    SUPPORTS,
    UNTESTABLE,
    ClaimPart,
    Counts,
    combine,
    decide,
    interval,
    untestable,
    widened,
)
from forgetting.claims.judging.rules import PartRule

ABOVE = PartRule("a difference", "above", 0.05)
MANY = Counts(3, 5, 500)


def drawn(value: float, spread: float, draws: int = 2000) -> np.ndarray:
    return np.concatenate([[value], value + spread * np.random.default_rng(0).standard_normal(draws)])


def part(outcome: str, p: float = math.nan) -> ClaimPart:
    return ClaimPart("one", "a difference", "above", 0.0, outcome, p=p)


def test_few_seeds_widen_by_students_t() -> None:
    """2.776 and 4.303 are t(.975) at 4 and 2 degrees of freedom."""
    one = np.array([1.0, 2.0])
    assert widened(one, 5)[1] - 1 == pytest.approx(math.sqrt(5 / 4) * 2.7764451 / 1.9599640)
    assert widened(one, 3)[1] - 1 == pytest.approx(math.sqrt(3 / 2) * 4.3026527 / 1.9599640)
    assert widened(one, 100_000)[1] == pytest.approx(2.0, abs=1e-4)
    assert np.isnan(widened(one, 1)[1])


@pytest.mark.parametrize("seeds", [3, 5, 8])
def test_intervals_of_few_seeds_cover(seeds: int) -> None:
    """Means of 1,000 samples of normal seeds: the widened bootstrap covers the truth at least 94 times in a hundred."""
    rng = np.random.default_rng(1)
    weights = statistics.cluster_weights(np.arange(seeds), 1000, rng)
    covered = 0
    for _ in range(1000):
        values = rng.standard_normal(seeds)
        means = np.concatenate([[values.mean()], weights @ values / seeds])
        low, high = interval(means, seeds, 500)
        covered += low < 0 < high
    assert 0.94 <= covered / 1000 <= 0.985


@pytest.mark.parametrize(
    ("value", "outcome"), [(0.3, SUPPORTS), (0.06, OPEN), (0.04, OPEN), (-0.1, OPPOSES), (0.0, OPPOSES)]
)
def test_the_whole_interval_must_pass_the_margin(value: float, outcome: str) -> None:
    found = decide("one", ABOVE, {}, drawn(value, 0.01), MANY)
    assert found.outcome == outcome
    assert (found.p <= 0.05) == (outcome != OPEN)
    assert found.low < value < found.high


@given(st.floats(-1, 1), st.floats(0.001, 0.5), st.floats(-0.5, 0.5))
def test_below_mirrors_above(value: float, spread: float, margin: float) -> None:
    draws = drawn(value, spread, 200)
    one = decide("one", PartRule("", "above", margin), {}, draws, MANY)
    other = decide("one", PartRule("", "below", -margin), {}, -draws, MANY)
    assert one.outcome == other.outcome and one.p == other.p
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


@pytest.mark.parametrize(("value", "outcome"), [(0.0, SUPPORTS), (0.02, OPEN), (0.3, OPPOSES), (-0.3, OPPOSES)])
def test_within_is_two_one_sided_tests(value: float, outcome: str) -> None:
    found = decide("one", PartRule("", "within", 0.02), {}, drawn(value, 0.004), MANY)
    assert found.outcome == outcome
    assert (found.p <= 0.05) == (outcome != OPEN)


def test_draws_all_alike_reach_to_items_not_asked() -> None:
    """z²/(n + z²) for 20 items is .161, for 500 it is .0076."""
    flat = np.full(2001, 0.06)
    assert interval(flat, 5, 20) == pytest.approx((0.06 - 0.16113, 0.06 + 0.16113), abs=1e-5)
    assert decide("one", ABOVE, {}, flat, Counts(1, 5, 20)).outcome == OPEN
    assert decide("one", ABOVE, {}, flat, Counts(1, 5, 500)).outcome == SUPPORTS


def test_one_seed_or_no_value_is_not_testable() -> None:
    assert decide("one", ABOVE, {}, drawn(0.3, 0.01), Counts(3, 1, 500)).outcome == UNTESTABLE
    assert decide("one", ABOVE, {}, np.full(2001, np.nan), MANY).outcome == UNTESTABLE


def test_a_claim_from_its_parts() -> None:
    assert combine([part(SUPPORTS, 0.01), part(SUPPORTS, 0.03)]) == (SUPPORTS, 0.03)
    assert combine([part(SUPPORTS, 0.01), part(OPPOSES, 0.02), part(OPEN, 0.4)]) == (OPPOSES, pytest.approx(0.06))
    assert combine([part(SUPPORTS, 0.01), part(OPEN, 0.3)]) == (OPEN, 1.0)
    assert combine([part(SUPPORTS, 0.01), untestable("two", ABOVE, "no arm")]) == (OPEN, 1.0)
    assert combine([part(OPPOSES, 0.01), untestable("two", ABOVE, "no arm")]) == (OPPOSES, 0.01)
    assert combine([untestable("two", ABOVE, "no arm")])[0] == UNTESTABLE


def test_a_part_with_its_own_rule_stands_outside_of_holm() -> None:
    assert combine([part(SUPPORTS, 0.01), part(SUPPORTS)]) == (SUPPORTS, 0.01)
    outcome, p = combine([part(SUPPORTS, 0.01), part(OPPOSES)])
    assert outcome == OPPOSES and math.isnan(p)
