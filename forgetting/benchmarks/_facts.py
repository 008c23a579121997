"""What the two simple skills share: questions of one step, answered by one word, distinct while there are enough."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import ClassVar

from forgetting.contracts import Benchmark, Grade, Item, Split
from forgetting.errors import require, unknown
from forgetting.world.simple import ClassificationFact, LookupFact
from forgetting.world.splits import SPLITS, Distinct, from_seed, problem_hash

Fact = LookupFact | ClassificationFact


@dataclass(frozen=True)
class FactBenchmark(Benchmark):
    """``item_count`` questions for facts; a member says how one is drawn and what a wrong word means.

    Args:
        item_count: questions
        seed: draws the questions
    """

    item_count: int = 100
    seed: int = 0

    version: ClassVar[int] = 1
    chance: ClassVar[float] = 0.25

    def __post_init__(self) -> None:
        require(self.item_count > 0, f"{self.skill}.item_count", "a positive number of items", self.item_count)
        require(self.seed >= 0, f"{self.skill}.seed", "0 or more", self.seed)

    @abstractmethod
    def draw(self, rng: Random, split: Split) -> Fact:
        """One question of a split."""

    @abstractmethod
    def words(self, fact: Fact) -> tuple[str, ...]:
        """What the grader needs beside the gold answer."""

    @abstractmethod
    def wrong(self, item: Item, answer: str) -> Grade:
        """The grade of an answer that is not the gold one."""

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Questions, distinct while there are enough."""
        if variant not in self.variants:
            raise unknown(f"{self.skill}.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown(f"{self.skill}.split", split, SPLITS)
        return list(_items(self, split))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the answer is the gold word."""
        said = [answer.strip() for answer in answers]
        return [
            Grade("right", "", 1, 1) if answer == item.answer else self.wrong(item, answer)
            for item, answer in zip(items, said, strict=True)
        ]


@lru_cache(maxsize=64)
def _items(of: FactBenchmark, split: Split) -> tuple[Item, ...]:
    rng = from_seed(of.seed, f"benchmarks/{of.skill}", split)
    distinct = Distinct[Fact](lambda fact: fact)
    items = []
    for index in range(of.item_count):
        fact = distinct.draw(lambda: of.draw(rng, split))
        sample = fact.sample()
        items.append(
            Item(
                id=f"{of.skill}/original/d1/{index:04d}",
                prompt=sample.prompt,
                answer=sample.answer,
                skill=of.skill,
                depth=1,
                template=sample.template,
                variant="original",
                problem=problem_hash(fact.canonical()),
                check=of.words(fact),
            )
        )
    return tuple(items)
