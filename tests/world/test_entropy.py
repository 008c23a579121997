"""Floors of NLL: entropies against counts of what the generators draw, and against what a student reaches."""

from __future__ import annotations

import math
from collections import Counter
from itertools import islice

import numpy as np
import pytest

from forgetting.analysis.metrics import LEAST_LEFT, learning
from forgetting.contamination.altered_syntax import AlteredSyntax
from forgetting.contamination.dialogue import Dialogue
from forgetting.contamination.noise import Noise
from forgetting.seeds import generator
from forgetting.world import code, entropy
from forgetting.world.splits import from_seed


def test_by_hand() -> None:
    assert entropy.of_counts([1, 1, 1, 1]) == pytest.approx(math.log(4))
    assert entropy.of_counts([3, 1]) == pytest.approx(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert entropy.of_counts([5]) == entropy.of_counts([5, 0]) == 0


@pytest.mark.parametrize(("depth", "draws", "tolerance"), [(1, 20_000, 0.03), (2, 40_000, 0.17)])
def test_programs_are_as_surprising_as_the_draws_say(depth: int, draws: int, tolerance: float) -> None:
    """The plug-in estimate with Miller and Madow's correction, too low by what was not drawn."""
    rng = from_seed(1, "entropy")
    counts = Counter(code.draw(rng, "train", depth=depth) for _ in range(draws))
    measured = entropy.of_counts(counts.values()) + (len(counts) - 1) / (2 * draws)
    assert entropy.of_programs(depth) == pytest.approx(measured, abs=tolerance)


def test_a_mixture_of_depths_is_as_surprising_as_its_parts_and_which_it_is() -> None:
    parts = [entropy.of_programs(depth) for depth in (1, 2, 3)]
    mean = sum(share * part for share, part in zip(code.DEPTH_SHARES, parts, strict=True))
    assert mean < entropy.of_programs(0) < mean + math.log(3)
    assert parts == sorted(parts)


@pytest.mark.parametrize("profile", ["uniform", "unigram"])
def test_no_student_of_noise_does_better_than_its_words(profile: str) -> None:
    """A student that knows the words' frequencies, the prompt, and how long answers to such prompts are."""
    part = Noise(profile)  # type: ignore[arg-type]
    drawn = list(islice(part.samples(generator(3, "noise floor")), 4_000))
    words = Counter(word for sample in drawn for word in sample.answer.split())
    total = words.total()
    a_word = sum(c / total * -math.log(c / total) for c in words.values()) + (len(words) - 1) / (2 * total)
    lengths = [(len(sample.prompt.split()), len(sample.answer.split())) for sample in drawn]
    ends = entropy.of_counts(Counter(lengths).values()) - entropy.of_counts(Counter(p for p, _ in lengths).values())
    answer = float(np.mean([words for _, words in lengths]))
    assert part.floor() == pytest.approx((answer * a_word + ends) / (answer + 1), rel=0.01)


def test_what_follows_from_its_prompt_has_no_floor_and_a_dialect_to_guess_has() -> None:
    assert Dialogue().floor() == AlteredSyntax("unmarked").floor() == AlteredSyntax("marked", "mixed").floor() == 0
    sources = AlteredSyntax("unmarked", "mixed"), AlteredSyntax(), AlteredSyntax(dialect="mixed")
    floors = [one.floor() for one in sources]
    assert 0 < floors[0] < floors[1] < floors[2]


def test_the_floor_lies_just_below_what_students_reach() -> None:
    """width-64 after 10,000 snippets at the constant rate: .467 nats a token (results/section_4_1-6afa3498)."""
    assert 0.467 - 0.09 < AlteredSyntax().floor() < 0.467


def test_learning_rises_as_nll_falls_and_is_bounded() -> None:
    values = learning([6.0, 4.0, 1.4, 0.4, 0.39, math.nan], 0.4)
    assert np.all(np.diff(values[:4]) > 0) and values[2] == pytest.approx(0.0)
    assert values[3] == values[4] == pytest.approx(-math.log(LEAST_LEFT)) and math.isnan(values[5])
