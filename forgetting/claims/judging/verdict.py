"""The verdict on a claim as a value: what was found, on what, against which rivals, and what is missing."""

from __future__ import annotations

import enum
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd

from forgetting.claims.judging.decision import ClaimPart, Counts, untestable
from forgetting.claims.judging.rules import ClaimRule

RivalState = tuple[str, str]  # the state, and the evidence in words


class VerdictStatus(enum.Enum):
    """What may be said of a claim. The name is stored; the text is the remedy."""

    supported = "Nothing to remedy."
    contradicted = "Nothing to remedy; look at the parts for what stands against the claim."
    inconclusive = "Add seeds and items for a narrower interval, and the arms that a part or a rival asks for."
    not_testable = "Measure what is missing; experiments/ and sweeps/ hold specs with the arms that each claim takes."

    @property
    def title(self) -> str:
        """In words, as the protocol has them."""
        return "not testable at these sizes" if self is VerdictStatus.not_testable else self.name


@dataclass(frozen=True)
class Rival:
    """Another explanation and its state: ``excluded``, ``explains`` (the effect as well), or ``open`` (untested)."""

    name: str
    text: str
    state: str
    evidence: str
    blocks: bool


@dataclass(frozen=True, eq=False)
class Finding:
    """What one study says of one claim, before Holm's correction."""

    parts: tuple[ClaimPart, ...]
    rivals: tuple[Rival, ...]
    conditions: str  # contamination, skill, dose, rate
    missing: tuple[str, ...] = ()  # needs of a published verdict that are not met
    notes: tuple[str, ...] = ()
    measured: bool = True  # whether the contamination was, at all
    zones: pd.DataFrame | None = None  # probability of each zone by capacity

    @classmethod
    def nothing(cls, rule: ClaimRule, why: str, conditions: str, *, measured: bool = False) -> Finding:
        """No part is testable, for one reason."""
        parts = tuple(untestable(name, part, why) for name, part in rule.parts.items())
        return cls(parts, (), conditions, measured=measured)


@dataclass(frozen=True, eq=False)
class ClaimVerdict:
    """One claim judged. ``p`` is Holm's; effect, interval and n of each statistic are in ``parts``.

    ``exploratory`` says that ``missing`` lists something that a published verdict takes.
    """

    claim: str
    title: str
    paper: str
    verdict: str  # the name of a VerdictStatus
    exploratory: bool
    reason: str
    study: str
    conditions: str
    sizes: int
    seeds: int
    items: int
    p: float
    parts: tuple[ClaimPart, ...]
    rivals: tuple[Rival, ...]
    missing: tuple[str, ...]
    notes: tuple[str, ...]
    rules_version: int
    source: str
    zones: pd.DataFrame | None = field(default=None, repr=False)

    @property
    def status(self) -> VerdictStatus:
        """The verdict as an enumeration."""
        return VerdictStatus[self.verdict]

    @property
    def remedy(self) -> str:
        """What to do about the verdict."""
        return self.status.value

    @property
    def primary(self) -> ClaimPart:
        """The part that decided: the first that opposes, else the first that was tested, else the first."""
        for outcome in ("opposes", "supports", "open"):
            for part in self.parts:
                if part.outcome == outcome:
                    return part
        return self.parts[0]

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON: what is not finite becomes None."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "zones"}
        values |= {"parts": [asdict(p) for p in self.parts], "rivals": [asdict(r) for r in self.rivals]}
        values["zones"] = None if self.zones is None else self.zones.to_dict("records")
        return {**_plain(values), "remedy": self.remedy}

    def __str__(self) -> str:
        mark = " (exploratory)" if self.exploratory and self.verdict != VerdictStatus.not_testable.name else ""
        return f"{self.claim}: {self.status.title}{mark}"


def rivals(rule: ClaimRule, states: Mapping[str, Callable[[], RivalState]]) -> tuple[Rival, ...]:
    """The rivals of a rule, each with the state that is found by the function of its name."""
    return tuple(Rival(name, r.text, *states[name](), r.blocks) for name, r in rule.rivals.items())


def missing_needs(rule: ClaimRule, n: Counts, fresh: bool, control: bool) -> tuple[str, ...]:
    """What a published verdict needs and this one lacks, each in words."""
    needs, found = rule.needs, list[str]()
    for name, word in (("sizes", "sizes"), ("seeds", "seeds"), ("items", "items per cell")):
        have, want = getattr(n, name), getattr(needs, name)
        found += [f"{word}: {have} of {want}"] if 0 < have < want else []
    found += ["fresh students: seeds share one student a size"] if needs.fresh_students and not fresh else []
    found += ["control: no arm 'original' at the same shift, rate and dose"] if needs.control and not control else []
    return tuple(found)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value.item() if hasattr(value, "item") else value
