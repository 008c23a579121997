"""C4, how a skill was acquired: a study of branches in; how much sooner one kind of student loses it than another out.

Students of one trunk, taken to equal skill by methods of their own, are compared by log2 of the dose that halves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from forgetting.claims._branches import apart, confidence, longer, not_arrived, runs_of, speed
from forgetting.claims.judging.comparisons import treated_arms
from forgetting.claims.judging.decision import Counts
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim


@dataclass(frozen=True)
class AcquisitionFragility(Claim):
    """C4: off-policy students are more fragile than on-policy ones, and these more than those of several stages.

    Args:
        off_policy: name of the branch that imitates the teacher's answers
        on_policy: name of the branch that writes its own
        stages: name of the branch of several stages, the last one with rewards
    """

    identifier: ClassVar[str] = "C4"
    parts: ClassVar[tuple[str, ...]] = ("own_answers", "rewards")
    rivals: ClassVar[tuple[str, ...]] = ("confidence", "speed")
    of_branches: ClassVar[bool] = True

    off_policy: str = "off_policy"
    on_policy: str = "on_policy"
    stages: str = "multi_stage"

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """The paper's order of three, one step a part, on trunks on which both branches arrived."""
        conditions = f"{pair.contamination} against {pair.skill}"
        arms, known = treated_arms(study, pair), study.benchmark(pair.skill)
        if not (study.branched and arms and known):
            why = f"no plain arm of {pair.contamination}" if study.branched and not arms else "no branches of one trunk"
            return Finding.nothing(rule, why, conditions)
        runs, items = runs_of(study, arms[0], pair.skill)
        steps = ((self.off_policy, self.on_policy), (self.on_policy, self.stages))
        both = [apart(runs, step) for step in steps]
        parts = tuple(
            longer(name, rule.parts[name], own, step, items)
            for name, own, step in zip(self.parts, both, steps, strict=True)
        )
        n = Counts(*(min((getattr(p, c) for p in parts if p.seeds), default=0) for c in ("sizes", "seeds", "items")))
        missing = missing_needs(rule, n, study.fresh_students, True)
        missing += not_arrived(runs, (self.off_policy, self.on_policy, self.stages))
        states: dict[str, Callable[[], RivalState]] = {
            "confidence": lambda: confidence(both, steps), "speed": lambda: speed(both, steps),
        }  # fmt: skip
        return Finding(parts, rivals(rule, states), f"{conditions}, {arms[0].exposed}", missing)
