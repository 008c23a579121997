"""Tasks by keyword and by description: every item solved anew from its text, and who wins a conflict."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from forgetting.benchmarks.described import ASIDES, CONFLICTS, GLOSSED, Described
from forgetting.contracts import Item
from forgetting.world.interpreter import Tests, is_same
from tests.world.test_code import ASIDE, read

SMALL = Described(items_per_depth=30)
GLOSS = re.compile(r"(?<=[:,] )([^,(:]+) \( ([^)]*) \)")
ERRAND = r"\w+ has \d+ \w+ to ([^.]*) \."


def passes(prompt: str, tests: Tests) -> bool:
    """Whether what the independent reader of tests/world/test_code.py makes of a prompt gives what the tests want."""
    steps: list[tuple[Callable[[Any, int], Any], int]] = read(prompt)
    for argument, wanted in tests:
        value = list(argument) if isinstance(argument, tuple) else argument
        try:
            for do, constant in steps:
                value = do(value, constant)
        except (IndexError, ValueError):
            return False
        if not is_same(value, wanted):
            return False
    return True


def both_sides(item: Item) -> tuple[str, str]:
    """The prompt with what stands before the parentheses alone, and with what stands in them alone."""
    text, header = item.prompt.split(" def ", 1)
    first, second = (GLOSS.sub(rf"\{number}", text) for number in (1, 2))
    return f"{first} def {header}", f"{second} def {header}"


@pytest.mark.parametrize("variant", Described.variants)
def test_every_item_asks_what_its_tests_want(variant: str) -> None:
    items = SMALL.items(variant=variant)
    assert len(items) >= 65 or variant == "renumbered"
    for item in items:
        if variant in GLOSSED:
            assert all(passes(side, item.check) for side in both_sides(item))
        elif variant in CONFLICTS:
            keyword, description = both_sides(item)[:: -1 if variant == "conflict_turned" else 1]
            assert passes(keyword, item.check[0]) and passes(description, item.check[1])
            assert not passes(keyword, item.check[1]) and not passes(description, item.check[0])
        elif variant in ASIDES:
            without = re.sub(ERRAND, "", item.prompt)
            assert len(without) < len(item.prompt) and passes(without, item.check)
        else:
            assert not re.search(ASIDE, item.prompt) and passes(item.prompt, item.check)


def test_conflicts_are_the_same_in_both_orders() -> None:
    plain, turned = (SMALL.items(variant=variant) for variant in CONFLICTS)
    assert [item.check for item in plain] == [item.check for item in turned]
    assert [both_sides(item) for item in plain] == [both_sides(item)[::-1] for item in turned]


def test_who_wins_a_conflict() -> None:
    check = (((10, 15), (20, 25)), ((10, 5), (20, 15)))
    item = Item(
        "i", "write : add 5 ( 5 less ) . def f ( x ) :", "return x + 5", "code", 1, "add", "conflict", "p", check=check
    )
    grades = SMALL.grade([item] * 4, ["return x + 5", "return x - 5", "return x * 2", "return x +"])
    assert [(grade.verdict, grade.kind) for grade in grades] == [
        ("right", ""), ("wrong", "description"), ("wrong", "wrong_output"), ("unparsed", "syntax_error"),
    ]  # fmt: skip


def test_asides_differ_in_the_keyword_alone() -> None:
    own, other = (SMALL.items(variant=variant) for variant in ASIDES)
    told = {item.id.split("/", 2)[2]: item.prompt for item in SMALL.items()}
    for one, two in zip(own, other, strict=True):
        errands = [re.search(ERRAND, item.prompt)[1] for item in (one, two)]  # type: ignore[index]
        assert one.prompt.replace(f" to {errands[0]} .", f" to {errands[1]} .") == two.prompt
        phrases = re.split(r" , | \.|: ", told[one.id.split("/", 2)[2]])
        assert errands[0] in phrases and errands[1] not in phrases
