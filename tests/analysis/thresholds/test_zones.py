"""Zones by DESIGN's table, their probabilities by hand, and the table in the form of section 4.2."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.analysis import statistics
from forgetting.analysis.thresholds.zones import ZONES, zone_of, zone_probabilities, zone_table
from forgetting.errors import UsageError

NAN = math.nan
RETENTION = st.floats(-0.2, 1.2) | st.just(NAN)


@pytest.mark.parametrize(
    ("at_half", "at_twentieth", "zone"),
    [
        (0.95, 0.97, "retained"),
        (0.9, 0.3, "retained"),  # the first that holds
        (0.5, 0.95, "vulnerable"),
        (0.1, 0.9, "vulnerable"),
        (0.1, 0.7, "weakened"),
        (0.1, 0.5, "weakened"),
        (0.1, 0.49, "erased"),
        (0.95, NAN, "retained"),
        (0.5, NAN, "unknown"),
        (NAN, 0.95, "unknown"),
        (NAN, 0.7, "unknown"),
        (NAN, 0.3, "erased"),
        (NAN, NAN, "unknown"),
    ],
)
def test_zones(at_half: float, at_twentieth: float, zone: str) -> None:
    assert zone_of(at_half, at_twentieth) == zone


def test_probabilities_by_hand() -> None:
    high_BC = np.array([[0.1, 0.95], [0.2, 0.95], [0.1, 0.85], [0.1, 0.95]])
    low_BC = np.array([[0.3, 1.0], [0.6, 1.0], [0.4, 0.95], [0.92, 1.0]])
    frame = zone_probabilities([1e4, 1e5], [0.1, 0.94], [0.45, 1.0], high_BC, low_BC)
    assert frame["zone"].tolist() == ["erased", "retained"]
    assert frame["probability"].tolist() == [0.5, 0.75]
    assert frame.loc[0, [f"p_{zone}" for zone in ZONES]].tolist() == [0, 0.25, 0.25, 0.5, 0]
    assert frame.loc[1, "p_vulnerable"] == 0.25
    assert frame.loc[1, "retention_0.5_low"] == pytest.approx(np.quantile([0.95, 0.95, 0.85, 0.95], 0.025))


def test_a_shift_that_was_not_measured_is_unknown_even_where_it_was_drawn() -> None:
    draws = np.full((8, 1), 0.7)
    frame = zone_probabilities([1e4], [NAN], [0.7], draws, draws)
    assert frame.loc[0, "zone"] == "unknown" and frame.loc[0, "p_unknown"] == 1
    assert np.isnan(frame.loc[0, "retention_0.5_low"]) and np.all(draws == 0.7)  # the caller's draws are untouched


def test_monotone_draws_rise_with_capacity() -> None:
    draws = np.array([[0.95, 0.85, 1.0]])
    plain, rising = (
        zone_probabilities([1, 2, 3], draws[0], draws[0], draws, draws, monotone=flag)["zone"].tolist()
        for flag in (False, True)
    )
    assert plain == ["retained", "weakened", "retained"]
    assert rising == ["retained", "retained", "retained"]  # .95 and .85 are pooled to .9


def test_from_outcomes_of_items() -> None:
    """Seeds, templates and items are resampled together for both shifts."""
    rng = np.random.default_rng(0)
    draw = statistics.resampling(np.arange(5), np.arange(200) % 20, draws=300)
    accuracy = {("small", 0.5): 0.1, ("small", 0.05): 0.47, ("large", 0.5): 0.97, ("large", 0.05): 1.0}
    drawn, mean = {}, {}
    for key, after in accuracy.items():
        outcomes = rng.random((5, 2, 200)) < np.array([1.0, after])[None, :, None]
        drawn[key] = statistics.retention_draws(outcomes, 0.0, draw)[:, 1]
        mean[key] = float(statistics.retention_band(outcomes, 0.0, draw).retention[1])
    sizes = ("small", "large")
    frame = zone_probabilities(
        [1e4, 1e6],
        *([mean[size, shift] for size in sizes] for shift in (0.5, 0.05)),
        *(np.column_stack([drawn[size, shift] for size in sizes]) for shift in (0.5, 0.05)),
    )
    assert frame["zone"].tolist() == ["erased", "retained"]
    assert 0.7 < frame.loc[0, "p_erased"] < 1 and frame.loc[0, "p_erased"] + frame.loc[0, "p_weakened"] == 1
    assert frame.loc[1, "p_retained"] > 0.99


def test_the_table_of_section_4_2() -> None:
    high = np.array([0.1, 0.2, 0.5, 0.7, 0.95])
    low = np.array([0.2, 0.4, 0.95, 0.96, 1.0])
    draws = [np.vstack([v, v, v - 0.06, v]) for v in (high, low)]
    table = zone_table(zone_probabilities([1e4, 2e4, 4e4, 8e4, 1e6], high, low, *draws))
    assert table["zone"].tolist() == ["retained", "vulnerable", "erased"]
    assert table["capacities"].tolist() == ["1,000,000", "40,000, 80,000", "10,000, 20,000"]
    assert table["smallest"].tolist() == [1_000_000, 40_000, 10_000]
    assert table["largest"].tolist() == [1_000_000, 80_000, 20_000]
    assert table["probability"].tolist() == [0.75, 0.75, 1.0]
    assert table["contiguous"].all() and table["paper"].str.len().min() > 10
    mixed = zone_probabilities([1, 2, 3], [0.1, 0.95, 0.1], [0.2, 1.0, 0.2], np.ones((1, 3)), np.ones((1, 3)))
    assert zone_table(mixed).set_index("zone")["contiguous"].to_dict() == {"retained": True, "erased": False}


@given(st.lists(st.tuples(RETENTION, RETENTION), min_size=1, max_size=6), st.booleans(), st.integers(0, 99))
def test_probabilities_are_probabilities(pairs: list[tuple[float, float]], monotone: bool, seed: int) -> None:
    high, low = np.array(pairs).T
    noise = 0.2 * np.random.default_rng(seed).standard_normal((2, 20, len(pairs)))
    frame = zone_probabilities(np.arange(len(pairs)) + 1, high, low, high + noise[0], low + noise[1], monotone=monotone)
    assert frame[[f"p_{zone}" for zone in ZONES]].sum(axis=1).to_numpy() == pytest.approx(np.ones(len(pairs)))
    assert zone_table(frame)["sizes"].sum() == len(pairs)


def test_bad_input_is_one_line() -> None:
    one = np.ones((3, 2))
    with pytest.raises(UsageError, match="capacity"):
        zone_probabilities([2, 1], [1, 1], [1, 1], one, one)
    with pytest.raises(UsageError, match="draws"):
        zone_probabilities([1, 2], [1, 1], [1, 1], one, one[:2])
    with pytest.raises(UsageError, match="low"):
        zone_probabilities([1, 2], [1, 1], [1], one, one)
