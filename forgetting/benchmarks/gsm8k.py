"""GSM8K: grade-school word problems with worked answers, graded by the final number; steps by their annotations.

Source: Cobbe et al., arXiv 2110.14168 (MIT licence). The prompt is the question; the answer is the worked one, with the
calculator annotations ``<<16-3-4=9>>`` unless they are asked to be left out, and ``#### 18`` at its end.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from forgetting.benchmarks._text import TextBenchmark
from forgetting.contracts import Grade, Item
from forgetting.corpora import Row
from forgetting.errors import require
from forgetting.grading.verdicts import of_number

ANNOTATION = re.compile(r"<<([^<>=]*)=([^<>]*)>>")
PROMPT = "Question: {question}\nAnswer:"


@dataclass(frozen=True)
class GSM8K(TextBenchmark):
    """Word problems whose worked answers end with ``#### number``. Depth is the number of annotated steps.

    Args:
        source: hub name, or a local path where ``{split}`` stands for ``train`` or ``test``
        limit: items of each split; 0 for all
        annotations: keep the calculator annotations in the gold answers
    """

    source: str = "openai/gsm8k"
    limit: int = 0
    annotations: bool = True

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "maths"
    config: ClassVar[str] = "main"
    train_split: ClassVar[str] = "train"

    def problem(self, row: Row) -> str:
        return str(row["question"])

    def item(self, row: Row, index: int, variant: str) -> Item | None:
        require("####" in row["answer"], f"{self.short_name()}.source", "rows with an answer after ####", row["answer"])
        steps = ANNOTATION.findall(row["answer"])
        text = row["answer"] if self.annotations else ANNOTATION.sub("", row["answer"])
        return self.made(
            row, index, variant, prompt=PROMPT.format(question=row["question"].strip()), answer=" " + text.strip(),
            depth=max(1, len(steps)), check=tuple(steps) if self.annotations else (),
        )  # fmt: skip

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the number after ``####`` (or in a box) is; a step where its annotation is the gold one."""
        return [_grade(item, answer) for item, answer in zip(items, answers, strict=True)]


def _grade(item: Item, answer: str) -> Grade:
    given = ANNOTATION.findall(answer)
    right = sum(_same(own, gold) for own, gold in zip(given, item.check, strict=False))
    return of_number(item.answer, answer, steps_right=right, steps_total=len(item.check))


def _same(own: tuple[str, str], gold: tuple[str, str]) -> bool:
    return ["".join(part.split()) for part in own] == ["".join(part.split()) for part in gold]
