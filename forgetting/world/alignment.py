"""Two short sequences in, what was done to turn the second into the first out: a cheapest alignment, move by move."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

MoveName = Literal["same", "substituted", "swapped", "omitted", "inserted"]


class Move(NamedTuple):
    """One move of an alignment, and the places that it begins at; a swap takes two places of each."""

    name: MoveName
    written: int
    gold: int


def align(written: int, gold: int, same: Callable[[int, int], bool]) -> list[Move]:
    """The cheapest alignment of ``written`` steps with ``gold`` ones: optimal string alignment, exact.

    A substitution, an omission, an insertion and a swap of two neighbours cost 1. Of alignments of equal cost, the one
    that from the left has first a pair that is the same, else the first of the above in the order of ``MoveName``.

    Args:
        written: how many steps were written
        gold: how many gold steps there are
        same: whether a written step does what a gold step does, by their places
    """
    alike = [[same(w, g) for g in range(gold)] for w in range(written)]
    cost = [[0] * (gold + 1) for _ in range(written + 1)]  # of what follows, from the two places on

    def moves(w: int, g: int) -> list[tuple[int, Move, int, int]]:
        """What can be done at two places: the whole cost from there, the move, where it leads."""
        found: list[tuple[int, Move, int, int]] = []
        if w < written and g < gold:
            name: MoveName = "same" if alike[w][g] else "substituted"
            found.append((cost[w + 1][g + 1] + (name != "same"), Move(name, w, g), w + 1, g + 1))
        if w + 1 < written and g + 1 < gold and alike[w][g + 1] and alike[w + 1][g]:
            found.append((cost[w + 2][g + 2] + 1, Move("swapped", w, g), w + 2, g + 2))
        if g < gold:
            found.append((cost[w][g + 1] + 1, Move("omitted", w, g), w, g + 1))
        if w < written:
            found.append((cost[w + 1][g] + 1, Move("inserted", w, g), w + 1, g))
        return found

    for w in range(written, -1, -1):
        for g in range(gold, -1, -1):
            cost[w][g] = min((total for total, *_ in moves(w, g)), default=0)
    done: list[Move] = []
    w = g = 0
    while w < written or g < gold:
        _, move, w, g = min(moves(w, g), key=lambda found: found[0])  # the first of equal ones
        done.append(move)
    return done
