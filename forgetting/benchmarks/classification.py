"""Three words, most of which are of one category, graded by the category; a simple skill that every model learns."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import ClassVar

from forgetting.benchmarks._facts import Fact, FactBenchmark
from forgetting.contracts import Grade, Item, Split
from forgetting.world.simple import draw_classification
from forgetting.world.vocabulary import CATEGORIES


@dataclass(frozen=True)
class Classification(FactBenchmark):
    """``item_count`` questions with four categories; a problem is the three words in order.

    Args:
        item_count: questions
        seed: draws the questions
    """

    skill: ClassVar[str] = "classification"

    def draw(self, rng: Random, split: Split) -> Fact:
        """Three words to be classified."""
        return draw_classification(rng, split)

    def words(self, fact: Fact) -> tuple[str, ...]:
        """Nothing: the categories are the same for every question."""
        return ()

    def wrong(self, item: Item, answer: str) -> Grade:
        """Another category, or none."""
        if answer in CATEGORIES:
            return Grade("wrong", "wrong_category", 0, 1)
        return Grade("unparsed", "no_category", 0, 1)
