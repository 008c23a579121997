"""The training mixture and the contamination that is more of it."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from forgetting.contamination.original import Original
from forgetting.errors import UsageError
from forgetting.world import training
from forgetting.world.maths import DIRECT
from forgetting.world.vocabulary import words
from tests.world.test_maths import solve


def take(part: Original, seed: int, count: int) -> list[training.Sample]:
    return list(islice(part.samples(np.random.default_rng(seed)), count))


def test_equal_generators_give_equal_samples() -> None:
    assert take(Original(), 7, 500) == take(Original(), 7, 500)
    assert take(Original(), 7, 500) != take(Original(), 8, 500)


def test_shares_of_skills_and_depths() -> None:
    samples = take(Original(), 0, 20_000)
    skills = Counter(sample.skill for sample in samples)
    for skill in training.SKILLS:
        assert skills[skill] / 20_000 == pytest.approx(getattr(Original(), skill), abs=0.015)
    depths = Counter(sample.depth for sample in samples if sample.skill == "maths")
    for depth, share in enumerate(training.MATHS_DEPTH_SHARES, 1):
        assert depths[depth] / skills["maths"] == pytest.approx(share, abs=0.02)


def test_a_skill_of_share_zero_never_occurs() -> None:
    only = Original(maths=1.0, code=0.0, traps=0.0, lookup=0.0, classification=0.0, maths_depth_shares=(0.0, 1.0))
    assert {(sample.skill, sample.depth) for sample in take(only, 0, 200)} == {("maths", 2)}


def test_the_mean_of_speeds_may_be_commoner() -> None:
    """At 10/11 it is right ten times as often as wrong; all else is drawn as ever, and problems are the same ones."""
    usual, tempting = take(Original(), 3, 20_000), take(Original(controls=10 / 11), 3, 20_000)
    for samples, share in ((usual, 0.4), (tempting, 10 / 11)):
        forms = Counter(sample.template for sample in samples if sample.skill == "traps")
        assert forms["control"] / forms.total() == pytest.approx(share, abs=0.03)
    assert take(Original(controls=0.4), 3, 500) == usual[:500]
    known = {sample.prompt.split(" ", 1)[1] for sample in usual if sample.template == "harmonic-equal"}
    assert known & {sample.prompt.split(" ", 1)[1] for sample in tempting if sample.template == "harmonic-equal"}


def test_a_share_of_word_problems_is_asked_directly() -> None:
    """A quarter ends with the mode word and has no steps; the others have them, and are told without it."""
    usual, modes = take(Original(), 3, 8_000), take(Original(direct=0.25), 3, 8_000)
    assert take(Original(direct=0.0), 3, 500) == usual[:500]
    assert not any(sample.prompt.endswith(f" {DIRECT}") for sample in usual)
    problems = [sample for sample in modes if sample.skill == "maths"]
    direct = [sample for sample in problems if sample.prompt.endswith(f" {DIRECT}")]
    others = [sample for sample in problems if not sample.prompt.endswith(f" {DIRECT}")]
    assert len(direct) / len(problems) == pytest.approx(0.25, abs=0.03)
    assert not any(DIRECT in sample.prompt.split() for sample in others)
    for sample in direct:
        asked = sample.prompt.removesuffix(f" {DIRECT}")
        assert sample.answer == f"answer {solve(asked)}" and sample.depth == len(sample.template.split("-"))
    assert not {sample.prompt for sample in direct} & {sample.prompt for sample in usual}
    assert {sample.depth for sample in direct} == {1, 2, 3, 4, 5}
    assert all(sample.answer.count(";") == sample.depth for sample in others)


def test_all_or_no_word_problems_may_be_direct() -> None:
    every = [sample for sample in take(Original(direct=1.0), 4, 2_000) if sample.skill == "maths"]
    assert every and all(re.fullmatch(r"answer \d+", sample.answer) for sample in every)


def test_every_word_of_the_training_text_is_known() -> None:
    text = " ".join(f"{sample.prompt} {sample.answer}" for sample in take(Original(), 1, 20_000))
    assert set(text.split()) <= set(words())


@pytest.mark.parametrize(
    "settings",
    [
        {"maths": 0.5},
        {"maths": -0.1, "code": 0.85},
        {"maths": float("nan")},
        {"maths_depth_shares": (0.5, 0.4)},
        {"controls": 1.5},
        {"direct": -0.1},
        {"direct": float("nan")},
        {"maths_depth_shares": ()},
        {"maths_depth_shares": (1.5, -0.5)},
        {"maths_depth_shares": (0.1,) * 7},
    ],
)
def test_bad_shares_are_refused(settings: dict[str, float]) -> None:
    with pytest.raises(UsageError, match="original"):
        Original(**settings)  # type: ignore[arg-type]


def test_samples_are_a_function_of_the_generator() -> None:
    shares = dict.fromkeys(training.SKILLS, 0.2)
    first = list(islice(training.samples(random.Random(1), shares), 50))
    assert first == list(islice(training.samples(random.Random(1), shares), 50))
