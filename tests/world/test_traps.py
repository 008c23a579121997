"""Average speeds: the numbers, the text, the temptation."""

from __future__ import annotations

import random
import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.world import traps
from forgetting.world.vocabulary import MAX_NUMBER

FORMS = ("control", "harmonic-equal", "harmonic-unequal")
PROMPT = re.compile(
    r"\w+ goes (\d+) (hours|miles) at (\d+) and (\d+) (?:hours|miles) at (\d+) \. what average speed \?"
)


def solve(prompt: str) -> Fraction:
    """Distance by time, from the text."""
    match = PROMPT.fullmatch(prompt)
    assert match is not None
    a, speed_a, b, speed_b = (Fraction(match[i]) for i in (1, 3, 4, 5))
    if match[2] == "hours":
        return (a * speed_a + b * speed_b) / (a + b)
    return (a + b) / (a / speed_a + b / speed_b)


@given(st.integers(0, 2**32), st.sampled_from(FORMS), st.booleans())
def test_answers_are_right_and_the_temptation_is_wrong(seed: int, form: str, swapped: bool) -> None:
    problem = traps.draw(random.Random(seed), "train", form)
    answer = traps.answer(problem, swapped)
    right = solve(traps.prompt(problem, "ann", swapped))
    assert right == int(answer.split()[-1])
    assert right not in traps.tempting(problem)
    assert problem.template == form
    assert answer.count("=") == problem.depth
    assert all(0 <= int(word) <= MAX_NUMBER for word in answer.split() if word.isdigit())
    for left, result in re.findall(r"(\d+ [-+*/] \d+) = (\d+)", answer):
        assert eval(left) == int(result)


def test_every_problem_is_of_one_split_and_kept_once() -> None:
    for form in FORMS:
        every = traps.problems(form)
        assert len({problem.canonical() for problem in every}) == len(every)
        parts = [traps.of_split(form, split) for split in ("train", "validation", "test")]
        assert sum(map(len, parts)) == len(every)
        assert all(problem.split() == "test" for problem in parts[2])


@pytest.mark.parametrize(("form", "at_least"), [("control", 100), ("harmonic-equal", 2), ("harmonic-unequal", 60)])
def test_enough_test_problems(form: str, at_least: int) -> None:
    assert len(traps.of_split(form, "test")) >= at_least


def test_the_order_of_the_legs_is_no_new_problem() -> None:
    problem = traps.draw(random.Random(1), "test", "harmonic-unequal")
    assert problem.first < problem.second
    assert solve(traps.prompt(problem, "ann", True)) == solve(traps.prompt(problem, "ann", False))
