"""AIME of one year: thirty competition problems whose answers are whole numbers from 0 to 999.

Sources: the American Invitational Mathematics Examination I and II of 2024 and 2025, as gathered on the hub.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from forgetting.benchmarks._text import TextBenchmark
from forgetting.benchmarks.math500 import PROMPT
from forgetting.contracts import Grade, Item
from forgetting.corpora import Row
from forgetting.errors import require
from forgetting.grading.verdicts import of_number


@dataclass(frozen=True)
class AIME(TextBenchmark):
    """Thirty problems, so one item is 3.3 points: read intervals, not points. Strict grading wants a box.

    Args:
        source: hub name or local path; for 2025 give ``math-ai/aime25`` or another copy of it
        limit: the first so many items; 0 for all
        split: the data set's split that holds the problems
    """

    source: str = "HuggingFaceH4/aime_2024"
    limit: int = 0
    split: str = "train"

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "maths"

    def __post_init__(self) -> None:
        super().__post_init__()
        require(bool(self.split) and isinstance(self.split, str), f"{self.short_name()}.split", "a name", self.split)

    @property
    def own_test_split(self) -> str:
        return self.split

    def problem(self, row: Row) -> str:
        return str(row["problem"])

    def item(self, row: Row, index: int, variant: str) -> Item | None:
        number = str(row["answer"]).strip()
        require(number.isdigit() and int(number) <= 999, f"{self.short_name()}.source", "answers from 0 to 999", number)
        return self.made(
            row, index, variant, prompt=PROMPT.format(problem=row["problem"].strip()),
            answer=_worked(row.get("solution") or "", number), check=(number,),
        )  # fmt: skip

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the number in the last box is."""
        return [of_number(f"\\boxed{{{i.check[0]}}}", a) for i, a in zip(items, answers, strict=True)]


def _worked(solution: str, number: str) -> str:
    """The solution, where there is one, ending with the answer in a box (leading zeros dropped)."""
    box = f"\\boxed{{{int(number)}}}"
    return f"{solution.strip()}\nThe answer is {box}." if solution.strip() else f"The answer is {box}."
