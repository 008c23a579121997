"""Forecasts of several ways to train in; which of them is advised, how surely, and what would change that, out.

Pure functions of ``Prospect``s, which hold each way at equal learning: where it has learned the new task as well as
plain tuning has at the planned dose.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from forgetting.analysis.forecast import Forecast
from forgetting.errors import require

Wanted = Mapping[str, float]  # by skill, retention
Sureness = Literal["keeps", "likely", "may_fall_short", "falls_short", "as_usual", "cannot_tell"]
MOST_TIMES = 4.0  # samples, as a multiple of plain tuning's, beyond which a way is said not to learn as much
ALIKE = 0.05  # of retention, and of plain tuning's harm: differences below it are none
STEPS = tuple(round(0.01 * step, 2) for step in range(50, 100))  # levels at which another choice is looked for


@dataclass(frozen=True)
class Prospect:
    """What is foreseen of one way to train.

    Attributes:
        arm: its arm's name; the plain one is that with ``times`` 1 that stands first
        kept: by skill, retention at equal learning
        harm: by skill, how much more the NLL of gold answers has risen so far than in plain tuning, at equal learning,
            as a factor: 1 for plain tuning, below 1 for what harms less; infinite: the pilot has learned too little
        times: samples of the new task until as much is learned, as a multiple of plain tuning's; infinite: never
        cost: operations of the whole run, as a multiple of plain tuning's
        measured: whether the pilot has got there itself, so that nothing is foretold
        reaches: whether it can be trusted to learn as much in the end; an average of weights may stop short of it
        so_far: by skill, retention in the pilot where as much is learned as the plain pilot and it have both learned
        gone: of skills that are at or below chance at the pilot's last look, the dose from which on they are
    """

    arm: str
    kept: Mapping[str, Forecast]
    harm: Mapping[str, float]
    times: float
    cost: float
    measured: bool = False
    reaches: bool = True
    so_far: Mapping[str, float] = field(default_factory=dict)
    gone: Mapping[str, int] = field(default_factory=dict)

    @property
    def told(self) -> bool:
        """Whether every forecast is worth anything."""
        return all(one.told for one in self.kept.values())

    @property
    def learns(self) -> bool:
        """Whether it learns as much within ``MOST_TIMES`` the samples, as far as can be known."""
        return self.times <= MOST_TIMES and self.reaches

    @property
    def worst_harm(self) -> float:
        """Of the skill that suffers most."""
        return max(self.harm.values())

    def margin(self, keep: Wanted, end: Literal["value", "low", "high"] = "value") -> float:
        """How far retention lies above what is wanted, in the skill where it is worst."""
        return min(float(getattr(self.kept[skill], end)) - level for skill, level in keep.items())


@dataclass(frozen=True)
class Choice:
    """Which way is advised, and how surely.

    ``keeps``: its whole interval is above what is wanted. ``likely``: its value is. ``may_fall_short``: no value is,
    and this one leads. ``falls_short``: it leads, and no interval reaches what is wanted. ``cannot_tell``: of what
    leads nothing is told. ``as_usual``: none likely does, and of this one nothing is
    told but that whole runs of others speak for it.
    """

    arm: str
    verdict: Sureness


def choose(prospects: Sequence[Prospect], keep: Wanted, usual: str = "") -> Choice:
    """The cheapest way that surely keeps what is wanted; else the surest that likely does; else what leads so far.

    Where none of which something is told likely does, and nothing is told of the arm ``usual``, that one is taken
    before what leads, if it learns as much.

    Raises:
        UsageError: there is none that learns as much
    """
    able = [one for one in prospects if one.learns]
    require(bool(able), "pilots", "at least one that learns as much as plain tuning", [one.arm for one in prospects])
    told = [one for one in able if one.told]
    if sure := [one for one in told if one.margin(keep, "low") >= 0]:
        return Choice(min(sure, key=lambda one: (one.cost, -one.margin(keep))).arm, "keeps")
    if likely := [one for one in told if one.margin(keep) >= 0]:
        return Choice(max(likely, key=lambda one: (one.margin(keep, "low"), -one.cost)).arm, "likely")
    if any(one.arm == usual and not one.told for one in able):
        return Choice(usual, "as_usual")
    leader = ranked(able, keep)[0]
    if not leader.told:
        return Choice(leader.arm, "cannot_tell")
    might = any(one.margin(keep, "high") >= 0 for one in able)
    return Choice(leader.arm, "may_fall_short" if might else "falls_short")


def ranked(prospects: Sequence[Prospect], keep: Wanted) -> list[Prospect]:
    """The best first: what falls short by less, then what harms less so far, then what costs less.

    What lies within ``ALIKE`` of the best is as good. A way of which nothing is told counts as falling short by as much
    as the best of those that harm at least as much as it does, and by as much as the worst where it harms most; where
    nothing is told of any, harm and cost alone count. What does not learn as much comes last.
    """
    able = [one for one in prospects if one.learns]
    told = [(one.worst_harm, max(-one.margin(keep), 0.0)) for one in able if one.told]
    worst = max((by for _, by in told), default=0.0)
    short = {
        one.arm: max(-one.margin(keep), 0.0) if one.told
        else min((by for harm, by in told if harm >= one.worst_harm), default=worst)
        for one in able
    }  # fmt: skip
    harm = {one.arm: one.worst_harm for one in able}

    def apart(of: Mapping[str, float], arm: str) -> float:
        least = min(of.values())
        return least if of[arm] <= least + ALIKE else of[arm]

    first = sorted(able, key=lambda one: (apart(short, one.arm), apart(harm, one.arm), one.cost))
    return [*first, *(one for one in prospects if not one.learns)]


def halved(prospects: Sequence[Prospect], keep: Wanted) -> list[str]:
    """The arms that go on: plain tuning, which comes first, since all are held against it, and the better half."""
    plain, *others = prospects
    better = ranked(others, keep)[: math.ceil(len(others) / 2)]
    return [plain.arm, *(one.arm for one in others if one in better)]


def flips(prospects: Sequence[Prospect], keep: Wanted, usual: str = "") -> list[tuple[str, float, str]]:
    """For each skill the nearest lower and the nearest higher wanted retention at which another arm is advised."""
    now, found = choose(prospects, keep, usual), list[tuple[str, float, str]]()
    for skill, level in keep.items():
        for levels in (sorted((s for s in STEPS if s < level), reverse=True), [s for s in STEPS if s > level]):
            others = ((other, choose(prospects, {**keep, skill: other}, usual)) for other in levels)
            changed = next(((other, choice) for other, choice in others if choice.arm != now.arm), None)
            if changed is not None:
                found.append((skill, changed[0], changed[1].arm))
    return found
