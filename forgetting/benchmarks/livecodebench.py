"""LiveCodeBench: contest problems by release date, as scripts or as functions, graded in the sandbox.

Source: Jain et al., arXiv 2403.07974 (CC BY 4.0 where it is stated; problems belong to their platforms). Rows are those
of ``code_generation_lite``. The hidden tests of a row may be compressed with a pickled text inside; the text is taken
out of the pickle's opcodes, without unpickling, so nothing in a row can run.
"""

from __future__ import annotations

import ast
import base64
import binascii
import json
import pickletools
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from forgetting.benchmarks._text import TextBenchmark
from forgetting.contracts import Grade, Item
from forgetting.errors import UsageError, require
from forgetting.natural.corpora import TextRow
from forgetting.natural.grading import programs
from forgetting.natural.grading.verdicts import of_programs
from forgetting.sandbox.limits import Limits
from forgetting.sandbox.pool import Calls, Job, Script

PROMPT = "{question}\n\n{form}\n```python\n"
SCRIPT = "Read the input from stdin and write the answer to stdout."
FUNCTION = "Use this starter code:\n```python\n{starter}\n```"
DEPTHS = {"easy": 1, "medium": 2, "hard": 3}
_MONTH = re.compile(r"\d{4}-\d{2}")
# What the benchmark's own runner puts before each program, and how deep it lets one recurse.
_STARS = (
    "string re datetime collections heapq bisect copy math random statistics itertools functools operator io sys json"
    " builtins typing"
).split()
_PRELUDE = "\n".join(
    [
        *(f"from {name} import *" for name in _STARS),
        f"import {', '.join(_STARS[:-2])}",
        "sys.setrecursionlimit(50000)",
    ]
)
NO_SOLUTION = "pass"  # most rows have none
MEMORY_MEBIBYTES = 2048  # it sets no limit of its own


@dataclass(frozen=True)
class LiveCodeBench(TextBenchmark):
    """Problems whose contest lies in a window of months. Depth is the difficulty, 1 to 3.

    Args:
        source: hub name, files on the hub, or local path
        limit: the first so many items; 0 for all
        first_month: of the window, as ``2024-08``; empty for no bound
        last_month: of the window, included; empty for no bound
        cpu_seconds: processor time of each test
        strict_sandbox: refuse to run where a layer of the sandbox is missing
    """

    source: str = "hf://datasets/livecodebench/code_generation_lite/test*.jsonl"  # the hub name itself wants a script
    limit: int = 0
    first_month: str = ""
    last_month: str = ""
    cpu_seconds: int = 6
    strict_sandbox: bool = False

    version: ClassVar[int] = 2  # 2: answers in every form, as lenient as its own runner
    sandboxed: ClassVar[bool] = True
    skill: ClassVar[str] = "code"

    def __post_init__(self) -> None:
        super().__post_init__()
        self._limits()
        for name in ("first_month", "last_month"):
            value = getattr(self, name)
            right = isinstance(value, str) and (not value or bool(_MONTH.fullmatch(value)))
            require(right, f"{self.short_name()}.{name}", "a month such as 2024-08, or empty", value)

    def problem(self, row: TextRow) -> str:
        return f"{row['platform']}/{row['question_id']}"

    def keep(self, row: TextRow) -> bool:
        month = str(row["contest_date"])[:7]
        return (self.first_month or month) <= month <= (self.last_month or month)

    def item(self, row: TextRow, index: int, variant: str) -> Item | None:
        starter = (row.get("starter_code") or "").strip()
        tests = [*_tests(row["public_test_cases"]), *_tests(row["private_test_cases"])]
        require(bool(tests), f"{self.short_name()}.source", "rows with tests", row["question_id"])
        entry = json.loads(row.get("metadata") or "{}").get("func_name", "") if starter else ""
        form = FUNCTION.format(starter=starter) if starter else SCRIPT
        return self.made(
            row, index, variant, prompt=PROMPT.format(question=row["question_content"].strip(), form=form),
            answer=(row.get("solution") or NO_SOLUTION).strip() + "\n```", depth=DEPTHS.get(row["difficulty"], 1),
            template=row["platform"], check=(entry, tuple((t["input"], t["output"]) for t in tests)),
        )  # fmt: skip

    def reference(self, item: Item) -> str | None:
        """The row's solution, where it has one."""
        return None if item.answer == f"{NO_SOLUTION}\n```" else item.answer

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where every test's output is right; the program runs once for each test."""
        jobs = [_jobs(item, answer) for item, answer in zip(items, answers, strict=True)]
        return of_programs(jobs, self._limits(), strict=self.strict_sandbox)

    def _limits(self) -> Limits:
        return Limits(cpu_seconds=self.cpu_seconds, memory_mebibytes=MEMORY_MEBIBYTES)


def _jobs(item: Item, answer: str) -> list[Job]:
    entry, tests = item.check
    if not entry:
        program = programs.joined(_PRELUDE, programs.as_a_function_where_it_returns(programs.script_of(answer)))
        return [Script(program, given, wanted, lenient=True) for given, wanted in tests]
    program = programs.joined(_PRELUDE, programs.function_of(answer, lambda text: _answers(text, entry), entry))
    program += f"\n{entry} = Solution().{entry} if 'Solution' in globals() else {entry}\n"
    return [
        Calls(
            program, entry, (tuple(map(_value, filter(str.strip, given.split("\n")))),), (_value(wanted),), lenient=True
        )
        for given, wanted in tests
    ]


def _answers(text: str, entry: str) -> bool:
    """Whether a text has the class ``Solution`` with the method that is asked, or a function of that name."""
    tree = programs.parsed(text)
    methods = [
        m for n in (tree.body if tree else []) if isinstance(n, ast.ClassDef) and n.name == "Solution" for m in n.body
    ]
    return any(isinstance(m, ast.FunctionDef) and m.name == entry for m in methods) or programs.defines(text, entry)


def _value(text: str) -> Any:
    try:
        return json.loads(text, parse_int=_whole)
    except ValueError:
        return ast.literal_eval(text)


def _whole(digits: str) -> int:
    return int(Decimal(digits))  # int refuses more than 4,300 digits


def _tests(text: str) -> list[dict[str, Any]]:
    """The tests of a row: JSON, or JSON pickled as one text, compressed and in base 64."""
    try:
        return list(json.loads(text))
    except ValueError:
        pass
    try:
        pickled = zlib.decompress(base64.b64decode(text, validate=True))
        texts = [str(value) for code, value, _ in pickletools.genops(pickled) if "UNICODE" in code.name]
        return list(json.loads(texts[0]))
    except (ValueError, IndexError, zlib.error, binascii.Error) as error:
        raise UsageError(f"livecodebench.source: hidden tests cannot be read: {error}") from error
