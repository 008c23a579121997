"""Look-up and classification."""

from __future__ import annotations

import random
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from forgetting.world import simple
from forgetting.world.splits import split_of
from forgetting.world.vocabulary import OBJECTS, words

SEEDS = st.integers(0, 2**32)


def test_every_value_belongs_to_four_things() -> None:
    for attribute, values in simple.ATTRIBUTES.items():
        assert Counter(simple.fact(thing, attribute) for thing in OBJECTS) == dict.fromkeys(values, 4)


def test_training_shows_every_fact_and_every_wording() -> None:
    rng = random.Random(0)
    samples = [simple.draw_lookup(rng, "train") for _ in range(5000)]
    assert len({(s.thing, s.attribute) for s in samples}) == 32
    assert {s.wording for s in samples} == {0, 1, 2}
    assert set(" ".join(f"{s.prompt()} {s.sample().answer}" for s in samples).split()) <= set(words())


@given(SEEDS, st.sampled_from(["train", "validation", "test"]))
def test_lookup_tells_the_fact(seed: int, split: str) -> None:
    question = simple.draw_lookup(random.Random(seed), split)  # type: ignore[arg-type]
    sample = question.sample()
    assert split_of(question.canonical()) == split
    assert sample.answer in simple.ATTRIBUTES[question.attribute]
    assert {question.thing, question.attribute, question.name} <= set(sample.prompt.split())


@given(SEEDS, st.sampled_from(["train", "validation", "test"]))
def test_classification_tells_the_majority(seed: int, split: str) -> None:
    question = simple.draw_classification(random.Random(seed), split)  # type: ignore[arg-type]
    assert split_of(question.canonical()) == split
    kinds = [kind for word in question.words for kind, members in simple.MEMBERS.items() if word in members]
    ((kind, count),) = Counter(kinds).most_common(1)
    assert kind == question.sample().answer
    assert count >= 2
    assert question.prompt().split()[2:5] == list(question.words)
