"""C12, remedies in how answers are computed: a calculator, checked steps and adaptive drawing in, gains out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from forgetting.claims._ways import WayCells, arm_of, counts, does_it_too, gains, gains_before, mean_over, ways_of
from forgetting.claims.judging.decision import decide, untestable
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, missing_needs, rivals
from forgetting.contracts import Claim
from forgetting.errors import require

RANDOM, CHECKS = "symbolic results=random", "best_of_n samples=4 judge=checks"


@dataclass(frozen=True)
class AidsHelp(Claim):
    """C12: each aid brings contaminated students more than majority voting does with as many tokens.

    Args:
        shift: of the arm that is judged
    """

    identifier: ClassVar[str] = "C12"
    parts: ClassVar[tuple[str, ...]] = ("symbolic", "verified", "adaptive")
    rivals: ClassVar[tuple[str, ...]] = ("random_tool", "before")

    shift: float = 0.5

    def __post_init__(self) -> None:
        require(0 < self.shift <= 1, "C12.shift", "above 0 and at most 1", self.shift)

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """The gain of each aid over majority voting at equal tokens, after the last dose."""
        arm, conditions = arm_of(study, pair, self.shift), f"{pair.contamination} against {pair.skill}"
        if arm is None:
            return Finding.nothing(rule, f"no plain arm of {pair.contamination} at shift {self.shift:g}", conditions)
        ways = ways_of(study, arm, pair.skill)
        known = [name for name in self.parts if ways and all(name in own.cells for own in ways.values())]
        if not known:
            why = "takes a ledger with majority voting and symbolic, verified or adaptive answers, of a learned skill"
            return Finding.nothing(rule, why, conditions, measured=True)
        n = counts(ways.values())
        found = tuple(
            decide(name, rule.parts[name], *mean_over(ways, partial(WayCells.over_majority, way=name)), n)
            if name in known
            else untestable(name, rule.parts[name], f"no answers in the way {name}")
            for name in self.parts
        )
        states = {
            "random_tool": lambda: (
                does_it_too(ways, RANDOM, "symbolic", n) if "symbolic" in known else ("open", "no tool")
            ),
            "before": lambda: gains_before(ways, known, n),
        }
        notes = gains(ways, [*known, RANDOM, CHECKS], n)
        dose = next(iter(ways.values())).dose
        missing = missing_needs(rule, n, study.fresh_students, True)
        return Finding(found, rivals(rule, states), f"{conditions}, dose {dose:,}, {arm.exposed}", missing, notes)
