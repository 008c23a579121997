"""The look-up benchmark."""

from __future__ import annotations

import random
from itertools import islice

import numpy as np
import pytest

from forgetting.benchmarks.lookup import Lookup
from forgetting.contamination.original import Original
from forgetting.errors import UsageError
from forgetting.world.simple import ATTRIBUTES

BENCHMARK = Lookup()


def test_items_are_fixed_and_distinct() -> None:
    items = BENCHMARK.items()
    assert len({item.problem for item in items}) == len({item.id for item in items}) == 100
    assert items == Lookup().items()


def test_training_shows_no_test_question() -> None:
    prompts = {sample.prompt for sample in islice(Original().samples(np.random.default_rng(0)), 40_000)}
    assert not prompts & {item.prompt for split in ("test", "validation") for item in BENCHMARK.items(split)}  # type: ignore[arg-type]


def test_grades() -> None:
    items = BENCHMARK.items()
    assert {grade.verdict for grade in BENCHMARK.grade(items, [item.answer for item in items])} == {"right"}
    item = next(item for item in items if item.answer == "red")
    wanted = {"red": "", "blue": "wrong_value", "box": "wrong_attribute", "red red": "no_value", "": "no_value"}
    grades = BENCHMARK.grade([item] * len(wanted), list(wanted))
    assert [grade.kind for grade in grades] == list(wanted.values())
    assert [grade.verdict for grade in grades] == ["right", "wrong", "wrong", "unparsed", "unparsed"]


def test_a_random_guesser_gets_chance() -> None:
    rng = random.Random(0)
    items = BENCHMARK.items() * 20
    guesses = [rng.choice(ATTRIBUTES["colour" if item.answer in ATTRIBUTES["colour"] else "place"]) for item in items]
    right = sum(grade.verdict == "right" for grade in BENCHMARK.grade(items, guesses))
    assert right / 2000 == pytest.approx(BENCHMARK.chance, abs=0.04)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="item_count"):
        Lookup(item_count=0)
    with pytest.raises(UsageError, match="variant"):
        BENCHMARK.items(variant="renamed")
