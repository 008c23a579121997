"""The word problems of ``maths`` asked for the answer alone, by the mode word that a share of training may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from forgetting.benchmarks.maths import Maths, check_items
from forgetting.contracts import Benchmark, Failure, Grade, Item, Split
from forgetting.errors import unknown
from forgetting.world import maths
from forgetting.world.failures import of_alone
from forgetting.world.steps import grade_steps, read

NUMBER = "number"


@dataclass(frozen=True)
class Direct(Benchmark):
    """The items of ``maths`` with the same settings, each with the mode word; the gold answer has no steps.

    The final number alone is graded, however it was come to. That an answer was written in steps all the same its
    failure says: kind ``steps`` of a malformed one, and ``right_by_wrong_steps`` where it is right. Its grade tells
    those steps against the gold ones, which are the item's ``check``.

    Args:
        items_per_depth: items of each depth
        depths: depths (operations) that are asked, 1 to 6
        seed: draws the items
    """

    items_per_depth: int = 100
    depths: tuple[int, ...] = (1, 2, 3)
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "maths"
    chance: ClassVar[float] = 0.0
    variants: ClassVar[tuple[str, ...]] = Maths.variants

    def __post_init__(self) -> None:
        check_items("direct", self.items_per_depth, self.depths, self.seed)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Items in order of depth and index."""
        if variant not in self.variants:
            raise unknown("direct.variant", variant, self.variants)
        return [_asked(item) for item in self._in_steps().items(split, variant)]

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the final number is right; a wrong one without steps has the kind ``number``."""
        return [_grade(item, answer) for item, answer in zip(items, answers, strict=True)]

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """As a text, then by its form: an answer in steps is in the other mode; of a number nothing can be decided."""
        return of_alone(item.answer, answer, ended=ended)

    def _in_steps(self) -> Maths:
        return Maths(self.items_per_depth, self.depths, self.seed)


def _grade(item: Item, answer: str) -> Grade:
    if read(answer)[0]:
        return grade_steps(item.check[0], answer, chain=True)
    grade = grade_steps(item.answer, answer, chain=True)
    return replace(grade, kind=NUMBER) if grade.verdict == "wrong" else grade


def _asked(item: Item) -> Item:
    prompt, alone = maths.direct(item.prompt, item.answer)
    return replace(item, id=item.id.replace("maths", "direct", 1), prompt=prompt, answer=alone, check=(item.answer,))
