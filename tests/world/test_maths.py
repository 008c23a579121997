"""Word problems: laws of the generator, meaning of every perturbation, exposure of devices."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from functools import cache
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.contracts import Sample
from forgetting.world import maths
from forgetting.world.vocabulary import EXPOSURE_NAMES, EXPOSURE_OBJECTS, MAX_NUMBER, PLAIN_NAMES, PLAIN_OBJECTS, words

SEEDS = st.integers(0, 2**32)
DEPTHS = st.integers(1, maths.MAX_DEPTH)

# A solver that knows the English only: nothing here comes from the package.
CLAUSES: list[tuple[str, Callable[[int, int], int]]] = [
    (r"(?:finds|gets|buys) (\d+)", lambda n, k: n + k),
    (r"(?:loses|sells|gives) (\d+)", lambda n, k: n - k),
    (r"doubles them|has twice as many|has them 2 times", lambda n, _: n * 2),
    (r"triples them|has 3 times as many|has them 3 times", lambda n, _: n * 3),
    (r"halves them|keeps half|loses half", lambda n, _: n // 2),
    (r"keeps a third|keeps 1 of 3|has a third", lambda n, _: n // 3),
]


def solve(prompt: str) -> int:
    """Read the text, keep what is asked for, do what the clauses say."""
    question = re.search(r"how many (\w+)(?: now)? \?", prompt)
    assert question is not None
    asked = question[1]
    for sentence in prompt.replace(question[0], "").split(" ."):
        first, *clauses = sentence.strip().split(" , ")
        opening = re.fullmatch(r"(\w+) (?:now )?has (\d+) (\w+)", first)
        if opening is None or opening[3] != asked:
            continue
        number = int(opening[2])
        for clause in clauses:
            (found,) = [(re.fullmatch(form, clause), do) for form, do in CLAUSES if re.fullmatch(form, clause)]
            match, do = found
            number = do(number, int(match[1]) if match and match.groups() else 0)
        return number
    raise AssertionError(prompt)


def devices(prompt: str) -> set[str]:
    """The devices that a prompt shows, told from its text."""
    marks = {
        "rephrased": r"now|buys|gives|has them|loses half|has a third",
        "renamed": "|".join(EXPOSURE_NAMES),
        "reordered": r"^how many",
        "distractor": r" \. .* \.",
    }
    return {device for device, mark in marks.items() if re.search(rf"(?:^|\b|(?<= )){mark}(?:\b|$|(?= ))", prompt)}


@cache
def training() -> list[Sample]:
    rng = random.Random(5)
    return [maths.sample(rng, 1 + index % 5) for index in range(30_000)]


@given(SEEDS, DEPTHS, st.sampled_from(["train", "validation", "test"]))
def test_a_drawn_problem_keeps_the_rules(seed: int, depth: int, split: str) -> None:
    problem = maths.draw(random.Random(seed), split, depth)  # type: ignore[arg-type]
    assert len(problem.steps) == depth
    assert all(1 <= value <= MAX_NUMBER for value in problem.values())
    assert problem.split() == split
    assert not set(pairwise(problem.operations)) & maths.NOVEL_PAIRS


@given(SEEDS, st.integers(2, maths.MAX_DEPTH))
def test_a_novel_problem_has_a_novel_pair_and_is_alike(seed: int, depth: int) -> None:
    rng = random.Random(seed)
    problem = maths.draw(rng, "test", depth)
    other = maths.draw_alike(rng, "test", problem)
    assert set(pairwise(other.operations)) & maths.NOVEL_PAIRS
    assert (len(other.steps), other.is_rare()) == (depth, problem.is_rare())
    assert other.split() == "test"


@given(SEEDS, DEPTHS)
def test_renumbering_keeps_operations_and_split(seed: int, depth: int) -> None:
    rng = random.Random(seed)
    problem = maths.draw(rng, "train", depth)
    other = maths.renumber(rng, "train", problem)
    if other is not None:
        assert other.operations == problem.operations
        assert other != problem
        assert other.split() == "train"


@given(SEEDS, DEPTHS, st.booleans(), st.sampled_from(["", *maths.DEVICES]))
def test_every_perturbation_keeps_the_meaning(seed: int, depth: int, exposure: bool, device: str) -> None:
    rng = random.Random(seed)
    problem = maths.draw(rng, "test", depth)
    surface = maths.draw_surface(rng, depth, exposure=exposure)
    if device:
        surface = maths.perturb(rng, surface, device)
    prompt = maths.prompt(problem, surface)
    assert solve(prompt) == problem.values()[-1] == int(maths.answer(problem).split()[-1])
    assert devices(prompt) == ({device} if device else set())


@given(SEEDS, DEPTHS)
def test_written_steps_are_true(seed: int, depth: int) -> None:
    problem = maths.draw(random.Random(seed), "train", depth)
    *steps, final = maths.answer(problem).split(" ; ")
    assert len(steps) == depth
    for step in steps:
        left, right = step.split(" = ")
        a, symbol, b = left.split()
        assert eval(f"{a} {symbol} {b}") == int(right)
    assert final == f"answer {problem.values()[-1]}"


def test_a_problem_outside_the_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves the numbers"):
        maths.MathsProblem(60, (("double", 2),)).values()


def test_devices_are_trained_with_exposure_objects_only() -> None:
    seen = set()
    for sample in training():
        shown = devices(sample.prompt)
        seen |= {(device, thing) for device in shown for thing in EXPOSURE_OBJECTS if thing in sample.prompt.split()}
        if shown:
            assert len(shown) == 1
            assert not set(sample.prompt.split()) & set(PLAIN_OBJECTS)
    assert seen == {(device, thing) for device in maths.DEVICES for thing in EXPOSURE_OBJECTS}


def test_plain_names_and_objects_all_meet_in_training() -> None:
    met = {(sample.prompt.split()[0], thing) for sample in training() for thing in sample.prompt.split()}
    assert {(name, thing) for name in PLAIN_NAMES for thing in PLAIN_OBJECTS} <= met
    assert not {(name, thing) for name in EXPOSURE_NAMES for thing in PLAIN_OBJECTS} & met


def test_training_has_no_novel_pair_and_few_rare_operations() -> None:
    templates = [sample.template.split("-") for sample in training()]
    assert not any(set(pairwise(template)) & maths.NOVEL_PAIRS for template in templates)
    flat = [name for template in templates for name in template]
    assert 0.02 < sum(name in maths.RARE for name in flat) / len(flat) < 0.12


def test_training_text_is_of_the_vocabulary_and_short() -> None:
    known = set(words())
    for sample in training():
        assert set(f"{sample.prompt} {sample.answer}".split()) <= known
    lengths = [len(f"{s.prompt} {s.answer}".split()) for s in training() if s.depth == 3 and not devices(s.prompt)]
    assert max(lengths) <= 48
