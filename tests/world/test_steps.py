"""Grading of written-out steps."""

from __future__ import annotations

import pytest

from forgetting.contracts import Grade
from forgetting.world.steps import grade_steps, read

GOLD = "12 + 5 = 17 ; 17 - 3 = 14 ; answer 14"


@pytest.mark.parametrize(
    ("answer", "grade"),
    [
        (GOLD, Grade("right", "", 2, 2)),
        ("answer 14", Grade("right", "", 0, 2)),
        ("12 + 5 = 18 ; 18 - 3 = 15 ; answer 15", Grade("wrong", "arithmetic", 1, 2)),
        ("12 + 5 = 17 ; 17 + 3 = 20 ; answer 20", Grade("wrong", "wrong_operation", 1, 2)),
        ("12 + 5 = 17 ; 17 - 4 = 13 ; answer 13", Grade("wrong", "wrong_operation", 1, 2)),
        ("12 + 5 = 17 ; 16 - 3 = 13 ; answer 13", Grade("wrong", "broken_chain", 1, 2)),
        ("13 + 5 = 18 ; 18 - 3 = 15 ; answer 15", Grade("wrong", "broken_chain", 1, 2)),
        ("12 + 5 = 17 ; 17 - 3 = 14 ; answer 17", Grade("wrong", "inconsistent", 2, 2)),
        ("12 + 5 = 17 ; answer 17", Grade("wrong", "incomplete", 1, 2)),
        ("12 + 5 = 17 ; 17 - 3 = 14 ; 14 + 1 = 15 ; answer 15", Grade("wrong", "extra_steps", 2, 2)),
        ("12 + = 17 ; 17 - 3 = 14 ; answer 15", Grade("wrong", "malformed", 1, 2)),
        ("12 + 5 = 17 ; 17 - 3 = 14", Grade("unparsed", "incomplete", 2, 2)),
        ("12 + 5 = 17 ; 17 - 3 = 14 ; answer", Grade("unparsed", "malformed", 2, 2)),
        ("answer 14 ; 12 + 5 = 17", Grade("unparsed", "malformed", 0, 2)),
        ("the answer 14", Grade("unparsed", "malformed", 0, 2)),
        ("answer 14 .", Grade("unparsed", "malformed", 0, 2)),
        ("", Grade("unparsed", "malformed", 0, 2)),
    ],
)
def test_grades_of_a_chain(answer: str, grade: Grade) -> None:
    assert grade_steps(GOLD, answer, chain=True) == grade


def test_without_a_chain_each_step_is_compared_as_it_is() -> None:
    gold = "12 / 4 = 3 ; 12 / 6 = 2 ; 3 + 2 = 5 ; answer 5"
    assert grade_steps(gold, gold, chain=False) == Grade("right", "", 3, 3)
    assert grade_steps(gold, "12 / 4 = 3 ; 12 / 5 = 2 ; 3 + 2 = 5 ; answer 6", chain=False).kind == "arithmetic"
    assert grade_steps(gold, "12 / 4 = 3 ; 12 / 3 = 4 ; 3 + 4 = 7 ; answer 7", chain=False).kind == "wrong_operation"


def test_read() -> None:
    assert read("1 + 2 = 3 ; x ; answer 3") == ([(1, "+", 2, 3), None], 3)
    assert read("1 + 2 = 3") == ([(1, "+", 2, 3)], None)
