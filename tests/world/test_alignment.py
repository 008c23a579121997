"""The cheapest alignment against every one there is."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.world.alignment import align

LETTERS = st.lists(st.sampled_from("abc"), max_size=5)


def cheapest(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """By recursion over the ends, trying everything."""
    if not one or not other:
        return len(one) + len(other)
    found = [
        cheapest(one[1:], other[1:]) + (one[0] != other[0]),
        cheapest(one[1:], other) + 1,
        cheapest(one, other[1:]) + 1,
    ]
    if len(one) > 1 and len(other) > 1 and (one[0], one[1]) == (other[1], other[0]):
        found.append(cheapest(one[2:], other[2:]) + 1)
    return min(found)


@given(LETTERS, LETTERS)
def test_the_cost_is_the_least_and_all_places_are_taken_once(one: list[str], other: list[str]) -> None:
    moves = align(len(one), len(other), lambda w, g: one[w] == other[g])
    assert sum(move.name != "same" for move in moves) == cheapest(tuple(one), tuple(other))
    width = {"swapped": 2}
    written = [move.written + i for move in moves if move.name != "omitted" for i in range(width.get(move.name, 1))]
    gold = [move.gold + i for move in moves if move.name != "inserted" for i in range(width.get(move.name, 1))]
    assert written == list(range(len(one)))
    assert gold == list(range(len(other)))
    common = len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))))
    assert [move.name for move in moves[:common]] == ["same"] * common


@pytest.mark.parametrize(
    ("written", "gold", "names"),
    [
        ("abc", "abc", ["same", "same", "same"]),
        ("ac", "abc", ["same", "omitted", "same"]),
        ("acb", "abc", ["same", "swapped"]),
        ("ax", "abc", ["same", "substituted", "omitted"]),
        ("abxc", "abc", ["same", "same", "inserted", "same"]),
    ],
)
def test_the_first_of_equal_ones(written: str, gold: str, names: list[str]) -> None:
    assert [m.name for m in align(len(written), len(gold), lambda w, g: written[w] == gold[g])] == names
