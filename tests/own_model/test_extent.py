"""What a check chooses: within its minutes, always the same, and what tells least is given up first."""

from __future__ import annotations

import dataclasses

import pytest

from forgetting.own_model.extent import ITEMS, Costs, Extent, count_of, counted, round_down, within
from forgetting.own_model.given import default_rate
from forgetting.study.estimates import CORE, ParameterCounts, training_seconds

EXTENT = Extent(("retrieval", "sums"), ({"name": "gsm8k"}, {"name": "humaneval"}), 4_000, 32, 1, control=True)
COSTS = Costs(ParameterCounts(270_000_000), 200.0, 200.0, CORE, slots=2)


def order() -> list[Extent]:
    found = [EXTENT]
    while (cheaper := found[-1].less()) is not None:
        found.append(cheaper)
    return found


def test_every_step_costs_less_until_nothing_is_left_to_give_up() -> None:
    steps = order()
    seconds = [COSTS.seconds(extent) for extent in steps]
    assert seconds == sorted(seconds, reverse=True)
    assert steps[-1].items == ITEMS[-1] and steps[-1].doses() == [0, steps[-1].dose] and not steps[-1].control
    assert steps[-1].dropped == ("humaneval", "gsm8k", "control")
    assert steps[-1].benchmarks == EXTENT.benchmarks


@pytest.mark.parametrize("minutes", [1e-9, 1.0, 10.0, 100.0, 1e9])
def test_the_first_that_fits_is_taken(minutes: float) -> None:
    chosen = within(EXTENT, COSTS, minutes)
    fitting = [extent for extent in order() if COSTS.seconds(extent) <= 60 * minutes]
    assert chosen == (fitting[0] if fitting else order()[-1])


def test_the_head_is_counted_where_an_answer_is_predicted() -> None:
    """Gemma 3 270M: 168 of 268 million parameters are the embedding, tied to the head."""
    counts = ParameterCounts(268_098_176, 167_772_160)
    assert counts.operations(100, 0) == 2 * 100_326_016 * 100
    assert counts.operations(100, 100) == ParameterCounts(268_098_176).operations(100, 7) == 2 * 268_098_176 * 100
    few, all_learned = (training_seconds(counts, 10, 100, answers, CORE) for answers in (5, 100))
    assert 2 < all_learned / few < 268 / 100


def test_examples_before_a_question_are_paid_for() -> None:
    plain, shot = (
        dataclasses.replace(EXTENT, benchmarks=({"name": "gsm8k", "limit": 9, "shots": n},), optional=())
        for n in (0, 4)
    )
    looks, example = 6, 60 + 130  # answers are decoded from what the pass over the gold answers left behind
    more = looks * 9 * 4 * example * 2 * 270e6 / (0.4 * 1e11)
    assert COSTS.seconds(shot) - COSTS.seconds(plain) == pytest.approx(more)


def test_a_dose_that_was_given_stays() -> None:
    fixed = dataclasses.replace(EXTENT, fixed=("dose",))
    assert within(fixed, COSTS, 1e-9).dose == EXTENT.dose


def test_doses_run_to_the_last_one() -> None:
    assert EXTENT.doses() == [0, 250, 500, 1000, 2000, 4000]
    assert dataclasses.replace(EXTENT, ratio=4.0).doses() == [0, 250, 1000, 4000]
    assert dataclasses.replace(EXTENT, dose=1).doses() == [0, 1]
    assert dataclasses.replace(EXTENT, dose=65, ratio=4.0, batch_size=8).doses() == [0, 8, 32, 65]  # no part of a step


def test_items_are_filled_in_where_a_benchmark_leaves_them_open() -> None:
    asked = ("sums", {"name": "gsm8k", "limit": 7}, {"name": "humaneval", "limit": 0}, "lm_eval")
    assert [count_of(one) for one in asked] == [0, 7, 0, count_of("lm_eval")]
    made = counted(asked, 30)
    assert made[:3] == ({"name": "sums", "item_count": 30}, asked[1], {"name": "humaneval", "limit": 30})


@pytest.mark.parametrize(
    ("number", "shown"), [(0.3, 1), (9, 9), (95, 95), (570, 570), (1_187, 1_100), (9_511.5, 9_500)]
)
def test_round_down(number: float, shown: int) -> None:
    assert round_down(number) == shown


@pytest.mark.parametrize(
    ("parameters", "rate"),
    [(10_000, 2e-3), (100_000, 2e-3), (270_000_000, 4e-5), (1_000_000_000, 2e-5), (8_000_000_000, 7e-6)],
)
def test_rates_fall_with_size(parameters: int, rate: float) -> None:
    assert default_rate(parameters) == rate
