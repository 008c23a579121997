"""Benchmarks whose data sets are not at hand, on small files made by hand in the data sets' own schemas."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path

import pytest

from forgetting.benchmarks._text import TextBenchmark
from forgetting.benchmarks.aime import AIME
from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.benchmarks.humaneval import HumanEval
from forgetting.benchmarks.livecodebench import LiveCodeBench
from forgetting.benchmarks.math500 import Math500
from forgetting.benchmarks.mbpp import MBPP
from forgetting.errors import UsageError
from forgetting.natural.grading import expressions
from tests.contracts.members import DATA

needs_math_verify = pytest.mark.skipif(not expressions.available(), reason="needs math-verify")


@needs_math_verify
def test_math500() -> None:
    part = Math500(source=f"{DATA}/math500.jsonl", levels=(3, 5))
    items = part.items()
    assert [(i.depth, i.template) for i in items] == [(3, "Algebra"), (3, "Counting & Probability"), (5, "Geometry")]
    grades = part.grade(items, ["so \\boxed{-2<x<2}", "it is 32", "\\boxed{1.414}"])
    assert [(g.verdict, g.kind) for g in grades][1:] == [("wrong", "right_but_format"), ("wrong", "wrong_answer")]


def test_aime() -> None:
    part = AIME(source=f"{DATA}/aime.jsonl")
    items = part.items()
    assert [i.check for i in items] == [("1",), ("030",), ("400",)]
    grades = part.grade(items, ["\\boxed{001}", "\\boxed{30}", "It is 400."])
    assert [(g.verdict, g.kind) for g in grades] == [("right", ""), ("right", ""), ("wrong", "right_but_format")]


def test_aime_of_a_year() -> None:
    assert (AIME().data_source, AIME().own_test_split) == ("HuggingFaceH4/aime_2024", "train")
    assert (AIME(year=2025).data_source, AIME(year=2025).own_test_split) == ("math-ai/aime25", "test")
    assert (AIME(year=2025, source="x/y", split="z").data_source, AIME(split="z").own_test_split) == ("x/y", "z")
    with pytest.raises(UsageError, match=r"^aime\.year: must be one of 2024, 2025, got 2023"):
        AIME(year=2023)


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            AIME(source=f"{DATA}/humaneval.jsonl"),
            r"aime\.source: must be a data set with the column 'answer'",
        ),
        (MBPP(source=f"{DATA}/aime.jsonl"), r"mbpp\.source: must be a data set with the column 'test_list'"),
        (HumanEval(source=f"{DATA}/aime.jsonl"), r"humaneval\.source: must be a data set with the column 'prompt'"),
        (
            LiveCodeBench(source=f"{DATA}/aime.jsonl"),
            r"livecodebench\.source: must be a data set with the column '",
        ),
        (Math500(source=f"{DATA}/aime.jsonl"), r"math500\.source: must be a data set with the column 'level'"),
        (
            GSM8K(source=f"{DATA}/humaneval.jsonl"),
            r"gsm8k\.source: must be a data set with the column 'question'; .* has ",
        ),
    ],
)
def test_rows_of_another_data_set(part: TextBenchmark, message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        part.items()


def test_mbpp() -> None:
    part = MBPP(source=f"{DATA}/mbpp-{{split}}.jsonl")
    items = part.items()
    assert [i.check[0] for i in items] == ["double", "shared", "circle"]  # the fourth builds the program's own objects
    assert "assert double(2) == 4" in items[0].prompt
    answers = ["def double(x):\n    return x + x\n```\nDone.", "def shared(a, b): return a", "def circle(r): return 1"]
    assert [g.verdict for g in part.grade(items, answers)] == ["right", "wrong", "wrong"]


def test_livecodebench_scripts_and_functions() -> None:
    part = LiveCodeBench(source=f"{DATA}/livecodebench.jsonl")
    items = part.items()
    assert [(i.check[0], len(i.check[1]), i.depth) for i in items] == [("", 3, 1), ("twoSum", 2, 2), ("", 2, 3)]
    answers = [
        "print(3)",
        "class Solution:\n    def twoSum(self, nums, target):\n        return (0, 1)\n```",
        "import sys\nfor line in list(sys.stdin)[::-1]: print(line, end='')",
    ]
    assert [(g.verdict, g.kind) for g in part.grade(items, answers)] == [
        ("wrong", "wrong"),
        ("wrong", "wrong"),
        ("right", ""),
    ]
    assert part.grade(items[:1], ["import sys\nprint(sum(map(int, sys.stdin.read().split())))\n"])[0].verdict == "right"


@pytest.mark.parametrize(
    ("first", "last", "count"), [("", "", 3), ("2024-08", "2024-11", 2), ("2024-09", "", 2), ("", "2024-07", 0)]
)
def test_livecodebench_window(first: str, last: str, count: int) -> None:
    part = LiveCodeBench(source=f"{DATA}/livecodebench.jsonl", first_month=first, last_month=last)
    assert len(part.items()) == count


def test_hidden_tests_are_read_without_unpickling(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, ...]:
            return Path.write_text, (tmp_path / "run", "x")

    row = json.loads((DATA / "livecodebench.jsonl").read_text().split("\n")[0])
    row["private_test_cases"] = base64.b64encode(zlib.compress(pickle.dumps([Bomb(), "[]"]))).decode()
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UsageError, match=r"^livecodebench\.source: hidden tests cannot be read"):
        LiveCodeBench(source=str(tmp_path / "rows.jsonl")).items()
    assert not (tmp_path / "run").exists()
