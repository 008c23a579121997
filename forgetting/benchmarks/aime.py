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
from forgetting.errors import require
from forgetting.natural.corpora import TextRow
from forgetting.natural.grading.verdicts import of_number

COPIES = {2024: ("HuggingFaceH4/aime_2024", "train"), 2025: ("math-ai/aime25", "test")}  # hub name and its split


@dataclass(frozen=True)
class AIME(TextBenchmark):
    """Thirty problems, so one item is 3.3 points: read intervals, not points. Strict grading wants a box.

    Args:
        source: hub name or local path; empty for the year's copy on the hub
        limit: the first so many items; 0 for all
        split: the data set's split that holds the problems; empty for that of the year's copy
        year: of the competition, 2024 or 2025
    """

    source: str = ""
    limit: int = 0
    split: str = ""
    year: int = 2024

    version: ClassVar[int] = 2  # 2: numbers in LaTeX, the first answer of a model that runs on
    skill: ClassVar[str] = "maths"

    def __post_init__(self) -> None:
        require(self.year in COPIES, f"{self.short_name()}.year", f"one of {', '.join(map(str, COPIES))}", self.year)
        super().__post_init__()

    @property
    def data_source(self) -> str:
        """The copy of the year where no source is given."""
        return self.source or COPIES[self.year][0]

    @property
    def own_test_split(self) -> str:
        return self.split or COPIES[self.year][1]

    def problem(self, row: TextRow) -> str:
        return str(row["problem"])

    def item(self, row: TextRow, index: int, variant: str) -> Item | None:
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
