"""Wholes and parts: every item solved anew from its text, pairs that training shows and never shows."""

from __future__ import annotations

import re

import pytest

from forgetting.benchmarks.composition import Composition
from forgetting.world.maths import has_novel_pair
from tests.world.test_maths import solve

SMALL = Composition(item_count=40)
IN_WORDS = {r"x = x \+ (\d+)": r"finds \1", r"x = x - (\d+)": r"loses \1", r"x = x \* 2": "doubles them"}


def in_words(prompt: str) -> str:
    for line, words in IN_WORDS.items():
        prompt = re.sub(line, words, prompt)
    return prompt


@pytest.mark.parametrize("variant", Composition.variants)
def test_every_item_has_the_answer_that_its_text_has(variant: str) -> None:
    for item in SMALL.items(variant=variant):
        assert solve(in_words(item.prompt)) == int(item.answer.rsplit(maxsplit=1)[-1])
        assert ("x = x" in item.prompt) == (variant == "crossed")
        operations = tuple(item.template.split("-"))
        assert len(operations) == (1 if "first" in variant or "second" in variant else 2)
        assert has_novel_pair(operations) == (variant == "novel_pair")


@pytest.mark.parametrize("kind", ["", "novel_"])
def test_parts_are_of_the_operations_and_near_the_numbers_of_their_whole(kind: str) -> None:
    wholes, first, second = (SMALL.items(variant=name) for name in ("novel_pair" if kind else "original",
                                                                    f"{kind}first", f"{kind}second"))  # fmt: skip
    apart = []
    for whole, *parts in zip(wholes, first, second, strict=True):
        assert whole.template.split("-") == [part.template for part in parts]
        steps = whole.answer.split(" ; ")
        apart += [abs(int(p.answer.split()[0]) - int(s.split()[0])) for p, s in zip(parts, steps, strict=False)]
    assert sum(apart) / len(apart) < 4
