"""C4, how a skill was acquired: a study of branches in; how much sooner one kind of student loses it than another out.

Students of one trunk, taken to equal skill by methods of their own, are compared by log2 of the dose that halves it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from forgetting.analysis.branches import branch_runs, mean_with_interval
from forgetting.analysis.metrics import Floats
from forgetting.analysis.statistics import bootstrap_weights
from forgetting.claims.judging.comparisons import treated_arms
from forgetting.claims.judging.decision import ClaimPart, Counts, decide, untestable
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Pair, PartRule
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
        runs = branch_runs(study.study, pair.skill)
        runs = runs[runs["arm"] == arms[0].name]
        steps = ((self.off_policy, self.on_policy), (self.on_policy, self.stages))
        both = [_both(runs, *step) for step in steps]
        items = int(study.study.scores.query("benchmark == @known and depth != depth")["items"].min())
        parts = tuple(
            _part(name, rule.parts[name], own, step, items)
            for name, own, step in zip(self.parts, both, steps, strict=True)
        )
        n = Counts(*(min((getattr(p, c) for p in parts if p.seeds), default=0) for c in ("sizes", "seeds", "items")))
        missing = missing_needs(rule, n, study.fresh_students, True)
        wanted = [name for name in (self.off_policy, self.on_policy, self.stages) if name in set(runs["branch"])]
        for name in wanted:
            own = runs[runs["branch"] == name]
            if not own["arrived"].all():
                missing += (f"equal skill: {name} arrived on {own['arrived'].sum()} of {len(own)} trunks",)
        states: dict[str, Callable[[], RivalState]] = {
            "confidence": lambda: _confidence(both, steps), "speed": lambda: _speed(both, steps),
        }  # fmt: skip
        return Finding(parts, rivals(rule, states), f"{conditions}, {arms[0].exposed}", missing)


def _both(runs: pd.DataFrame, one: str, other: str) -> pd.DataFrame:
    """A row for each trunk on which both arrived: what the other has more than the one."""
    columns = ["log2_half_dose", "retention", "gold_nll"]
    arrived = runs[runs["arrived"]]
    keys = ["trunk", "capacity", "distillation_seed"]
    sides = [arrived[arrived["branch"] == name].set_index(keys)[columns] for name in (one, other)]
    return (sides[1] - sides[0]).dropna(subset=["log2_half_dose"])


def _part(name: str, rule: PartRule, both: pd.DataFrame, step: tuple[str, str], items: int) -> ClaimPart:
    if both.empty:
        return untestable(name, rule, f"no trunk on which {step[0]} and {step[1]} arrived and lost half")
    by_size: dict[tuple[str, int], Floats] = {}
    for (trunk, capacity), own in both.groupby(level=["trunk", "capacity"], sort=False):
        values = own["log2_half_dose"].to_numpy(float)
        draws = bootstrap_weights([str(seed) for *_, seed in own.index], "trunks") @ values / len(values)
        by_size[str(trunk), int(str(capacity))] = np.concatenate([[values.mean()], draws])
    fewest = int(both.groupby(level="trunk").size().min())
    return decide(name, rule, by_size, np.mean(list(by_size.values()), axis=0), Counts(len(by_size), fewest, items))


def _confidence(both: list[pd.DataFrame], steps: tuple[tuple[str, str], ...]) -> RivalState:
    """Whether the branch that lasts longer was surer of the gold answers to begin with."""
    said, states = [], []
    for own, (one, other) in zip(both, steps, strict=True):
        value, low, high = mean_with_interval(own["gold_nll"].to_numpy(float))
        longer, *_ = mean_with_interval(own["log2_half_dose"].to_numpy(float))
        if not np.isfinite(low):
            continue
        said.append(f"gold NLL at dose 0, {other} less {one}: {value:+.3f} [{low:+.3f}, {high:+.3f}]")
        surer = high < 0 < longer or longer < 0 < low
        states.append("explains" if surer else "excluded" if not low <= 0 <= high else "open")
    if not said:
        return "open", "too few trunks"
    return max(states, key=("excluded", "open", "explains").index), "; ".join(said)


def _speed(both: list[pd.DataFrame], steps: tuple[tuple[str, str], ...]) -> RivalState:
    """Whether nothing is left of the difference where both have learned as much of the new task."""
    said, states = [], []
    for own, (one, other) in zip(both, steps, strict=True):
        kept = own["retention"].dropna().to_numpy(float)
        longer, *_ = mean_with_interval(own["log2_half_dose"].to_numpy(float))
        value, low, high = mean_with_interval(kept)
        if not np.isfinite(low):
            continue
        said.append(f"retained at equal learning, {other} less {one}: {value:+.2f} [{low:+.2f}, {high:+.2f}]")
        states.append("open" if low <= 0 <= high else "excluded" if value * longer > 0 else "explains")
    if not said:
        return "open", "too few trunks that learn as much"
    return max(states, key=("excluded", "open", "explains").index), "; ".join(said)
