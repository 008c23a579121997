"""When a run is ended early: the score rows of its looks in, the dose of the look at which it stops out.

A run is hopeless for a skill at a level when the upper bound of retention lay below it at several looks in a row.
Each look has its share of ``alpha`` (Bonferroni over the planned looks), so a run whose retention is at the level all
along is stopped with a probability of at most ``alpha``, however its looks depend on each other. A run that serves
several skills or levels stops only where it is hopeless for all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scipy.special import ndtri

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import retention_variance


@dataclass(frozen=True)
class Watched:
    """A skill (a benchmark, at one depth or over all) and the level of retention below which nothing more is asked."""

    benchmark: str
    depth: int | None
    level: float


@dataclass(frozen=True)
class Rule:
    """Ends a run at the ``looks``-th look in a row below the levels of all that is watched."""

    alpha: float
    looks: int
    watched: tuple[Watched, ...]

    def to_plain(self) -> dict[str, Any]:
        """Plain values, which a task can carry."""
        return asdict(self)

    @classmethod
    def of(cls, plain: Mapping[str, Any]) -> Rule:
        """The rule that ``to_plain`` made plain."""
        return cls(plain["alpha"], plain["looks"], tuple(Watched(**one) for one in plain["watched"]))

    def ended(self, scores: Path, planned: int) -> int | None:
        """The dose at which the run with these score rows stops; None while it goes on.

        ``planned`` is the number of looks above dose 0 that the whole run has.
        """
        rows = [json.loads(line) for line in scores.read_text().splitlines()]
        ends = [self._hopeless_from(rows, one, planned) for one in self.watched]
        return max((dose for dose in ends if dose is not None), default=None) if None not in ends else None

    def _hopeless_from(self, rows: list[dict[str, Any]], one: Watched, planned: int) -> int | None:
        """The dose of the first look that was below the level with enough before it, where all later ones are."""
        own = [r for r in rows if (r["benchmark"], r["variant"], r["depth"]) == (one.benchmark, ORIGINAL, one.depth)]
        own.sort(key=lambda row: int(row["dose"]))
        if len(own) > planned:
            return None  # the run is whole
        below = [self._below(own[0], row, one.level, planned) for row in own[1:]]
        streak = next((i for i, low in enumerate(reversed(below)) if not low), len(below))
        return int(own[len(own) - 1 - streak + self.looks]["dose"]) if streak >= self.looks else None

    def _below(self, base: dict[str, Any], row: dict[str, Any], level: float, planned: int) -> bool:
        if row["retention"] is None:
            return False
        accuracy, accuracy_0 = float(row["accuracy"]), float(base["accuracy"])
        error = retention_variance(accuracy, accuracy_0, int(row["items"]), float(row["chance"])) ** 0.5
        return bool(float(row["retention"]) + ndtri(1 - self.alpha / planned) * error < level)
