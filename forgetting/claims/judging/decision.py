"""From a drawn statistic to a decision: the test of one part against its margin, and a claim from its parts.

One rule for every part. Its interval (95%, from the paired hierarchical bootstrap, widened for few seeds) lies wholly
on the claim's side of the margin: it supports. Wholly on the other side: it opposes. Else it is open. ``within`` is
TOST: the 90% interval inside the margin supports, outside it opposes. A claim is supported if every part supports, and
contradicted if any part opposes; its p (two-sided, that the effect is at the margin) is the largest over its parts if
all support, and Bonferroni's over its parts if one opposes. Holm's correction is over the claims that were judged.

The bootstrap of S seeds is too narrow by sqrt(S/(S-1)) and knows no Student's t: draws are widened about the estimate
by sqrt(S/(S-1)) · t(.975, S-1) / 1.96, which is 1.58 at 5 seeds and 2.69 at 3. This widens the items' share as well,
so that it errs to the careful side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from forgetting.analysis import statistics
from forgetting.analysis.metrics import Z_95, Floats
from forgetting.claims.judging.rules import PartRule

SUPPORTS, OPPOSES, OPEN, UNTESTABLE = "supports", "opposes", "open", "not testable"


@dataclass(frozen=True)
class SizeEffect:
    """The effect at one size, with its 95% interval; NaN bounds where there are too few seeds for one."""

    student: str
    capacity: int
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClaimPart:
    """One statistic of a claim with its interval, its two-sided p against the margin, and what it says of the claim.

    ``p`` is NaN for a part that is decided by its own rule (a shape) or not testable; ``note`` then says why.
    """

    name: str
    statistic: str
    direction: str
    margin: float
    outcome: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    sizes: int = 0
    seeds: int = 0
    items: int = 0
    note: str = ""
    by_size: tuple[SizeEffect, ...] = ()


@dataclass(frozen=True)
class Counts:
    """What a statistic rests on: sizes, the fewest seeds of a size, the fewest items of a cell."""

    sizes: int
    seeds: int
    items: int


def widened(drawn: Floats, seeds: int) -> Floats:
    """The draws moved away from the estimate (the first entry) by the factor for few seeds; NaN with one seed."""
    factor = math.sqrt(seeds / (seeds - 1)) * float(stats.t.ppf(0.975, seeds - 1)) / Z_95 if seeds > 1 else math.nan
    return np.concatenate([drawn[:1], drawn[0] + factor * (drawn[1:] - drawn[0])])


def interval(drawn: Floats, seeds: int, items: int) -> tuple[float, float]:
    """The 95% interval of a drawn statistic.

    Draws that are all alike know nothing of items that were not asked: there it reaches z²/(n + z²) to either side,
    the upper Wilson bound of 0 in n items.
    """
    wide = widened(drawn, seeds)[1:]
    wide = wide[np.isfinite(wide)]
    if wide.size == 0:
        return math.nan, math.nan
    low, high = map(float, np.quantile(wide, (statistics.TAIL, 1 - statistics.TAIL)))
    if high - low < statistics.SAME:
        unseen = Z_95**2 / (items + Z_95**2)
        return float(drawn[0]) - unseen, float(drawn[0]) + unseen
    return low, high


def decide(name: str, rule: PartRule, by_size: Mapping[tuple[str, int], Floats], drawn: Floats, n: Counts) -> ClaimPart:
    """Test a drawn statistic against its margin. ``by_size``: (student, capacity) to its own drawn effect."""
    if not math.isfinite(drawn[0]) or n.seeds < 2:
        return untestable(name, rule, "one seed says nothing of the spread between runs" if n.seeds < 2 else "no value")
    if rule.direction == "within":
        outcome, low, high, p = _within(rule, drawn, n)
    else:
        outcome, low, high, p = _beyond(rule, drawn, n)
    effects = tuple(
        SizeEffect(student, capacity, float(own[0]), *interval(own, n.seeds, n.items))
        for (student, capacity), own in by_size.items()
    )
    value = float(drawn[0])
    head = (name, rule.statistic, rule.direction, rule.margin, outcome, value, low, high, p)
    return ClaimPart(*head, n.sizes, n.seeds, n.items, by_size=effects)


def untestable(name: str, rule: PartRule, why: str) -> ClaimPart:
    """A part without a number, and why."""
    return ClaimPart(name, rule.statistic, rule.direction, rule.margin, UNTESTABLE, note=why)


def _beyond(rule: PartRule, drawn: Floats, n: Counts) -> tuple[str, float, float, float]:
    low, high = interval(drawn, n.seeds, n.items)
    wide = widened(drawn, n.seeds)[1:]
    wide = wide[np.isfinite(wide)]
    tail = min(int((wide <= rule.margin).sum()), int((wide >= rule.margin).sum()))
    p = min(1.0, 2 * (1 + tail) / (1 + wide.size))
    above, below = low > rule.margin, high < rule.margin
    if not (above or below):
        return OPEN, low, high, max(p, 2 * statistics.TAIL)
    return SUPPORTS if above == (rule.direction == "above") else OPPOSES, low, high, p


def _within(rule: PartRule, drawn: Floats, n: Counts) -> tuple[str, float, float, float]:
    wide = widened(drawn, n.seeds)[1:]
    found = statistics.equivalence(float(drawn[0]), wide, n.items, rule.margin)
    if found.equivalent:
        return SUPPORTS, found.low, found.high, found.p
    if found.low > rule.margin or found.high < -rule.margin:
        inside = int((np.abs(wide) <= rule.margin).sum())
        return OPPOSES, found.low, found.high, min(1.0, 2 * (1 + inside) / (1 + wide.size))
    return OPEN, found.low, found.high, found.p


def combine(parts: Sequence[ClaimPart]) -> tuple[str, float]:
    """What a claim's parts say together, and the p that enters Holm's correction; NaN where none has one."""
    tested = [part for part in parts if math.isfinite(part.p)]
    if all(part.outcome == UNTESTABLE for part in parts):
        return UNTESTABLE, math.nan
    against = [part for part in parts if part.outcome == OPPOSES]
    if against:
        known = [part.p for part in against if math.isfinite(part.p)]
        return OPPOSES, min(1.0, min(known) * len(tested)) if len(known) == len(against) else math.nan
    if all(part.outcome == SUPPORTS for part in parts):
        return SUPPORTS, max((part.p for part in tested), default=math.nan)
    return OPEN, 1.0 if tested else math.nan
