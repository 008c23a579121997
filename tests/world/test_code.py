"""Programming tasks: meaning of every description, programs against the reference, exposure of devices."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.contracts import Sample
from forgetting.world import code
from forgetting.world.code_operations import OPERATIONS, RARE
from forgetting.world.interpreter import Execution, detokenise, evaluate, is_same, parse, run_tests
from forgetting.world.unit_tests import hidden_tests
from forgetting.world.vocabulary import EXPOSURE_FUNCTIONS, PLAIN_FUNCTIONS, words

SEEDS = st.integers(0, 2**32)
DEPTHS = st.integers(1, code.MAX_DEPTH)

# A reader of descriptions that knows the English only: nothing here comes from the package.
PHRASES: list[tuple[str, Callable[[Any, int], Any]]] = [
    (r"add (\d+)|add (\d+) to [xy]|(\d+) more", lambda n, k: n + k),
    (r"subtract (\d+)|subtract (\d+) from [xy]|(\d+) less", lambda n, k: n - k),
    (r"multiply by (\d+)|multiply [xy] by (\d+)|(\d+) times [xy]", lambda n, k: n * k),
    (r"square|square [xy]|[xy] times [xy]", lambda n, _: n * n),
    (r"double each|double all|each twice", lambda n, _: [2 * i for i in n]),
    (r"add (\d+) to each|add (\d+) to all|each (\d+) more", lambda n, k: [i + k for i in n]),
    (r"keep above (\d+)|keep all above (\d+)|drop (\d+) and less", lambda n, k: [i for i in n if i > k]),
    (r"keep below (\d+)|keep all below (\d+)|drop (\d+) and more", lambda n, k: [i for i in n if i < k]),
    (r"keep evens|keep all evens|drop odds", lambda n, _: [i for i in n if i % 2 == 0]),
    (r"keep odds|keep all odds|drop evens", lambda n, _: [i for i in n if i % 2 != 0]),
    (r"sort|sort them|from less to more", lambda n, _: sorted(n)),
    (r"reverse|reverse them|from back to front", lambda n, _: n[::-1]),
    (r"sum|the sum|add all", lambda n, _: sum(n)),
    (r"largest|the largest|the one above all", lambda n, _: max(n)),
    (r"smallest|the smallest|the one below all", lambda n, _: min(n)),
    (r"count|the count|how many", lambda n, _: len(n)),
    (r"first|the first|the one at front", lambda n, _: n[0]),
    (r"last|the last|the one at back", lambda n, _: n[-1]),
]
KEYWORDS = {"double", "sum", "largest", "smallest", "count", "sort", "reverse", "keep", "square", "multiply"}
ASIDE = r"\w+ has \d+ \w+ \."


def read(prompt: str) -> list[tuple[Callable[[Any, int], Any], int]]:
    """The operations of a description, in the order in which they are done."""
    text, _ = re.sub(ASIDE, "", prompt).split("def ")
    text = " ".join(text.split())
    if match := re.fullmatch(r"write : (.*) \.", text):
        phrases = match[1].split(" , ")
    elif match := re.fullmatch(r"(.*) : write \.", text):
        phrases = match[1].split(" , after ")[::-1]
    else:
        match = re.fullmatch(r"now (.*) \.", text)
        assert match is not None, text
        phrases = match[1].split(" and ")
    steps = []
    for phrase in phrases:
        ((found, do),) = [(m, do) for form, do in PHRASES if (m := re.fullmatch(form, phrase))]
        steps.append((do, int(next((group for group in found.groups() if group), 0))))
    return steps


def devices(prompt: str) -> set[str]:
    """The devices that a prompt shows, told from its text."""
    text, header = prompt.split("def ")
    marks = {
        "rephrased": r"\bnow\b",
        "reordered": r": write",
        "distractor": r" has ",
        "functional": r"twice|more|less|times|drop|add all|back|one|how many",
    }
    without_aside = re.sub(ASIDE, "", text)
    found = {
        device for device, mark in marks.items() if re.search(mark, text if device == "distractor" else without_aside)
    }
    return found | ({"renamed"} if " y " in header else set())


@cache
def training() -> list[Sample]:
    rng = random.Random(5)
    return [code.sample(rng) for _ in range(30_000)]


def a_problem(seed: int, depth: int) -> tuple[random.Random, code.CodeProblem]:
    rng = random.Random(seed)
    while True:
        problem = code.draw(rng, "test", depth=depth)
        if hidden_tests(problem):
            return rng, problem


@given(SEEDS, DEPTHS, st.booleans(), st.sampled_from(["", *code.DEVICES]))
def test_every_description_tells_the_task(seed: int, depth: int, exposure: bool, device: str) -> None:
    rng, problem = a_problem(seed, depth)
    surface = code.draw_surface(rng, exposure=exposure)
    if device:
        surface = code.perturb(rng, surface, device)
    prompt = code.describe(problem, surface)
    steps = read(prompt)
    for argument, wanted in hidden_tests(problem) or ():
        value = list(argument) if isinstance(argument, tuple) else argument
        for do, constant in steps:
            value = do(value, constant)
        assert is_same(value, wanted)
    assert devices(prompt) == ({device} if device else set())
    if device == "functional":
        words_of_plain = {word for name in problem.operations for word in OPERATIONS[name].plain.split()}
        assert not words_of_plain & KEYWORDS & set(prompt.split())


@given(SEEDS, DEPTHS, st.sampled_from(["", "renamed"]))
def test_programs_do_the_task_in_the_interpreter_and_in_python(seed: int, depth: int, device: str) -> None:
    rng, problem = a_problem(seed, depth)
    surface = code.perturb(rng, code.draw_surface(rng), device) if device else code.draw_surface(rng)
    program = f"{code.header(surface)} <nl> {code.program(problem, surface)}"
    tests = hidden_tests(problem)
    assert tests
    assert run_tests(program, tests) is Execution.passed
    space: dict[str, Any] = {}
    exec(detokenise(program), space)
    function = parse(detokenise(program))
    assert function is not None
    for _ in range(10):
        numbers = [rng.randrange(-50, 150) for _ in range(rng.randrange(6))]
        argument = numbers if problem.takes_list else rng.randrange(-9, 99)
        try:
            wanted = space[surface.function](argument)
        except (IndexError, ValueError):
            assert evaluate(function, argument)[0] is Execution.runtime_error
        else:
            assert evaluate(function, argument) == (Execution.passed, wanted)
            assert code.reference(problem, argument) == wanted


@given(SEEDS, DEPTHS, st.sampled_from(["train", "validation", "test"]))
def test_a_drawn_problem_is_of_its_split_and_depth(seed: int, depth: int, split: str) -> None:
    rng = random.Random(seed)
    problem = code.draw(rng, split, depth=depth)  # type: ignore[arg-type]
    assert (problem.split(), len(problem.steps)) == (split, depth)
    assert code.program_tokens(problem, code.draw_surface(rng))[-1] != "<nl>"


def test_devices_are_trained_with_the_exposure_function_only() -> None:
    seen = set()
    for sample in training():
        shown, header = devices(sample.prompt), sample.prompt.split("def ")[1].split()
        assert len(shown) <= 1
        if shown:
            assert header[0] in EXPOSURE_FUNCTIONS
            assert not set(sample.prompt.split()) & set(PLAIN_FUNCTIONS)
        seen |= {(device, header[0]) for device in shown}
    assert seen == {(device, name) for device in code.DEVICES for name in EXPOSURE_FUNCTIONS}


def test_training_shows_every_operation_and_rare_ones_rarely() -> None:
    flat = [name for sample in training() for name in sample.template.split("-")]
    assert set(flat) == set(OPERATIONS)
    assert 0.02 < sum(name in RARE for name in flat) / len(flat) < 0.12


def test_training_text_is_of_the_vocabulary() -> None:
    known = set(words())
    assert all(set(f"{sample.prompt} {sample.answer}".split()) <= known for sample in training())


def test_reference_by_hand() -> None:
    steps = (("double", 0), ("above", 5), ("sum", 0))
    assert code.reference(code.CodeProblem(steps), [1, 2, 3, 4]) == 14
    assert code.reference(code.CodeProblem((("subtract", 3), ("square", 0))), 10) == 49
    with pytest.raises(IndexError):
        code.reference(code.CodeProblem((("largest", 0),)), [])
