"""MATH-500: competition problems with an expression as the answer, graded by ``math-verify``.

Source: Hendrycks et al., arXiv 2103.03874 (MIT licence); the 500 problems of Lightman et al., arXiv 2305.20050.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from forgetting.benchmarks._text import TextBenchmark
from forgetting.contracts import Grade, Item
from forgetting.errors import require
from forgetting.natural.corpora import TextRow
from forgetting.natural.grading import expressions
from forgetting.natural.grading.verdicts import of_expressions

PROMPT = "{problem}\nPlease reason step by step, and put your final answer within \\boxed{{}}.\n"


@dataclass(frozen=True)
class Math500(TextBenchmark):
    """500 problems; depth is their level, 1 to 5. Needs the extra ``forgetting[math]``.

    Args:
        source: hub name or local path
        limit: the first so many items; 0 for all
        levels: levels that are asked
    """

    source: str = "HuggingFaceH4/MATH-500"
    limit: int = 0
    levels: tuple[int, ...] = (1, 2, 3, 4, 5)

    version: ClassVar[int] = 2  # 2: the last box alone, intervals, bases, sets and large numbers by their own rules
    skill: ClassVar[str] = "maths"

    def __post_init__(self) -> None:
        super().__post_init__()
        known = bool(self.levels) and all(1 <= level <= 5 for level in self.levels)
        require(known, f"{self.short_name()}.levels", "levels from 1 to 5", self.levels)

    def problem(self, row: TextRow) -> str:
        return str(row["problem"])

    def keep(self, row: TextRow) -> bool:
        return int(row["level"]) in self.levels

    def item(self, row: TextRow, index: int, variant: str) -> Item | None:
        return self.made(
            row, index, variant, prompt=PROMPT.format(problem=row["problem"].strip()), answer=row["solution"].strip(),
            depth=int(row["level"]), template=row["subject"], check=(row["answer"],),
        )  # fmt: skip

    def reference(self, item: Item) -> str | None:
        """The worked solution, where there is something to grade it with."""
        return item.answer if expressions.available() else None

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the expression in the last box equals the gold one."""
        pairs = list(zip(items, answers, strict=True))
        return of_expressions([item.check[0] for item, _ in pairs], [answer for _, answer in pairs])
