"""Benchmarks of code, graded in the sandbox, in the forms in which chat models answer; items that cannot pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from forgetting.benchmarks._text import NO_ITEM, WRONG_REFERENCE
from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.benchmarks.humaneval import HumanEval
from forgetting.benchmarks.livecodebench import LiveCodeBench
from forgetting.benchmarks.mbpp import MBPP
from forgetting.contracts import Benchmark, Item
from forgetting.errors import UsageError
from forgetting.stages.study_record import left_out
from tests.contracts.members import DATA

FENCED = ("{}", "{}\n```", "```python\n{}\n```", "```\n{}\n```\n\nSo it is.", "Words first:\n\n```python\n{}\n```",
          "~~~py\r\n{}\r\n~~~", "<think>\nTwice.\n</think>\n\n```python\n{}\n```", "Words.\n\n```python\n{}",
          "```python\n{}\n```\n\n" + "Many more words than there is code, all of them after it. " * 9)  # fmt: skip


def rows(folder: Path, *given: dict[str, Any]) -> str:
    """The path of a file with these rows."""
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in given))
    return str(folder / "rows.jsonl")


def verdicts(part: Benchmark, item: Item, answers: list[str]) -> set[str]:
    return {grade.verdict for grade in part.grade([item] * len(answers), answers)}


PARTS = (
    MBPP(source=f"{DATA}/mbpp-{{split}}.jsonl"),
    HumanEval(source=f"{DATA}/humaneval.jsonl"),
    LiveCodeBench(source=f"{DATA}/livecodebench.jsonl"),
)


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.short_name())
def test_right_answers_in_every_form_are_right_and_wrong_ones_are_not(part: Benchmark) -> None:
    for item, other in zip(part.items(), [*part.items()[1:], part.items()[0]], strict=True):
        program = item.answer.removesuffix("\n```")
        program = item.prompt + program if part.short_name() == "humaneval" else program
        assert verdicts(part, item, [form.format(program) for form in FENCED]) == {"right"}
        program = other.answer.removesuffix("\n```")
        program = other.prompt + program if part.short_name() == "humaneval" else program
        assert "right" not in verdicts(part, item, [form.format(program) for form in FENCED])


TASK = {"task_id": 1, "text": "Do it.", "test_setup_code": "", "challenge_test_list": []}
VOWEL = {**TASK, "code": "import re\ndef f(s):\n    return re.match('[aeiou]', s)",
         "test_list": ["assert f('apple')", "assert not f('pear')"]}  # fmt: skip
WITHOUT = {**TASK, "code": "def f(values, kind):\n    return [v for v in values if not isinstance(v, kind)]",
           "test_list": ["assert f((1, 'a'), int) == ['a']"]}  # fmt: skip
BROKEN = {**TASK, "code": "def f(x):\n    return x", "test_list": ["assert f(1) == 2"]}
OBJECT = {**TASK, "code": "def f(x):\n    return iter(x)", "test_list": ["assert next(f([1])) == 1"]}
UNCALLED = {**TASK, "code": "def f(x):\n    return x", "test_list": ["assert g(1) == 1"]}


def test_results_and_arguments_that_are_no_plain_values(tmp_path: Path) -> None:
    part = MBPP(source=rows(tmp_path, VOWEL, WITHOUT))
    items = part.items()
    assert [g.verdict for g in part.grade(items, [i.answer for i in items])] == ["right", "right"]
    assert part.left_out() == {}
    assert verdicts(part, items[0], ["def f(s):\n    return 0", "def f(s):\n    return s == s"]) == {"wrong"}


def test_items_whose_own_reference_cannot_pass_are_left_out_and_counted(tmp_path: Path) -> None:
    part = MBPP(source=rows(tmp_path, BROKEN, VOWEL, OBJECT, UNCALLED))
    assert [item.id for item in part.items()] == ["mbpp/original/00001"]
    assert part.left_out() == {NO_ITEM: 1, WRONG_REFERENCE: 2}
    with pytest.raises(UsageError, match=r"^mbpp\.source: must be rows whose own references pass"):
        MBPP(source=rows(tmp_path, BROKEN), limit=1).items()


def test_the_record_counts_what_is_left_out(tmp_path: Path) -> None:
    parts = (MBPP(source=rows(tmp_path, BROKEN, VOWEL)), HumanEval(source=f"{DATA}/humaneval.jsonl"))
    assert left_out(parts) == {"mbpp": {WRONG_REFERENCE: 1}}


def test_a_variant_of_what_is_left_out_is_left_out(tmp_path: Path) -> None:
    given = [json.loads(line) for line in Path(f"{DATA}/humaneval.jsonl").read_text().splitlines()]
    given[0]["canonical_solution"] = "    return None\n"
    part = HumanEval(source=rows(tmp_path, *given))
    assert len(part.items()) == len(given) - 1 and part.left_out() == {WRONG_REFERENCE: 1}
    for variant in part.variants:
        assert not any(item.id.endswith("/00000") for item in part.items(variant=variant))


def test_a_worked_answer_without_a_number_is_left_out(tmp_path: Path) -> None:
    given = [
        {"question": "How many?", "answer": answer} for answer in ("#### twelve", "#### 12", f"#### {'1' * 5_000}")
    ]
    part = GSM8K(source=rows(tmp_path, *given))
    assert len(part.items()) == 1 and part.left_out() == {NO_ITEM: 1, WRONG_REFERENCE: 1}


PROBLEM = {"question_title": "t", "question_content": "Do it.", "platform": "leetcode", "question_id": "t",
           "contest_date": "2024-09-01", "difficulty": "easy", "private_test_cases": "[]"}  # fmt: skip


def problem(folder: Path, entry: str, *tests: tuple[str, str]) -> LiveCodeBench:
    cases = [{"input": given, "output": wanted, "testtype": "x"} for given, wanted in tests]
    more = {"public_test_cases": json.dumps(cases), "metadata": json.dumps({"func_name": entry} if entry else {})}
    return LiveCodeBench(source=rows(folder, {**PROBLEM, **more, "starter_code": "class Solution:\n" if entry else ""}))


METHOD = "class Solution:\n    def same(self, x):\n        {}\n        return {}\n```"


@pytest.mark.parametrize(
    ("line", "result", "verdict"),
    [
        ("pass", "tuple(x)", "right"),
        ("pass", "[1.0, 2]", "right"),
        ("pass", "[True, 2]", "right"),
        ("pass", "x[: sys.maxsize]", "right"),
        (
            "t = datetime.datetime(2000, 1, 1), gcd(4, 6), deque(), heappush([], 1), Counter(), ascii_lowercase",
            "x",
            "right",
        ),
        (
            "t = statistics.mean(x), json.dumps(x), io.StringIO(), copy.copy(x), random.random(), operator.add(1, 2)",
            "x",
            "right",
        ),
        ("down = lambda k: 0 if k == 0 else 1 + down(k - 1); down(20000)", "x", "right"),
        ("pass", "x[::-1]", "wrong"),
        ("pass", "map(int, x)", "wrong"),
    ],
)
def test_livecodebench_is_as_lenient_as_its_own_runner(line: str, result: str, verdict: str, tmp_path: Path) -> None:
    part = problem(tmp_path, "same", ("[1, 2]", "[1, 2]"))
    assert part.left_out() == {}  # its rows have no solutions
    assert verdicts(part, part.items()[0], [METHOD.format(line, result)]) == {verdict}


@pytest.mark.parametrize(
    ("program", "verdict"),
    [
        ("print(float(input()))", "right"),
        ("print('  ' + input() + '  ')", "right"),
        ("print(input()); exit(1)", "right"),
        ("n = input()\nif n:\n    print(n)\n    return\nprint(0)", "right"),
        (
            "import threading\nthreading.Thread(target=lambda: (__import__('time').sleep(.2), print(input()))).start()",
            "right",
        ),
        ("print(input() + '.5')", "wrong"),
        ("print(input(), 'x')", "wrong"),
    ],
)
def test_so_are_its_scripts(program: str, verdict: str, tmp_path: Path) -> None:
    part = problem(tmp_path, "", ("7\n", "7\n"))
    assert verdicts(part, part.items()[0], [f"```python\n{program}\n```"]) == {verdict}


def test_numbers_of_many_digits_in_its_tests(tmp_path: Path) -> None:
    part = problem(tmp_path, "same", ("1" * 5_000, "1" * 5_000))
    assert verdicts(part, part.items()[0], [METHOD.format("pass", "x")]) == {"right"}
    assert verdicts(part, part.items()[0], [METHOD.format("pass", "x + 1")]) == {"wrong"}


def test_each_test_has_the_time_limit_to_itself_and_the_first_failure_ends_it(tmp_path: Path) -> None:
    part = LiveCodeBench(source=problem(tmp_path, "same", *[("[1]", "[1]")] * 4).source, cpu_seconds=1)
    slow = "import time; end = time.process_time() + 0.5\n        while time.process_time() < end: pass"
    assert verdicts(part, part.items()[0], [METHOD.format(slow, "x")]) == {"right"}
