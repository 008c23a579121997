"""Questions for the facts of the world, graded by the word; a simple skill that every model learns."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from forgetting.benchmarks._facts import Fact, FactBenchmark
from forgetting.contracts import Grade, Item, Split
from forgetting.world.simple import ATTRIBUTES, LookupFact, draw_lookup


@dataclass(frozen=True)
class Lookup(FactBenchmark):
    """``item_count`` questions. The facts are in training by necessity; a problem is (fact, asker, wording).

    Args:
        item_count: questions
        seed: draws the questions
    """

    skill: ClassVar[str] = "lookup"

    def draw(self, rng: Random, split: Split) -> Fact:
        """A question for the colour or the place of a thing."""
        return draw_lookup(rng, split)

    def words(self, fact: Fact) -> tuple[str, ...]:
        """The values that the attribute can have."""
        assert isinstance(fact, LookupFact)
        return ATTRIBUTES[fact.attribute]

    def wrong(self, item: Item, answer: str) -> Grade:
        """Another value, a value of the other attribute, or no value at all."""
        if answer in item.check:
            return Grade("wrong", "wrong_value", 0, 1)
        known = any(answer in values for values in ATTRIBUTES.values())
        return Grade("wrong", "wrong_attribute", 0, 1) if known else Grade("unparsed", "no_value", 0, 1)
