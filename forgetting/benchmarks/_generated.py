"""What benchmarks of generated plain text share: questions drawn by split, with solved ones before each as examples.

Nothing is downloaded, and a base model without a chat template sees from the examples what is wanted.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from random import Random
from typing import ClassVar

from forgetting.contracts import Benchmark, Grade, Item, Language, Split
from forgetting.errors import require, unknown
from forgetting.world.splits import SPLITS, Distinct, from_seed, problem_hash, split_of

MOST_ITEMS, MOST_SHOTS = 500, 32


@dataclass(frozen=True)
class GeneratedQuestion:
    """A question with its answer; ``options`` are what a guesser would choose among."""

    question: str
    answer: str
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class GeneratedBenchmark(Benchmark):
    """``item_count`` distinct questions of each split; a member says how one is drawn and how an answer is read.

    Args:
        item_count: questions of each split
        shots: solved questions of the split ``train`` that stand before each, as a base model needs them
        seed: draws the questions
    """

    item_count: int = 200
    shots: int = 4
    seed: int = 0

    language: ClassVar[Language] = "natural"
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        name = self.short_name()
        require(1 <= self.item_count <= MOST_ITEMS, f"{name}.item_count", f"from 1 to {MOST_ITEMS}", self.item_count)
        require(0 <= self.shots <= MOST_SHOTS, f"{name}.shots", f"from 0 to {MOST_SHOTS}", self.shots)
        require(self.seed >= 0, f"{name}.seed", "0 or more", self.seed)

    @abstractmethod
    def draw(self, rng: Random, index: int) -> GeneratedQuestion:
        """One question; ``index`` counts the items, so that kinds can take turns."""

    @abstractmethod
    def read(self, item: Item, answer: str) -> str:
        """What an answer says, in the form of the gold one; empty where it says nothing of the kind."""

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Questions of a split, none of them among the solved ones before any."""
        if variant not in self.variants:
            raise unknown(f"{self.short_name()}.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown(f"{self.short_name()}.split", split, SPLITS)
        return list(_items(self, split))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where what is read in the answer is the gold one, however it is said."""
        return [self._grade(item, answer) for item, answer in zip(items, answers, strict=True)]

    def _grade(self, item: Item, answer: str) -> Grade:
        said = self.read(item, answer)
        if said == item.answer.strip():
            return Grade("right")
        return Grade("wrong", "wrong_answer") if said else Grade("unparsed", "no_answer")


@lru_cache(maxsize=64)
def _items(part: GeneratedBenchmark, split: Split) -> tuple[Item, ...]:
    name, distinct = part.short_name(), Distinct[GeneratedQuestion](lambda asked: asked.question)

    def drawn(count: int, of: Split, *roles: str) -> list[GeneratedQuestion]:
        rng = from_seed(part.seed, f"benchmarks/{name}", *roles)
        return [distinct.draw(partial(_of_split, part, rng, index, of)) for index in range(count)]

    head = "".join(f"{one.question} {one.answer}\n\n" for one in drawn(part.shots, "train", "shots"))
    return tuple(
        Item(
            id=f"{name}/original/{index:04d}", prompt=head + asked.question, answer=f" {asked.answer}",
            skill=part.skill, depth=1, template=name, variant="original",
            problem=problem_hash(f"{name}: {asked.question}"), check=asked.options,
        )
        for index, asked in enumerate(drawn(part.item_count, split, split))
    )  # fmt: skip


def _of_split(part: GeneratedBenchmark, rng: Random, index: int, split: Split) -> GeneratedQuestion:
    """The next question that is drawn whose hash puts it into the split."""
    while True:
        asked = part.draw(rng, index)
        if split_of(f"{part.short_name()}: {asked.question}") == split:
            return asked
