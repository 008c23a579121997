"""Wordings of an adversary: the same problems, every candidate solved anew from its text."""

from __future__ import annotations

import pytest

from forgetting.benchmarks.attacked import PAIRS, RENUMBERED, TRIPLES, WORDS, Attacked
from forgetting.benchmarks.maths import Maths
from forgetting.errors import UsageError
from tests.world.test_maths import devices, solve

SMALL = Attacked(items_per_depth=30)


@pytest.mark.parametrize("variant", Attacked.variants)
def test_every_candidate_has_the_answer_that_its_text_has(variant: str) -> None:
    items, plain = SMALL.items(variant=variant), SMALL.items()
    assert [solve(item.prompt) for item in items] == [int(item.answer.rsplit(maxsplit=1)[-1]) for item in items]
    same = [(i.answer, i.problem) == (j.answer, j.problem) for i, j in zip(items, plain, strict=True)]
    assert not any(same) if variant in RENUMBERED else all(same)
    assert [item.template for item in items] == [item.template for item in plain]
    assert len({item.id for item in items}) == len(items)


def test_the_originals_are_those_of_maths() -> None:
    ours, theirs = SMALL.items(), Maths(items_per_depth=30).items()
    assert [item.prompt for item in ours] == [item.prompt for item in theirs]


@pytest.mark.parametrize("variant", [*PAIRS, *TRIPLES, "renamed", "rephrased"])
def test_candidates_have_their_devices_and_no_others(variant: str) -> None:
    found = [devices(item.prompt) for item in SMALL.items(variant=variant)]
    assert sum(own == set(variant.split("-")) for own in found) >= 0.9 * len(
        found
    )  # a depth of 1 may show no rephrasing


@pytest.mark.parametrize("variant", WORDS)
def test_other_words_are_ordinary_ones(variant: str) -> None:
    for item, plain in zip(SMALL.items(variant=variant), SMALL.items(), strict=True):
        assert item.prompt != plain.prompt and not devices(item.prompt)
        assert len(item.prompt.split()) == len(plain.prompt.split())


def test_mistakes() -> None:
    with pytest.raises(UsageError, match=r"^attacked\.variant: unknown name 'renamd'; did you mean 'renamed'"):
        SMALL.items(variant="renamd")
