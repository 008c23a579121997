"""What pilots may cost, as a user writes it: a share of the planned run, hours, or operations; doses of rounds out."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from forgetting.errors import UsageError, require

Unit = Literal["runs", "seconds", "operations", "samples"]
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0}
RULE = "a multiple of the planned run such as 2, hours or minutes such as 2h or 30m, or operations such as 1e17op"
WRITTEN = re.compile(r"([0-9.]+(?:[eE][+-]?[0-9]+)?)\s*(s|m|h|op|)")


@dataclass(frozen=True)
class Allowance:
    """How much pilots may cost in all. ``runs`` counts plain runs of the planned dose."""

    amount: float
    unit: Unit = "runs"

    def __post_init__(self) -> None:
        require(0 < self.amount < float("inf"), "budget", RULE, self.amount)

    @classmethod
    def of(cls, value: object) -> Allowance:
        """The allowance of ``1``, ``"2h"``, ``"30m"`` or ``"1e17op"``."""
        found = WRITTEN.fullmatch(str(value).strip())
        try:
            amount = float(found[1]) if found and not isinstance(value, bool) else -1.0
        except ValueError:
            amount = -1.0
        if found is None or amount <= 0:
            raise UsageError(f"budget: must be {RULE}, got {value!r}")
        if found[2] in SECONDS:
            return cls(amount * SECONDS[found[2]], "seconds")
        return cls(amount, "operations" if found[2] else "runs")

    def in_samples(self, planned: int, operations: float) -> Allowance:
        """The same in samples of plain tuning, of which the run has ``planned``, each of so many operations.

        Seconds stay seconds: what a sample takes is not known beforehand.
        """
        factor = {"runs": planned, "operations": 1 / operations, "samples": 1.0}.get(self.unit)
        return self if factor is None else Allowance(self.amount * factor, "samples")


def scaled(budget: str, times: float) -> str:
    """The budget so many times, as a user would write it: two digits, rounded up."""
    found = WRITTEN.fullmatch(budget.strip())
    amount = float(found[1]) * times if found else times
    digits = 10.0 ** (math.floor(math.log10(amount)) - 1)
    return f"{math.ceil(amount / digits) * digits:g}{found[2] if found else ''}"


@dataclass(frozen=True)
class Speed:
    """Wall seconds: of a sample of plain tuning, and of all else that a pilot takes (looks, starting, views)."""

    sample: float
    pilot: float


def expected(allowance: Allowance, pace: Speed, arms: int, looks: int, rounds: int) -> float:
    """Wall seconds of all pilots one after another, of which half go on from round to round.

    Args:
        allowance: in ``samples`` of plain tuning, or in seconds
        pace: of a sample, and (``pilot``) of a look, of which a pilot takes one at dose 0 and ``looks`` after it
    """
    if allowance.unit == "seconds":
        return allowance.amount
    pilots = sum(math.ceil(arms / (1 << number)) for number in range(rounds))
    return allowance.amount * pace.sample + pilots * (looks + 1) * pace.pilot


def next_dose(allowance: Allowance, spent: float, costs: Sequence[float], rounds: int, speed: Speed) -> int:
    """The dose of the next round, an equal part of what is left for each of the ``rounds`` that are still to come.

    Args:
        allowance: in ``samples`` of plain tuning, or in seconds; and what of it is ``spent``
        costs: of a sample in each arm of the round, plain tuning's being 1
        rounds: this one among them
        speed: of this machine, where the allowance is in seconds
    """
    left = (allowance.amount - spent) / rounds
    if allowance.unit == "seconds":
        left = (left - speed.pilot * len(costs)) / speed.sample
    return max(0, int(left / sum(costs)))
