"""C10, other ways of distilling and protected modules: studies in; by how much longer what was learned so lasts, out.

Its parts are measured in studies of their own: branches of one trunk taught by steps, or by pairs of a right and a
wrong continuation, and arms with frozen modules, whose table ``experiments/protection.py`` writes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd
from scipy.special import stdtr, stdtrit

from forgetting.claims._branches import apart, as_long, confidence, fewest_items, longer, not_arrived, runs_of, speed
from forgetting.claims.judging.comparisons import treated_arms
from forgetting.claims.judging.decision import OPEN, OPPOSES, SUPPORTS, ClaimPart, Counts, SizeEffect, untestable
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import ClaimRule, Pair, PartRule
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim

TAUGHT = ("process", "contrastive")


@dataclass(frozen=True)
class BetterDistillation(Claim):
    """C10: what was learned by steps or by contrast lasts longer, and so does what protected modules carry.

    Args:
        off_policy: name of the branch that imitates the teacher's answers
        process: name of the branch that learns the teacher's steps with weights of their own
        contrastive: name of the branch that learns pairs of a right and a wrong continuation
        words: names of branches that learn the same words without their process, controls of the former
        chosen: name of the branch that learns the right continuations plainly, the control of the latter
    """

    identifier: ClassVar[str] = "C10"
    parts: ClassVar[tuple[str, ...]] = (*TAUGHT, "protection")
    rivals: ClassVar[tuple[str, ...]] = ("words", "chosen", "confidence", "speed")
    of_branches: ClassVar[bool] = True
    parts_apart: ClassVar[bool] = True

    off_policy: str = "off_policy"
    process: str = "process"
    contrastive: str = "dpo"
    words: tuple[str, ...] = ("shuffled", "of_another")
    chosen: str = "chosen"

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """Branches against off-policy on trunks on which both arrived; protected modules against their controls."""
        conditions = f"{pair.contamination} against {pair.skill}"
        arms, benchmark = treated_arms(study, pair), study.benchmark(pair.skill)
        if not (arms and benchmark):
            return Finding.nothing(rule, f"no plain arm of {pair.contamination}", conditions)
        if study.branched:
            return self._of_branches(study, rule, arms[0], pair, conditions)
        protection = protected(rule.parts["protection"], study, benchmark)
        parts = (*(untestable(name, rule.parts[name], "no branches of one trunk") for name in TAUGHT), protection)
        tested = Counts(protection.sizes, protection.seeds, protection.items)
        missing = missing_needs(rule, tested, study.fresh_students, True) if protection.sizes else ()
        states: dict[str, Callable[[], RivalState]] = {
            name: lambda: ("open", "is of students that branch from one trunk") for name in self.rivals
        }
        return Finding(parts, rivals(rule, states) if protection.sizes else (), conditions, missing)

    def _of_branches(self, study: Measured, rule: ClaimRule, arm: MeasuredArm, pair: Pair, conditions: str) -> Finding:
        runs, items = runs_of(study, arm, pair.skill)
        named = {"process": self.process, "contrastive": self.contrastive}
        steps = tuple((self.off_policy, branch) for branch in named.values())
        both = [apart(runs, step) for step in steps]
        taught = [
            longer(name, rule.parts[name], own, step, items) for name, own, step in zip(named, both, steps, strict=True)
        ]
        parts = (*taught, untestable("protection", rule.parts["protection"], "no table of protected modules"))
        tested = [part for part in taught if part.sizes]
        n = Counts(*(min((getattr(p, c) for p in tested), default=0) for c in ("sizes", "seeds", "items")))
        missing = missing_needs(rule, n, study.fresh_students, True)
        missing += not_arrived(runs, (self.off_policy, *named.values()))
        states: dict[str, Callable[[], RivalState]] = {
            "words": lambda: as_long(runs, self.words, self.process),
            "chosen": lambda: as_long(runs, (self.chosen,), self.contrastive),
            "confidence": lambda: confidence(both, steps), "speed": lambda: speed(both, steps),
        }  # fmt: skip
        return Finding(parts, rivals(rule, states) if tested else (), f"{conditions}, {arm.exposed}", missing)


def protected(rule: PartRule, study: Measured, skill: str) -> ClaimPart:
    """The least that protected modules keep more at equal learning than what they are held against.

    Each size and control is a row of ``protection.csv`` with a mean over students and its interval by Student's t. The
    part supports if every interval lies above the margin, and opposes if at every size one lies below it.
    """
    table = study.study.protection
    rows = table[table["skill"] == skill] if len(table) else table
    rows = rows[rows[["area", "low", "high"]].notna().all(axis=1)] if len(rows) else rows
    if rows.empty:
        return untestable("protection", rule, "takes protection.csv, by experiments/protection.py judge")
    p_R = _p(rows, rule.margin)
    below_R = (rows["high"] < rule.margin).to_numpy()
    sizes = list(dict.fromkeys(rows["size"]))
    by_size, worst_of = [], []
    capacity = dict(study.study.scores[["student", "capacity"]].drop_duplicates().itertuples(index=False, name=None))
    for size in sizes:
        own = np.flatnonzero((rows["size"] == size).to_numpy())
        least = own[int(rows["area"].to_numpy()[own].argmin())]
        worst_of.append(min(1.0, float(p_R[own].min()) * len(own)))
        ends = (float(rows[name].iloc[least]) for name in ("area", "low", "high"))
        by_size.append(SizeEffect(size, int(capacity.get(size, 0)), *ends))
    supports = bool((rows["low"] > rule.margin).all())
    opposes = all(below_R[(rows["size"] == size).to_numpy()].any() for size in sizes)
    least_of_all = min(by_size, key=lambda effect: effect.value)
    outcome = SUPPORTS if supports else OPPOSES if opposes else OPEN
    return ClaimPart(
        "protection", rule.statistic, rule.direction, rule.margin, outcome,
        least_of_all.value, least_of_all.low, least_of_all.high, max(worst_of) if opposes else float(p_R.max()),
        len(sizes), int(rows["students"].min()), fewest_items(study, skill), by_size=tuple(by_size),
    )  # fmt: skip


def _p(rows: pd.DataFrame, margin: float) -> np.ndarray:
    """Two-sided, that the mean is the margin, by the t from which each interval was made."""
    freedom = np.maximum(rows["students"].to_numpy(float) - 1, 1)
    error = (rows["high"] - rows["low"]).to_numpy(float) / 2 / stdtrit(freedom, 0.975)
    apart_R = np.abs(rows["area"].to_numpy(float) - margin)
    return np.asarray(2 * stdtr(freedom, -apart_R / np.maximum(error, 1e-12)))
