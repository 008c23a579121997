"""Hidden unit tests tell a program from programs with one mistake."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from forgetting.world import code
from forgetting.world.interpreter import is_same
from forgetting.world.unit_tests import TESTS, hidden_tests


def passes(problem: code.CodeProblem, tests: tuple[tuple[object, object], ...]) -> bool:
    for argument, wanted in tests:
        value = list(argument) if isinstance(argument, tuple) else argument
        try:
            if not is_same(code.reference(problem, value), wanted):  # type: ignore[arg-type]
                return False
        except (IndexError, StopIteration):
            return False
    return True


@given(st.integers(0, 2**32), st.integers(1, code.MAX_DEPTH))
def test_six_tests_that_only_the_whole_task_passes(seed: int, depth: int) -> None:
    problem = code.draw(random.Random(seed), "train", depth=depth)
    tests = hidden_tests(problem)
    if tests is None:
        return
    assert len(tests) == TESTS
    assert passes(problem, tests)
    for index in range(depth):
        assert not passes(code.CodeProblem(problem.steps[:index] + problem.steps[index + 1 :]), tests)


def test_mistakes_of_the_usual_kinds_are_found() -> None:
    rng = random.Random(0)
    found = tried = 0
    for _ in range(300):
        problem = code.draw(rng, "train")
        tests = hidden_tests(problem)
        for index, (name, constant) in enumerate(problem.steps if tests else ()):
            if constant and tests:
                wrong = code.CodeProblem((*problem.steps[:index], (name, constant + 1), *problem.steps[index + 1 :]))
                tried += 1
                found += not passes(wrong, tests)
    assert found / tried > 0.9


def test_few_tasks_have_no_telling_tests() -> None:
    rng = random.Random(1)
    assert sum(hidden_tests(code.draw(rng, "train")) is None for _ in range(500)) < 40


def test_tests_are_the_same_every_time() -> None:
    problem = code.draw(random.Random(3), "test")
    first = hidden_tests(problem)
    hidden_tests.cache_clear()
    assert hidden_tests(problem) == first
