"""HumanEval: functions from their docstrings, graded by running the hidden tests in the sandbox.

Source: Chen et al., arXiv 2107.03374 (MIT licence). The prompt is the head of the function with its docstring; the
answer continues it, or is a fenced block with the whole function.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from forgetting.benchmarks._text import TextBenchmark
from forgetting.contracts import Grade, Item
from forgetting.natural.corpora import TextRow
from forgetting.natural.grading import programs
from forgetting.natural.grading.verdicts import of_programs
from forgetting.natural.twins import python
from forgetting.natural.twins.python import Problem
from forgetting.sandbox.limits import Limits
from forgetting.sandbox.pool import Asserts

FORMS = {"renamed": python.renamed, "functional": python.functional, "reformatted": python.reformatted}


@dataclass(frozen=True)
class HumanEval(TextBenchmark):
    """164 programming problems with hidden tests.

    ``renamed`` has other names for the function and its arguments, ``functional`` a docstring that says what a thing is
    instead of its name, ``reformatted`` another layout. A variant leaves out problems that it would not change.

    Args:
        source: hub name or local path
        limit: the first so many items; 0 for all
        cpu_seconds: processor time of each program
        strict_sandbox: refuse to run where a layer of the sandbox is missing
    """

    source: str = "openai/openai_humaneval"
    limit: int = 0
    cpu_seconds: int = 5
    strict_sandbox: bool = False

    # 2: programs are read out of answers in every form; 3: a new name is not put in place of a word of the docstring
    version: ClassVar[int] = 3
    sandboxed: ClassVar[bool] = True
    skill: ClassVar[str] = "code"
    variants: ClassVar[tuple[str, ...]] = ("original", *FORMS)

    def __post_init__(self) -> None:
        super().__post_init__()
        Limits(cpu_seconds=self.cpu_seconds)

    def problem(self, row: TextRow) -> str:
        return str(row["task_id"])

    def item(self, row: TextRow, index: int, variant: str) -> Item | None:
        original = Problem(row["prompt"], row["canonical_solution"], row["entry_point"])
        problem = original if variant == "original" else FORMS[variant](original)
        if problem is None:
            return None
        test = re.sub(rf"\b{row['entry_point']}\b", problem.entry, row["test"])
        return self.made(
            row, index, variant, prompt=problem.prompt, answer=problem.body, template=row["task_id"],
            check=(problem.entry, test),
        )  # fmt: skip

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the program passes all tests."""
        jobs = [[job(item, answer)] for item, answer in zip(items, answers, strict=True)]
        return of_programs(jobs, Limits(cpu_seconds=self.cpu_seconds), strict=self.strict_sandbox)


def job(item: Item, answer: str) -> Asserts:
    """The program of an answer with the item's tests. The tests may call helpers that the prompt defines."""
    entry, test, *_ = item.check
    program = programs.continuation_of(item.prompt, answer, entry)
    return Asserts(program, entry, calling(test), prelude=item.prompt)


def calling(test: str) -> str:
    """Test code that calls its check."""
    return f"{test}\ncheck(candidate)\n"
