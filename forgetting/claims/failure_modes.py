"""C3, how small students fail: counts of failures in; the share of the three named modes among wrong answers out.

What students fail at changes with how often they fail, whatever their size: modes are compared at equal accuracy, at
the dose of each size at which it is nearest to one half.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pandas as pd

from forgetting.analysis.metrics import Floats
from forgetting.claims.judging.comparisons import drawn_ratio, rise_per_decade, treated_arms
from forgetting.claims.judging.decision import ClaimPart, Counts, decide, interval, untestable
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Pair, PartRule
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim

MODES = ("inconsistent_path", "symbol_error", "camouflage")
RIGHT = ("", "right_by_wrong_steps")
SHORTCUT, TRAPS = "shortcut", "traps"
TRAPS_AMONG_ITEMS = 0.5  # the others are controls, in which the mean is right
ONE_STUDENT = ["distillation_seed", "seed"]

CountsBySize = dict[tuple[str, int], pd.DataFrame]  # by (student, capacity): a row a run, with what was counted


@dataclass(frozen=True)
class FailureModes(Claim):
    """C3: wrong answers are inconsistent paths, misused symbols and camouflage, the more so the smaller the student.

    Args:
        near: how far from one half accuracy may lie where modes are compared; sizes that pass it by are left out
    """

    identifier: ClassVar[str] = "C3"
    parts: ClassVar[tuple[str, ...]] = ("modes", "order", "shortcut")
    rivals: ClassVar[tuple[str, ...]] = ("any_text",)

    near: float = 0.15

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """Shares of wrong answers at equal accuracy, by size; the tempting mean at dose 0."""
        conditions = f"{pair.contamination} against {pair.skill}"
        arms, benchmark, counts = treated_arms(study, pair), study.benchmark(pair.skill), study.study.failure_counts
        if not arms:
            return Finding.nothing(rule, f"no plain arm of {pair.contamination}", conditions)
        if counts is None:
            return Finding.nothing(rule, "takes counts of failures (failures.csv)", conditions)
        of_maths = counts[counts["benchmark"] == benchmark]
        halved = self._halved(of_maths[of_maths["arm"] == arms[0].name])
        modes = _modes(rule.parts["modes"], halved)
        shortcut = _shortcut(rule.parts["shortcut"], counts[counts["arm"] == arms[0].name])
        n = Counts(modes.sizes, modes.seeds, modes.items)
        missing = missing_needs(rule, n, study.fresh_students, True) if modes.sizes else ()
        noise = [arm for arm in study.arms if arm.plain and arm.contamination == "noise"]
        beside = self._halved(of_maths[of_maths["arm"] == noise[0].name]) if noise else {}
        states: dict[str, Callable[[], RivalState]] = {
            "any_text": lambda: _any_text(halved, beside, rule.parts["modes"].margin)
        }
        found = (modes, _order(rule.parts["order"], halved), shortcut)
        return Finding(found, rivals(rule, states) if modes.sizes else (), f"{conditions}, {arms[0].exposed}", missing)

    def _halved(self, counts: pd.DataFrame) -> CountsBySize:
        """Of each size the runs at the dose where accuracy is nearest to one half, if it is near."""
        found: CountsBySize = {}
        for (student, capacity), own in counts.groupby(["student", "capacity"], sort=False, observed=True):
            by_dose = {int(str(dose)): _runs(some) for dose, some in own.groupby("dose")}
            accuracy = {dose: 1 - runs["wrong"].sum() / runs["answers"].sum() for dose, runs in by_dose.items()}
            dose = min(accuracy, key=lambda one: abs(accuracy[one] - 0.5))
            if abs(accuracy[dose] - 0.5) <= self.near:
                found[str(student), int(str(capacity))] = by_dose[dose]
        return dict(sorted(found.items(), key=lambda pair: pair[0][1]))


def _runs(counts: pd.DataFrame) -> pd.DataFrame:
    """Answers, wrong ones, and those of the three modes: a row a run."""
    wrong = counts["answers"].where(~counts["failure"].isin(RIGHT), 0)
    named = counts["answers"].where(counts["failure"].isin(MODES), 0)
    return counts.assign(wrong=wrong, named=named).groupby(ONE_STUDENT)[["answers", "wrong", "named"]].sum()


def _shares(runs: CountsBySize) -> dict[tuple[str, int], Floats]:
    """The share of wrong answers that the modes have, with draws of students."""
    return {size: drawn_ratio(own["named"], own["wrong"]) for size, own in runs.items()}


def _counts(runs: Mapping[tuple[str, int], pd.DataFrame]) -> Counts:
    items = min(int(own["answers"].min()) for own in runs.values())
    return Counts(len(runs), min(map(len, runs.values())), items)


def _modes(part: PartRule, runs: CountsBySize) -> ClaimPart:
    if not runs:
        return untestable("modes", part, "no size passes near half of its answers right")
    shares = _shares(runs)
    return decide("modes", part, shares, np.mean(list(shares.values()), axis=0), _counts(runs))


def _order(part: PartRule, runs: CountsBySize) -> ClaimPart:
    slope = rise_per_decade(_shares(runs))
    if slope is None:
        return untestable("order", part, "takes three sizes that pass near half of their answers right")
    return decide("order", part, {}, slope, _counts(runs))


def _shortcut(part: PartRule, counts: pd.DataFrame) -> ClaimPart:
    """The share of traps that are answered with the mean before any contamination, at the smallest size."""
    traps = counts[(counts["benchmark"] == TRAPS) & (counts["dose"] == 0)]
    if traps.empty:
        return untestable("shortcut", part, f"takes the benchmark {TRAPS}")
    smallest = traps[traps["capacity"] == traps["capacity"].min()]
    tempted = smallest.assign(tempted=smallest["answers"].where(smallest["failure"] == SHORTCUT, 0))
    runs = tempted.groupby(ONE_STUDENT)[["answers", "tempted"]].sum()
    size = (str(smallest["student"].iloc[0]), int(smallest["capacity"].iloc[0]))
    share = drawn_ratio(runs["tempted"], TRAPS_AMONG_ITEMS * runs["answers"])
    return decide("shortcut", part, {size: share}, share, _counts({size: runs}))


def _any_text(runs: CountsBySize, beside: CountsBySize, margin: float) -> RivalState:
    """Whether students that noise brought to the same accuracy fail in the same ways."""
    both = [size for size in runs if size in beside]
    if not both:
        return "open", "takes an arm of noise whose students pass near half right"
    own, other = _shares(runs), _shares(beside)
    apart = np.mean([own[size] - other[size] for size in both], axis=0)
    n = _counts({size: runs[size] for size in both})
    low, high = interval(apart, n.seeds, n.items)
    noise = float(np.mean([other[size][0] for size in both]))
    text = (
        f"after noise {noise:.2f} of wrong answers are of these modes, here {apart[0]:+.2f} [{low:+.2f}, {high:+.2f}]"
    )
    return "excluded" if low > 0 and noise < margin else "explains" if noise >= margin else "open", text
