"""The maths benchmark: splits, twins, match of its variants, grading."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from scipy.stats import ks_2samp

from forgetting.benchmarks.maths import Maths
from forgetting.contamination.original import Original
from forgetting.contracts import Item
from forgetting.errors import UsageError
from forgetting.world import maths
from forgetting.world.splits import problem_hash
from forgetting.world.vocabulary import EXPOSURE_NAMES, EXPOSURE_OBJECTS

BENCHMARK = Maths()
SAME_MEANING = maths.DEVICES


def numbers(item: Item) -> list[int]:
    return [int(word) for word in item.answer.split() if word.isdigit()]


def test_items_are_fixed_unique_and_counted() -> None:
    every = [item for variant in BENCHMARK.variants for item in BENCHMARK.items(variant=variant)]
    assert len({item.id for item in every}) == len(every) == 300 * 6 + 300 - 100
    assert BENCHMARK.items() == Maths().items()
    assert BENCHMARK.items() != Maths(seed=1).items()
    assert BENCHMARK.items()[117].id == "maths/original/d2/0017"
    for variant in BENCHMARK.variants:
        prompts = [item.prompt for item in BENCHMARK.items(variant=variant)]
        assert len(set(prompts)) == len(prompts)


def test_a_quarter_is_rare_from_depth_two_on() -> None:
    rare = Counter(item.depth for item in BENCHMARK.items() if item.coverage == "rare")
    assert (rare[2], rare[3]) == (25, 25)
    assert all(
        (item.coverage == "rare") == bool(maths.RARE & set(item.template.split("-"))) for item in BENCHMARK.items()
    )


def test_no_problem_of_one_split_is_in_another() -> None:
    deep = Maths(items_per_depth=20, depths=(1, 2, 3, 4, 5, 6))
    problems = {
        split: {item.problem for variant in deep.variants for item in deep.items(split, variant)}  # type: ignore[arg-type]
        for split in ("train", "validation", "test")
    }
    assert not problems["test"] & problems["train"]
    assert not problems["test"] & problems["validation"]
    assert not problems["validation"] & problems["train"]


def test_training_never_shows_a_test_problem_or_prompt() -> None:
    rng = random.Random(0)
    trained = {problem_hash(maths.draw(rng, "train", 1 + index % 5).canonical()) for index in range(20_000)}
    prompts = {sample.prompt for sample in islice(Original().samples(np.random.default_rng(0)), 20_000)}
    for variant in BENCHMARK.variants:
        for item in BENCHMARK.items(variant=variant):
            assert item.problem not in trained
            assert item.prompt not in prompts


def test_twins() -> None:
    original = BENCHMARK.items()
    for variant in SAME_MEANING:
        for item, twin in zip(original, BENCHMARK.items(variant=variant), strict=True):
            assert (item.problem, item.answer, item.template) == (twin.problem, twin.answer, twin.template)
            assert item.prompt != twin.prompt
            assert twin.id == item.id.replace("original", variant)
    for item, twin in zip(original, BENCHMARK.items(variant="renumbered"), strict=True):
        assert item.problem != twin.problem
        assert (item.template, item.coverage) == (twin.template, twin.coverage)
        assert [w for w in item.prompt.split() if not w.isdigit()] == [
            w for w in twin.prompt.split() if not w.isdigit()
        ]
    for item, twin in zip(original[100:], BENCHMARK.items(variant="novel_pair"), strict=True):
        assert (item.depth, item.coverage) == (twin.depth, twin.coverage)
        assert twin.id == item.id.replace("original", "novel_pair")


@pytest.mark.parametrize("variant", BENCHMARK.variants[1:])
@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_variants_match_the_original(variant: str, depth: int) -> None:
    benchmark = Maths(depths=(depth,))
    original, items = benchmark.items(), benchmark.items(variant=variant)
    if not items:
        assert (variant, depth) == ("novel_pair", 1)
        return
    assert Counter(i.depth for i in items) == Counter(i.depth for i in original)
    for measure in (
        lambda item: max(numbers(item)),
        lambda item: numbers(item)[-1],
        lambda item: float(np.mean(numbers(item))),
        lambda item: len(item.answer.split()),
    ):
        assert ks_2samp([measure(i) for i in original], [measure(i) for i in items]).pvalue > 0.01


def test_words_of_perturbed_items_are_trained_and_exposure_words_are_not_in_originals() -> None:
    samples = islice(Original().samples(np.random.default_rng(1)), 40_000)
    trained = {word for sample in samples if sample.skill == "maths" for word in sample.prompt.split()}
    for variant in BENCHMARK.variants:
        said = {word for item in BENCHMARK.items(variant=variant) for word in item.prompt.split()}
        assert said <= trained
        assert not said & set(EXPOSURE_OBJECTS)
        assert bool(said & set(EXPOSURE_NAMES)) == (variant == "renamed")


@hypothesis_settings(max_examples=15)
@given(st.integers(0, 2**31), st.sampled_from(BENCHMARK.variants), st.sampled_from(["train", "validation", "test"]))
def test_gold_answers_are_right_and_others_are_not(seed: int, variant: str, split: str) -> None:
    benchmark = Maths(items_per_depth=8, depths=(2, 4, 6), seed=seed)
    items = benchmark.items(split, variant)  # type: ignore[arg-type]
    for grade in benchmark.grade(items, [item.answer for item in items]):
        assert grade.verdict == "right"
        assert grade.steps_right == grade.steps_total
    wrong = [item.answer.rsplit(" ", 1)[0] + f" {(numbers(item)[-1] + 1) % 100}" for item in items]
    assert {grade.verdict for grade in benchmark.grade(items, wrong)} == {"wrong"}
    for junk in ("", "answer", "answer 5 answer", "answer five", "yes", "answer 5 ; answer 5 ;"):
        assert {grade.verdict for grade in benchmark.grade(items, [junk] * len(items))} == {"unparsed"}


def test_depth_six_and_every_depth_alone() -> None:
    assert {item.depth for item in Maths(items_per_depth=5, depths=(6,)).items()} == {6}
    assert Maths(items_per_depth=5, depths=(2, 3)).items()[5:] == Maths(items_per_depth=5, depths=(3,)).items()


@pytest.mark.parametrize(
    "settings",
    [{"items_per_depth": 0}, {"depths": ()}, {"depths": (0,)}, {"depths": (7,)}, {"depths": (2, 2)}, {"seed": -1}],
)
def test_bad_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=f"maths.{next(iter(settings))}"):
        Maths(**settings)  # type: ignore[arg-type]


def test_unknown_variants_and_splits_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'reordered'"):
        BENCHMARK.items(variant="reorderd")
    with pytest.raises(UsageError, match=r"maths\.split"):
        BENCHMARK.items("tests")  # type: ignore[arg-type]
