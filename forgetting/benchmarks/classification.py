"""Three words, most of which are of one category, graded by the category; a simple skill that every model learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from forgetting.contracts import Benchmark, Grade, Item, Split
from forgetting.errors import require, unknown
from forgetting.world.simple import Classification as Question
from forgetting.world.simple import draw_classification
from forgetting.world.splits import SPLITS, Distinct, from_seed, problem_hash
from forgetting.world.vocabulary import CATEGORIES


@dataclass(frozen=True)
class Classification(Benchmark):
    """``item_count`` questions with four categories; a problem is the three words in order.

    Args:
        item_count: questions
        seed: draws the questions
    """

    item_count: int = 100
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "classification"
    chance: ClassVar[float] = 0.25

    def __post_init__(self) -> None:
        require(self.item_count > 0, "classification.item_count", "a positive number of items", self.item_count)
        require(self.seed >= 0, "classification.seed", "0 or more", self.seed)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Questions, distinct while there are enough."""
        if variant not in self.variants:
            raise unknown("classification.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown("classification.split", split, SPLITS)
        return list(_items(self.seed, split, self.item_count))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the answer is the gold word."""
        return [_grade(item, answer.strip()) for item, answer in zip(items, answers, strict=True)]


def _grade(item: Item, answer: str) -> Grade:
    if answer == item.answer:
        return Grade("right", "", 1, 1)
    return Grade("wrong", "wrong_category", 0, 1) if answer in CATEGORIES else Grade("unparsed", "no_category", 0, 1)


@lru_cache(maxsize=32)
def _items(seed: int, split: Split, count: int) -> tuple[Item, ...]:
    rng = from_seed(seed, "benchmarks/classification", split)
    distinct = Distinct[Question](lambda question: question)
    items = []
    for index in range(count):
        question = distinct.draw(lambda: draw_classification(rng, split))
        sample = question.sample()
        items.append(
            Item(
                id=f"classification/original/d1/{index:04d}",
                prompt=sample.prompt,
                answer=sample.answer,
                skill="classification",
                depth=1,
                template=sample.template,
                variant="original",
                problem=problem_hash(question.canonical()),
            )
        )
    return tuple(items)
