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
_WANTED = (
    "import collections, functools, heapq, itertools, math, re, string, bisect\nfrom typing import *\n"
    "from collections import *\nfrom functools import *\nfrom itertools import *\nfrom heapq import *\n"
)


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

    version: ClassVar[int] = 1
    sandboxed: ClassVar[bool] = True
    skill: ClassVar[str] = "code"

    def __post_init__(self) -> None:
        super().__post_init__()
        Limits(cpu_seconds=self.cpu_seconds)
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
            answer=(row.get("solution") or "pass").strip() + "\n```", depth=DEPTHS.get(row["difficulty"], 1),
            template=row["platform"], check=(entry, tuple((t["input"], t["output"]) for t in tests)),
        )  # fmt: skip

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where every test's output is right; scripts run once for each test."""
        jobs = [_jobs(item, answer) for item, answer in zip(items, answers, strict=True)]
        return of_programs(jobs, Limits(cpu_seconds=self.cpu_seconds), strict=self.strict_sandbox)


def _jobs(item: Item, answer: str) -> list[Job]:
    entry, tests = item.check
    blocks = programs.blocks(f"```python\n{answer}")
    program = _WANTED + max(blocks, key=len) if blocks else answer
    if not entry:
        return [Script(program, given, wanted) for given, wanted in tests]
    program += f"\n{entry} = Solution().{entry} if 'Solution' in globals() else {entry}\n"
    arguments = tuple(tuple(_value(line) for line in given.split("\n") if line.strip()) for given, _ in tests)
    return [Calls(program, entry, arguments, tuple(_value(wanted) for _, wanted in tests))]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return ast.literal_eval(text)


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
