"""The classification benchmark."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from forgetting.benchmarks.classification import Classification
from forgetting.contamination.original import Original
from forgetting.errors import UsageError
from forgetting.world.vocabulary import CATEGORIES

BENCHMARK = Classification()


def test_items_are_fixed_distinct_and_balanced() -> None:
    items = BENCHMARK.items()
    assert len({item.problem for item in items}) == len({item.id for item in items}) == 100
    assert items == Classification().items()
    counts = Counter(item.answer for item in items)
    assert set(counts) == set(CATEGORIES)
    assert min(counts.values()) >= 10


def test_training_shows_no_test_question() -> None:
    prompts = {sample.prompt for sample in islice(Original().samples(np.random.default_rng(0)), 40_000)}
    assert not prompts & {item.prompt for split in ("test", "validation") for item in BENCHMARK.items(split)}  # type: ignore[arg-type]


def test_grades() -> None:
    items = BENCHMARK.items()
    assert {grade.verdict for grade in BENCHMARK.grade(items, [item.answer for item in items])} == {"right"}
    item = next(item for item in items if item.answer == "person")
    wanted = {"person": "", "place": "wrong_category", "ann": "no_category", "": "no_category"}
    assert [grade.kind for grade in BENCHMARK.grade([item] * 4, list(wanted))] == list(wanted.values())


def test_a_random_guesser_gets_chance() -> None:
    rng = random.Random(0)
    items = Classification(item_count=2000).items()
    right = BENCHMARK.grade(items, [rng.choice(CATEGORIES) for _ in items])
    assert sum(grade.verdict == "right" for grade in right) / 2000 == pytest.approx(BENCHMARK.chance, abs=0.04)


def test_bad_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="item_count"):
        Classification(item_count=0)
