"""HumanEval's functions under the names of others: do models follow the name or the docstring?

The real side of ``described``. In a conflict the function has the name of another problem's, whose program fails the
tests. A function called ``answer``, whose docstring is as it was, is the control: it has no name to follow.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

from forgetting.benchmarks._text import TextBenchmark
from forgetting.benchmarks.humaneval import HumanEval, calling, job
from forgetting.contracts import Grade, Item, Split
from forgetting.natural.corpora import TextRow
from forgetting.natural.grading.verdicts import of_programs
from forgetting.natural.twins import python
from forgetting.natural.twins.python import Problem
from forgetting.sandbox.limits import Limits

CONFLICT, BY_NAME = "conflict", "name"


@dataclass(frozen=True)
class Misnamed(HumanEval):
    """The problems of ``humaneval``; its variants are ``nameless`` (called ``answer``) and ``conflict``.

    In a ``conflict`` the function has the name of the next problem's that takes as many arguments and wants another
    program. It is right by its docstring and tests; a wrong answer that passes the tests of the name's own problem has
    the kind ``name``.

    Args:
        source: hub name or local path
        limit: the first so many items; 0 for all
        cpu_seconds: processor time of each program
        strict_sandbox: refuse to run where a layer of the sandbox is missing
    """

    version: ClassVar[int] = 1
    variants: ClassVar[tuple[str, ...]] = ("original", "nameless", CONFLICT)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """As every text benchmark has them; conflicts in which the name's own program is wrong."""
        found = super().items(split, variant)
        return [item for item in found if item.id not in _agreeing(self, split)] if variant == CONFLICT else found

    def item(self, row: TextRow, index: int, variant: str) -> Item | None:
        if variant == self.variants[0]:
            return super().item(row, index, variant)
        other = _others(self).get(self.problem(row)) if variant == CONFLICT else None
        name = "answer" if variant != CONFLICT else other["entry_point"] if other else ""
        problem = python.misnamed(_problem(row), name) if name else None
        if problem is None:
            return None
        test = re.sub(rf"\b{row['entry_point']}\b", problem.entry, row["test"])
        more = (other["test"], other["prompt"] + other["canonical_solution"]) if other else ()
        return self.made(
            row, index, variant, prompt=problem.prompt, answer=problem.body, template=row["task_id"],
            check=(problem.entry, test, *more),
        )  # fmt: skip

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """As ``humaneval`` does; wrong answers to conflicts are also run on the tests of the name's own problem."""
        grades = super().grade(items, answers)
        wrong = [n for n, item in enumerate(items) if item.variant == CONFLICT and grades[n].verdict == "wrong"]
        jobs = [
            [replace(job(items[n], answers[n]), tests=calling(items[n].check[2]), prelude=items[n].check[3])]
            for n in wrong
        ]
        named = of_programs(jobs, Limits(cpu_seconds=self.cpu_seconds), strict=self.strict_sandbox) if jobs else []
        for n, grade in zip(wrong, named, strict=True):
            if grade.verdict == "right":
                grades[n] = replace(grades[n], kind=BY_NAME)
        return grades


def _problem(row: TextRow) -> Problem:
    return Problem(row["prompt"], row["canonical_solution"], row["entry_point"])


@lru_cache(maxsize=16)
def _others(part: Misnamed) -> dict[str, TextRow]:
    """For each problem the next one that takes as many arguments; behind the last one comes the first."""
    rows = part.rows("test")
    taking = [python.arity(_problem(row)) for row in rows]
    found = dict[str, TextRow]()
    for place, row in enumerate(rows):
        further = [(place + step) % len(rows) for step in range(1, len(rows))]
        alike = [at for at in further if taking[place] is not None and taking[at] == taking[place]]
        fits = (at for at in alike if python.misnamed(_problem(row), rows[at]["entry_point"]) is not None)
        if (other := next(fits, None)) is not None:
            found[part.problem(row)] = rows[other]
    return found


@lru_cache(maxsize=16)
def _agreeing(part: Misnamed, split: Split) -> frozenset[str]:
    """Conflicts that are none: the name's own program is right as well."""
    asked = TextBenchmark.items(part, split, CONFLICT)
    grades = part.grade(asked, [item.check[3] for item in asked])
    return frozenset(item.id for item, grade in zip(asked, grades, strict=True) if grade.verdict == "right")
