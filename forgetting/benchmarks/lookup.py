"""Questions for the facts of the world, graded by the word; a simple skill that every model learns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from forgetting.contracts import Benchmark, Grade, Item, Split
from forgetting.errors import require, unknown
from forgetting.world.simple import ATTRIBUTES, draw_lookup
from forgetting.world.simple import Lookup as Question
from forgetting.world.splits import SPLITS, Distinct, from_seed, problem_hash


@dataclass(frozen=True)
class Lookup(Benchmark):
    """``item_count`` questions. The facts are in training by necessity; a problem is (fact, asker, wording).

    Args:
        item_count: questions
        seed: draws the questions
    """

    item_count: int = 100
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "lookup"
    chance: ClassVar[float] = 0.25

    def __post_init__(self) -> None:
        require(self.item_count > 0, "lookup.item_count", "a positive number of items", self.item_count)
        require(self.seed >= 0, "lookup.seed", "0 or more", self.seed)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Questions, distinct while there are enough."""
        if variant not in self.variants:
            raise unknown("lookup.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown("lookup.split", split, SPLITS)
        return list(_items(self.seed, split, self.item_count))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the answer is the gold word."""
        return [_grade(item, answer.strip()) for item, answer in zip(items, answers, strict=True)]


def _grade(item: Item, answer: str) -> Grade:
    if answer == item.answer:
        return Grade("right", "", 1, 1)
    if answer in item.check:
        return Grade("wrong", "wrong_value", 0, 1)
    known = any(answer in values for values in ATTRIBUTES.values())
    return Grade("wrong", "wrong_attribute", 0, 1) if known else Grade("unparsed", "no_value", 0, 1)


@lru_cache(maxsize=32)
def _items(seed: int, split: Split, count: int) -> tuple[Item, ...]:
    rng = from_seed(seed, "benchmarks/lookup", split)
    distinct = Distinct[Question](lambda question: question)
    items = []
    for index in range(count):
        question = distinct.draw(lambda: draw_lookup(rng, split))
        sample = question.sample()
        items.append(
            Item(
                id=f"lookup/original/d1/{index:04d}",
                prompt=sample.prompt,
                answer=sample.answer,
                skill="lookup",
                depth=1,
                template=sample.template,
                variant="original",
                problem=problem_hash(question.canonical()),
                check=ATTRIBUTES[question.attribute],
            )
        )
    return tuple(items)
