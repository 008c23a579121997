"""Families of reasoning-gym where it is installed: oracle, disjoint splits, grades; and the message where it is not."""

from __future__ import annotations

import importlib.util

import pytest

from forgetting import registry
from forgetting.benchmarks.reasoning_gym import ReasoningGym
from forgetting.errors import UsageError
from forgetting.natural.grading.puzzles import score

needed = pytest.mark.skipif(
    importlib.util.find_spec("reasoning_gym") is None, reason="needs reasoning-gym: pip install 'forgetting[gym]'"
)


@needed
@pytest.mark.parametrize("dataset", ["chain_sum", "leg_counting", "knights_knaves", "countdown", "word_sorting"])
def test_the_verifier_is_right_about_its_own_answers(dataset: str) -> None:
    part = ReasoningGym(dataset=dataset, item_count=12)
    items = part.items()
    assert len(items) == 12 and items == ReasoningGym(dataset=dataset, item_count=12).items()
    answers = [i.answer for i in items]
    assert {g.verdict for g in part.grade(items, answers)} == {"right"}
    tagged = [f"Let me think: 7.\n<answer>{a.strip()}</answer> That is it." for a in answers]
    assert {g.verdict for g in part.grade(items, tagged)} == {"right"}
    assert {g.verdict for g in part.grade(items, ["no idea at all"] * 12)} == {"wrong"}
    assert {g.verdict for g in part.grade(items, [""] * 12)} == {"unparsed"}


@needed
def test_splits_are_disjoint_and_options_count() -> None:
    part = ReasoningGym(item_count=40, options=("min_terms=2", "max_terms=2", "max_digits=1"))
    found = {split: {i.problem for i in part.items(split)} for split in ("train", "validation", "test")}  # type: ignore[arg-type]
    assert not found["train"] & (found["validation"] | found["test"]) and not found["validation"] & found["test"]
    assert all(i.prompt.count(" + ") + i.prompt.count(" - ") == 1 for i in part.items())
    assert part.items() != ReasoningGym(item_count=40, options=part.options, seed=1).items()


@pytest.mark.slow
@needed
def test_an_answer_that_means_harm_is_not_right() -> None:
    part = ReasoningGym(dataset="countdown", item_count=1)
    items = part.items()
    for answer in ("__import__('os').getpid()", "9**9**9**9**9", "(" * 5000):
        assert part.grade(items, [answer])[0].verdict == "wrong"
    assert part.grade(items, [items[0].answer])[0].verdict == "right"
    assert score("chain_sum", "{}", 1, 0, "-4") == 1.0


@needed
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"dataset": "chain_sums"}, r"reasoning_gym\.dataset: unknown name 'chain_sums'; did you mean 'chain_sum'"),
        ({"options": ("terms=3",)}, r"reasoning_gym\.options: chain_sum refuses \['terms=3'\]"),
        ({"options": ("min_terms=0",)}, r"reasoning_gym\.options: chain_sum refuses \['min_terms=0'\]: min_terms must"),
    ],
)
def test_what_the_family_refuses(settings: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=f"^{message}"):
        ReasoningGym(**settings).items()  # type: ignore[arg-type]


def test_bad_settings_are_found_before_the_package_is_needed() -> None:
    for settings in ({"item_count": 0}, {"options": ["max_terms"]}, {"options": ["=3"]}, {"seed": -1}, {"dataset": ""}):
        with pytest.raises(UsageError, match=r"^benchmarks\."):
            registry.build("benchmarks", {"name": "reasoning_gym", **settings})


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^reasoning-gym: is not installed; pip install 'forgetting\[gym\]'$"):
        ReasoningGym(item_count=3).items()
