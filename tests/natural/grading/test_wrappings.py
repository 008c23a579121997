"""Two thousand wrappings of right answers are all right, those of wrong answers never; long answers are read too."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Callable
from typing import Any

import pytest

from forgetting.natural.grading import answers, boxes, numbers, programs
from forgetting.natural.grading.verdicts import of_number
from tests.conftest import cases
from tests.natural.grading import wrappings

EACH = 500  # of four kinds
RIGHT = """import math


def f(values):
    return helper(values)


def helper(values):
    total = 0
    for value in values:
        total += value

    return math.floor(total)"""
WRONG = RIGHT.replace("+=", "-=")
BODY = "    total = 0\n    for value in values:\n        total += value\n    return total"
PROMPT = (
    'from typing import List\n\n\ndef f(values: List[int]) -> int:\n    """Add.\n\n    >>> f([1, 2])\n    3\n    """\n'
)
SCRIPT = "n = int(input())\nvalues = list(map(int, input().split()))\nprint(sum(values))"


def result(program: str) -> Any:
    """What the function of the program gives for [1, 2]."""
    names: dict[str, Any] = {"__name__": "program"}
    with contextlib.redirect_stdout(io.StringIO()):
        exec(compile(program, "program", "exec", dont_inherit=True), names)
    return names["f"]([1, 2])


def has_it(text: str) -> bool:
    return programs.defines(text, "f")


@pytest.mark.parametrize(("code", "value"), [(RIGHT, 3), (WRONG, -3)])
def test_programs(code: str, value: int) -> None:
    rng = random.Random(0)
    for _ in range(EACH // 2):
        answer = wrappings.program(code, rng)
        assert result(programs.continuation_of(PROMPT, answer, "f")) == value, answer
        answer = wrappings.program(code, rng, opened=True)
        assert result(programs.function_of(answer, has_it, "f")) == value, answer


@pytest.mark.parametrize(("code", "value"), [(BODY, 3), (BODY.replace("+=", "-="), -3)])
def test_bodies(code: str, value: int) -> None:
    rng = random.Random(1)
    for _ in range(EACH):
        answer = wrappings.body(code, rng)
        assert result(programs.continuation_of(PROMPT, answer, "f")) == value, answer


def test_scripts() -> None:
    rng = random.Random(2)
    for _ in range(EACH):
        answer = wrappings.program(SCRIPT, rng, opened=True, script=True)
        assert programs.script_of(answer).strip().split("\n") == SCRIPT.split("\n"), answer


def test_numbers() -> None:
    rng = random.Random(3)
    for _ in range(EACH):
        value = rng.choice((0, 1, 7, 18, 250, 1234, 70_000, 1_234_567))
        answer, in_its_place = wrappings.number(value, rng)
        grade = of_number(f"#### {value}", answer)
        assert (grade.verdict, grade.kind) == (("right", "") if in_its_place else ("wrong", "right_but_format")), answer
        grade = of_number(f"#### {value + 1}", answer)
        assert (grade.verdict, grade.kind) == ("wrong", "wrong_answer"), answer


Reader = Callable[[str], object]
CODE: tuple[Reader, ...] = (
    lambda text: programs.continuation_of(PROMPT, text, "f"),
    lambda text: programs.function_of(text, has_it, "f"),
    programs.script_of,
)
MATHS: tuple[Reader, ...] = (
    numbers.lenient,
    boxes.last_box,
    lambda text: answers.match("(1,2)", text, lambda *_: False),
)
LONG_CODE = ("```\n", "```python\n", "~~~", " ", "\n", "('", "> ", "- ```\n", "def f():\n    return 1\n", "<think>",
             "```\ndef g(): return f()\n", "\'\'\'\n", "@a\n", "a = 1\n", '    """\na')  # fmt: skip
LONG_MATHS = ("#### ", "\\boxed{", "\\frac{1}{", "1", "1,", "1,234,", "{", " ", "\n", "1 ", "1/", "\\text{", "x<", "1+",
              "\\,", "Question: 1\n", "\nQuestion", "\u00bd", "~", "(", "2^{")  # fmt: skip


@pytest.mark.parametrize(
    "long",
    cases(
        [*((part, CODE) for part in LONG_CODE), *((part, MATHS) for part in LONG_MATHS)],
        ("```\n", CODE),
        ("<think>", CODE),
        ("\\boxed{", MATHS),
        ("1,", MATHS),
        ("\nQuestion", MATHS),
    ),
)
def test_a_long_answer_is_read_in_linear_time(long: tuple[str, tuple[Reader, ...]]) -> None:
    """A step for each pair of places would be 10^9 steps and more: the test would not come to its end."""
    part, readers = long
    for read in readers:
        read(part * (60_000 // len(part)))
