"""Whatever a model answers, reading a number or a program out of it is no exception, and takes no time to speak of."""

from __future__ import annotations

import time

import pytest

from forgetting.natural.grading import numbers, programs, verdicts
from forgetting.sandbox.comparison import same_text


@pytest.mark.parametrize("text", ["9" * 5000, "1/" + "9" * 5000, "\\frac{" + "9" * 5000 + "}{3}", "\\boxed{" * 9000])
def test_numbers_of_thousands_of_digits(text: str) -> None:
    for found in (numbers.strict(f"#### {text}"), numbers.lenient(f"7 {text}")):
        assert found is None or found.beyond or found in (numbers.strict("#### 7"), numbers.strict("#### 1"))
        assert found is None or not found.beyond or not found.equals(found)


HARD = (
    "```" + " " * 60_000, " " * 60_000 + "x```", "- " + " " * 60_000 + "x```", "> " * 30_000 + "x```",
    "```python\n" * 5000, "-" * 60_000, "`" * 60_000, "#" * 60_000, "{" * 60_000, "1" + "~" * 60_000 + "x",
    "\ud800\0", "return " + "-" * 900 + "1", "return " + "a." * 800 + "a", "x = 0x" + "f" * 60_000 + "\nreturn x",
    "from __future__ import annotations; x = " + "+".join("1" * 700), "return " + "[" * 5000,
    "7\nsNaN", "1e99999999999999",
)  # fmt: skip


@pytest.mark.parametrize("answer", HARD, ids=lambda answer: repr(answer[:24]))
def test_answers_that_are_hard_to_read_are_read_at_once(answer: str) -> None:
    begin = time.process_time()
    programs.continuation_of("def f(x):\n", answer, "f")
    programs.function_of(answer, lambda text: programs.defines(text, "f"), "f")
    programs.as_a_function_where_it_returns(programs.script_of(answer))
    verdicts.of_number("#### 7", answer)
    same_text(answer, "7\n8", lenient=True)
    assert time.process_time() - begin < 3
