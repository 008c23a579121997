"""C11, a thinking budget helps small models: answers under budgets of steps in, what they recover out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from forgetting.claims._ways import (
    arm_of,
    budget,
    counts,
    does_it_too,
    gains,
    gains_before,
    mean_over,
    oracle,
    ways_of,
)
from forgetting.claims.judging.decision import decide
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, missing_needs, rivals
from forgetting.contracts import Claim
from forgetting.errors import require

FILLER = "thinking_budget budget=2 unit=steps filler=True"
AID = oracle(0)


@dataclass(frozen=True)
class ThinkingHelps(Claim):
    """C11: contaminated students that are given as many steps as an item needs recover, more than by voting.

    The budget is an oracle's: the item's own number of steps, which no student knows. So it errs in the claim's favour.

    Args:
        shift: of the arm that is judged
    """

    identifier: ClassVar[str] = "C11"
    parts: ClassVar[tuple[str, ...]] = ("recovery", "majority")
    rivals: ClassVar[tuple[str, ...]] = ("filler", "before")

    shift: float = 0.5

    def __post_init__(self) -> None:
        require(0 < self.shift <= 1, "C11.shift", "above 0 and at most 1", self.shift)

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """The gain over greedy decoding, and over majority voting at equal tokens, after the last dose."""
        arm, conditions = arm_of(study, pair, self.shift), f"{pair.contamination} against {pair.skill}"
        if arm is None:
            return Finding.nothing(rule, f"no plain arm of {pair.contamination} at shift {self.shift:g}", conditions)
        ways = ways_of(study, arm, pair.skill)
        ways = {size: own for size, own in ways.items() if AID in own.cells}
        if not ways:
            why = "takes a ledger with majority voting and a thinking budget in steps for every depth"
            return Finding.nothing(rule, f"{why}, of a learned skill", conditions, measured=True)
        n = counts(ways.values())
        found = (
            decide("recovery", rule.parts["recovery"], *mean_over(ways, lambda w: w.gain(AID)), n),
            decide("majority", rule.parts["majority"], *mean_over(ways, lambda w: w.over_majority(AID)), n),
        )
        states = {
            "filler": lambda: does_it_too(ways, FILLER, AID, n),
            "before": lambda: gains_before(ways, [AID], n),
        }
        notes = gains(ways, [*map(budget, range(9)), *map(oracle, (1, 2))], n)
        dose = next(iter(ways.values())).dose
        missing = missing_needs(rule, n, study.fresh_students, True)
        return Finding(found, rivals(rule, states), f"{conditions}, dose {dose:,}, {arm.exposed}", missing, notes)
