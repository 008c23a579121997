"""The code benchmark: splits, twins, match of its variants, grading by running."""

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

from forgetting.benchmarks.code import Code
from forgetting.contamination.original import Original
from forgetting.contracts import Item
from forgetting.errors import UsageError
from forgetting.world import code, dialects
from forgetting.world.splits import problem_hash
from forgetting.world.vocabulary import EXPOSURE_FUNCTIONS, EXPOSURE_VARIABLES, words

BENCHMARK = Code()


def numbers(item: Item) -> list[int]:
    return [int(word) for word in item.answer.split() if word.isdigit()]


def grade(prompt: str, answer: str, check: tuple[tuple[object, object], ...]) -> tuple[str, str]:
    item = Item("i", prompt, "return x + 1", "code", 1, "add", "original", "p", check=check)
    (found,) = BENCHMARK.grade([item], [answer])
    return found.verdict, found.kind


def test_items_are_fixed_unique_and_counted() -> None:
    every = [item for variant in BENCHMARK.variants for item in BENCHMARK.items(variant=variant)]
    assert len({item.id for item in every}) == len(every)
    assert len(BENCHMARK.items()) == 300
    assert BENCHMARK.items() == Code().items()
    assert BENCHMARK.items() != Code(seed=1).items()
    prompts = {item.prompt for item in BENCHMARK.items()}
    assert len(prompts) == 300
    assert all(len(item.check) == 6 for item in every)


def test_a_quarter_is_rare() -> None:
    rare = Counter(item.depth for item in BENCHMARK.items() if item.coverage == "rare")
    assert rare == {1: 25, 2: 25, 3: 25}


def test_no_problem_of_one_split_is_in_another_and_none_is_trained() -> None:
    problems = {
        split: {item.problem for variant in BENCHMARK.variants for item in BENCHMARK.items(split, variant)}  # type: ignore[arg-type]
        for split in ("train", "validation", "test")
    }
    assert not problems["test"] & problems["train"]
    assert not problems["test"] & problems["validation"]
    rng = random.Random(0)
    trained = {problem_hash(code.draw(rng, "train").canonical()) for _ in range(20_000)}
    assert not trained & (problems["test"] | problems["validation"])


def test_twins() -> None:
    original = BENCHMARK.items()
    for variant in code.DEVICES:
        for item, twin in zip(original, BENCHMARK.items(variant=variant), strict=True):
            assert (item.problem, item.template, item.check) == (twin.problem, twin.template, twin.check)
            assert item.prompt != twin.prompt
            assert (item.answer == twin.answer) == (variant != "renamed")
    by_id = {item.id: item for item in original}
    renumbered = BENCHMARK.items(variant="renumbered")
    assert len(renumbered) > 250
    for twin in renumbered:
        item = by_id[twin.id.replace("renumbered", "original")]
        assert item.template == twin.template
        assert item.problem != twin.problem
    left_out = set(by_id) - {twin.id.replace("renumbered", "original") for twin in renumbered}
    assert not any(code.OPERATIONS[n].takes_constant for i in left_out for n in by_id[i].template.split("-"))


@pytest.mark.parametrize("variant", BENCHMARK.variants[1:])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_variants_match_the_original(variant: str, depth: int) -> None:
    benchmark = Code(depths=(depth,))
    original, items = benchmark.items(), benchmark.items(variant=variant)
    for measure in (lambda i: max(numbers(i), default=0), lambda i: sum(numbers(i)), lambda i: len(i.answer.split())):
        assert ks_2samp([measure(i) for i in original], [measure(i) for i in items]).pvalue > 0.01


def test_words_of_perturbed_items_are_trained_and_exposure_words_are_not_in_originals() -> None:
    samples = islice(Original().samples(np.random.default_rng(1)), 40_000)
    trained = {w for s in samples if s.skill == "code" for w in f"{s.prompt} {s.answer}".split()}
    for variant in BENCHMARK.variants:
        said = {word for item in BENCHMARK.items(variant=variant) for word in f"{item.prompt} {item.answer}".split()}
        assert said <= trained
        assert not said & set(EXPOSURE_FUNCTIONS)
        assert bool(said & set(EXPOSURE_VARIABLES)) == (variant == "renamed")


@hypothesis_settings(max_examples=15)
@given(st.integers(0, 2**31), st.sampled_from(BENCHMARK.variants), st.sampled_from(["train", "validation", "test"]))
def test_gold_programs_are_right_and_others_are_not(seed: int, variant: str, split: str) -> None:
    benchmark = Code(items_per_depth=8, seed=seed)
    items = benchmark.items(split, variant)  # type: ignore[arg-type]
    for found in benchmark.grade(items, [item.answer for item in items]):
        assert (found.verdict, found.kind) == ("right", "")
        assert found.steps_right == found.steps_total
    for lazy in ("return x", "return 1", "return [ ]", "return 0 == 0", "x = 1"):
        assert {found.verdict for found in benchmark.grade(items, [lazy] * len(items))} == {"wrong"}
    for junk in ("", "return", "yes", "<nl>", "answer 5"):
        assert "right" not in {found.verdict for found in benchmark.grade(items, [junk] * len(items))}


@pytest.mark.parametrize(
    ("answer", "verdict", "kind"),
    [
        ("return x + 1", "right", ""),
        ("x = x + 2 <nl> return x - 1", "right", ""),
        ("return x + 2", "wrong", "wrong_output"),
        ("return x == x", "wrong", "wrong_output"),
        ("return x [ 0 ]", "wrong", "runtime_error"),
        ("return x + + +", "unparsed", "syntax_error"),
        ("return x . real + 1", "unparsed", "syntax_error"),
        (
            "y = [ 1 ] <nl> " + "y = y + y <nl> " * 9 + "return [ sum ( sorted ( y ) ) for v in y ]",
            "wrong",
            "step_limit",
        ),
    ],
)
def test_verdicts(answer: str, verdict: str, kind: str) -> None:
    assert grade("write : add 1 . def f ( x ) :", answer, ((0, 1), (1, 2), (5, 6))) == (verdict, kind)


def test_one_and_true_are_not_the_same() -> None:
    assert grade("def f ( x ) :", "return x > 0", ((5, 1),)) == ("wrong", "wrong_output")
    assert grade("def f ( x ) :", "return [ v > 0 for v in x ]", (((5,), (1,)),)) == ("wrong", "wrong_output")


@pytest.mark.parametrize("dialect", dialects.DIALECTS)
def test_right_in_a_dialect(dialect: str) -> None:
    items = BENCHMARK.items()[::3]
    grades = BENCHMARK.grade(items, [dialects.to_dialect(item.answer, dialect) for item in items])
    assert {(found.verdict, found.kind) for found in grades} == {("right_in_dialect", dialect)}
    others = [*items[1:], items[0]]
    grades = BENCHMARK.grade(items, [dialects.to_dialect(item.answer, dialect) for item in others])
    wrong = [found for item, other, found in zip(items, others, grades, strict=True) if item.problem != other.problem]
    assert {found.verdict for found in wrong} <= {"wrong", "unparsed"}


def test_statements_are_steps() -> None:
    item = next(item for item in BENCHMARK.items() if item.depth == 3)
    first, _, third = item.answer.split(" <nl> ")
    (found,) = BENCHMARK.grade([item], [f"{first} <nl> x = x <nl> {third}"])
    assert (found.steps_right, found.steps_total) == (2, 3)


@given(st.integers(0, 2**32))
def test_no_answer_of_the_world_stops_the_grader(seed: int) -> None:
    rng = random.Random(seed)
    items = BENCHMARK.items()[:5]
    answers = [" ".join(rng.choices(words(), k=rng.randrange(30))) for _ in items]
    assert all(found.verdict != "right" for found in BENCHMARK.grade(items, answers))


@pytest.mark.parametrize(
    "settings",
    [{"items_per_depth": 0}, {"depths": ()}, {"depths": (4,)}, {"depths": (1, 1)}, {"seed": -1}],
)
def test_bad_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=f"code.{next(iter(settings))}"):
        Code(**settings)  # type: ignore[arg-type]


def test_unknown_variants_are_refused() -> None:
    with pytest.raises(UsageError, match="did you mean 'functional'"):
        BENCHMARK.items(variant="functonal")
