"""The traps benchmark: two forms, and the shortcut as a kind of error."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from forgetting.benchmarks.traps import Traps
from forgetting.errors import UsageError
from forgetting.world import traps
from forgetting.world.splits import problem_hash

BENCHMARK = Traps()


def test_items_are_fixed_distinct_and_of_two_forms() -> None:
    items = BENCHMARK.items()
    assert Counter(item.depth for item in items) == {traps.CONTROL_DEPTH: 60, traps.HARMONIC_DEPTH: 60}
    assert len({item.problem for item in items}) == len({item.id for item in items}) == 120
    assert items == Traps().items()
    assert any(item.template == "harmonic-equal" for item in items)


def test_gold_is_right_and_the_plain_mean_is_the_shortcut() -> None:
    items = BENCHMARK.items()
    assert {grade.verdict for grade in BENCHMARK.grade(items, [item.answer for item in items])} == {"right"}
    harmonic = [item for item in items if item.depth == traps.HARMONIC_DEPTH]
    for place in (0, -1):
        shortcuts = BENCHMARK.grade(harmonic, [f"answer {item.check[place]}" for item in harmonic])
        assert {(grade.verdict, grade.kind) for grade in shortcuts} == {("wrong", "shortcut")}


def test_other_errors_are_no_shortcut() -> None:
    items = BENCHMARK.items()
    assert {grade.kind for grade in BENCHMARK.grade(items, ["answer 99"] * len(items))} == {"incomplete"}
    assert {grade.verdict for grade in BENCHMARK.grade(items, ["what ?"] * len(items))} == {"unparsed"}


def test_training_never_shows_a_test_problem() -> None:
    rng = random.Random(0)
    forms = ("control", "harmonic-equal", "harmonic-unequal")
    trained = {problem_hash(traps.draw(rng, "train", form).canonical()) for form in forms for _ in range(4000)}
    held_out = {item.problem for item in [*BENCHMARK.items(), *BENCHMARK.items("validation")]}
    assert not trained & held_out


@pytest.mark.parametrize("settings", [{"items_per_form": 0}, {"seed": -1}])
def test_bad_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="traps"):
        Traps(**settings)
