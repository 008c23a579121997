"""Word problems asked for the answer alone: twins of those in steps, solved anew; answers in the other mode."""

from __future__ import annotations

import random

import pytest

from forgetting.benchmarks.direct import Direct
from forgetting.benchmarks.maths import Maths
from forgetting.contracts import Failure, Grade, Item
from forgetting.errors import UsageError
from forgetting.world import maths
from forgetting.world.splits import SPLITS
from tests.world.test_maths import solve

SMALL, IN_STEPS = Direct(items_per_depth=30), Maths(items_per_depth=30)
ITEM = Item(
    "i", "eva has 12 pens , gets 5 , loses 3 . how many pens ? last", "answer 14", "maths", 2, "add-sub", "original",
    "p", check=("12 + 5 = 17 ; 17 - 3 = 14 ; answer 14",),
)  # fmt: skip


@pytest.mark.parametrize("variant", Direct.variants)
def test_items_are_those_in_steps_with_the_mode_word(variant: str) -> None:
    for split in SPLITS:
        items, twins = SMALL.items(split, variant), IN_STEPS.items(split, variant)
        assert len(items) == len(twins) > 0
        for item, twin in zip(items, twins, strict=True):
            assert item.prompt == f"{twin.prompt} {maths.DIRECT}"
            assert item.answer == f"answer {solve(twin.prompt)}" and item.check == (twin.answer,)
            assert (item.problem, item.depth, item.coverage) == (twin.problem, twin.depth, twin.coverage)
            assert item.id == twin.id.replace("maths/", "direct/")


def test_no_prompt_of_training_is_asked() -> None:
    """Not even where all of training is in direct mode."""
    rng = random.Random(2)
    trained = {maths.sample(rng, 1 + index % 5, 1.0).prompt for index in range(10_000)}
    assert all(prompt.endswith(f" {maths.DIRECT}") for prompt in trained)
    assert not trained & {item.prompt for variant in Direct.variants for item in SMALL.items(variant=variant)}


@pytest.mark.parametrize(
    ("answer", "grade", "failure"),
    [
        ("answer 14", Grade("right"), Failure()),
        ("answer 13", Grade("wrong", "number"), Failure("undecided")),
        (
            "12 + 5 = 17 ; 17 - 3 = 14 ; answer 14",
            Grade("right", "", 2, 2),
            Failure("right_by_wrong_steps", "malformed"),
        ),
        ("12 + 5 = 18 ; 18 - 3 = 15 ; answer 15", Grade("wrong", "arithmetic", 1, 2), Failure("malformed", "steps")),
        ("hello ; answer 14", Grade("right", "", 0, 2), Failure("right_by_wrong_steps", "intrusion")),
        ("+ ; answer 13", Grade("wrong", "malformed", 0, 2), Failure("malformed", "step")),
        ("answer", Grade("unparsed", "malformed", 0, 2), Failure("malformed", "no_answer")),
        ("hi eva", Grade("unparsed", "malformed", 0, 2), Failure("intrusion", place=0)),
        ("", Grade("unparsed", "malformed", 0, 2), Failure("empty")),
    ],
)
def test_what_is_right_and_in_which_mode(answer: str, grade: Grade, failure: Failure) -> None:
    (found,) = SMALL.grade([ITEM], [answer])
    assert found == grade
    assert SMALL.failure(ITEM, answer, found, ended=True) == failure


def test_an_answer_that_was_cut_is_no_mode() -> None:
    assert SMALL.failure(ITEM, "12 + 5", Grade("unparsed"), ended=False) == Failure("truncated")


@pytest.mark.parametrize("settings", [{"items_per_depth": 0}, {"depths": (7,)}, {"seed": -1}])
def test_bad_settings_are_refused(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match=rf"^direct\.{next(iter(settings))}: must be"):
        Direct(**settings)  # type: ignore[arg-type]
