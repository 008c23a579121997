"""MBPP: short Python tasks in one sentence, graded by running their assertions in the sandbox.

Source: Austin et al., arXiv 2108.07732 (CC BY 4.0). The rows of the full set (``text``) and of the sanitised one
(``prompt``) are both read. As is usual, the first assertions stand in the prompt, since they name the function.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from forgetting.benchmarks._text import TextBenchmark
from forgetting.contracts import Grade, Item
from forgetting.errors import require
from forgetting.natural.corpora import TextRow
from forgetting.natural.grading import programs
from forgetting.natural.grading.verdicts import of_programs
from forgetting.sandbox.limits import Limits
from forgetting.sandbox.pool import Asserts

PROMPT = "{text}\nYour code should pass these tests:\n\n{tests}\n```python\n"


@dataclass(frozen=True)
class MBPP(TextBenchmark):
    """Tasks with three assertions each. Tasks whose own solution cannot pass are left out and counted: some tests build
    objects of the program's own classes, and only plain values cross the border of the sandbox.

    Args:
        source: hub name or local path
        limit: items of each split; 0 for all
        cpu_seconds: processor time of each program
        strict_sandbox: refuse to run where a layer of the sandbox is missing
    """

    source: str = "google-research-datasets/mbpp"
    limit: int = 0
    cpu_seconds: int = 5
    strict_sandbox: bool = False

    version: ClassVar[int] = 2  # 2: programs are read out of answers in every form
    sandboxed: ClassVar[bool] = True
    skill: ClassVar[str] = "code"
    train_split: ClassVar[str] = "train"

    def __post_init__(self) -> None:
        super().__post_init__()
        Limits(cpu_seconds=self.cpu_seconds)

    def problem(self, row: TextRow) -> str:
        return str(row.get("text") or row.get("prompt"))

    def item(self, row: TextRow, index: int, variant: str) -> Item | None:
        tests = list(row["test_list"])
        require(bool(tests), f"{self.short_name()}.source", "rows with tests", row)
        prelude = row.get("test_setup_code") or "\n".join(row.get("test_imports") or [])
        entry = _entry(row["code"], tests)
        if entry is None:
            return None
        return self.made(
            row, index, variant, prompt=PROMPT.format(text=self.problem(row).strip(), tests="\n".join(tests)),
            answer=row["code"].replace("\r", "").strip() + "\n```", template=f"mbpp/{row['task_id']}",
            check=(entry, prelude, "\n".join([*tests, *(row.get("challenge_test_list") or [])])),
        )  # fmt: skip

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the program passes all assertions."""
        jobs = [[_job(item, answer)] for item, answer in zip(items, answers, strict=True)]
        return of_programs(jobs, Limits(cpu_seconds=self.cpu_seconds), strict=self.strict_sandbox)


def _job(item: Item, answer: str) -> Asserts:
    entry, prelude, tests = item.check
    program = programs.function_of(answer, lambda text: programs.defines(text, entry), entry)
    return Asserts(program, entry, tests, prelude=prelude)


def _names(source: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def _entry(code: str, tests: Sequence[str]) -> str | None:
    """The function that the tests call: of those that the reference defines, the last one named in the first test."""
    tree = programs.parsed(code)
    defined = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)] if tree else []
    called = [name for name in defined if name in _names(tests[0])]
    return called[-1] if called else None
