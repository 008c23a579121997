"""Worked answers in real text: equations are checked, and nothing is said of paths."""

from __future__ import annotations

import pytest

from forgetting.benchmarks.gsm8k import GSM8K
from forgetting.contracts import Failure, Grade
from forgetting.natural.grading.worked_failures import of_worked
from tests.contracts.members import DATA
from tests.real import source

PROMPT = "Question: Ana has 7 boxes of 5 apples at $1.50. A friend brings 3 more. How many has she?\nAnswer:"
WRONG = Grade("wrong", "wrong_answer")


@pytest.mark.parametrize(
    ("answer", "grade", "ended", "failure"),
    [
        ("7 * 5 = <<7*5=35>>35. 35 + 3 = <<35+3=38>>38\n#### 38", Grade("right"), True, Failure()),
        (
            "7 * 5 = <<7*5=36>>36. So 38.\n#### 38",
            Grade("right"),
            True,
            Failure("right_by_wrong_steps", "symbol_error", 0),
        ),
        ("7 * 5 = 35 apples. 35 + 3 = 39.\n#### 39", WRONG, True, Failure("symbol_error", "slip", 1)),
        ("7 x 5 = 35 and 35 + 4 = 38.\n#### 40", WRONG, True, Failure("symbol_error", "", 1)),
        ("35 * $1.50 = $52.50\n#### 52.5", WRONG, True, Failure("undecided")),
        ("5 / 3 = 1.67 and (5+7)*3 = 36, 7 + 5 * 3 = 22\n#### 36", WRONG, True, Failure("undecided")),
        ("(7+5)*3+2 = 38, <<(7+5)*3+3=39>>39, 50% * 7 = 3.5\n#### 36", WRONG, True, Failure("undecided")),
        ("<<(7+5)*3=35>>35\n#### 35", WRONG, True, Failure("symbol_error", "slip", 0)),
        ("7 / 2 = 3 1/2 and 350 000 + 17 = 17 and 2 000 + 5 = 2 005\n#### 7", WRONG, True, Failure("undecided")),
        ("1,500 / 3 = 500\n#### 500", WRONG, True, Failure("undecided")),
        ("7 / 0 = 7\n#### 7", WRONG, True, Failure("symbol_error", "", 0)),
        ("<<7*five=35>> <<" + "(" * 150 + "7=35>>\n#### 7", WRONG, True, Failure("undecided")),
        ("She has many.", Grade("unparsed", "no_answer"), True, Failure("malformed", "no_answer")),
        ("So 38 apples.", Grade("wrong", "right_but_format"), True, Failure("malformed", "right_but_format")),
        ("so so so so so so so so", WRONG, False, Failure("loop")),
        ("First she has 7 boxes", WRONG, False, Failure("truncated")),
        ("", Grade("unparsed", "no_answer"), True, Failure("empty")),
    ],
)
def test_what_can_be_decided(answer: str, grade: Grade, ended: bool, failure: Failure) -> None:
    assert of_worked(PROMPT, answer, grade, ended=ended) == failure


def test_gold_answers_have_no_false_equation() -> None:
    part = GSM8K(source=f"{DATA}/gsm8k-{{split}}.jsonl")
    assert {part.failure(i, i.answer, Grade("right"), ended=True).name for i in part.items()} == {""}


def test_one_real_gold_answer_has_one() -> None:
    """It says $32 - $20 = $300."""
    part = GSM8K(source=source("gsm8k-{split}.jsonl.gz"))
    failed = [i for i in part.items() if part.failure(i, i.answer, Grade("right"), ended=True).name]
    assert len(failed) == 1
