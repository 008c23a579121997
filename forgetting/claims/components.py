"""C14, which components are hit: a probed study in; what attention brings back beyond random sets out.

Specialised experts are not testable here: every student is dense. A student with a mixture of experts would be another
architecture of the ladder, with a distillation of its own at each size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from forgetting.analysis.lost_shares import LEAST_LOST, Probed, probed_runs
from forgetting.analysis.metrics import Floats
from forgetting.analysis.module_effects import whole_points
from forgetting.claims.judging.comparisons import drawn_ratio, treated_arms
from forgetting.claims.judging.decision import ClaimPart, Counts, decide, interval, untestable
from forgetting.claims.judging.evidence import Measured
from forgetting.claims.judging.rules import ClaimRule, Pair, PartRule
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim

ProbedBySize = dict[tuple[str, int], list[Probed]]  # by (student, capacity)
DENSE = "students are dense: a mixture of experts would be another architecture, and students of its own"
WRONG_STEP = ("", "wrong_step")


@dataclass(frozen=True)
class ComponentLoss(Claim):
    """C14: attention over long range, specialised experts and self-correction are hit first.

    Args:
        least_corrected: share of wrong steps that a student corrects at dose 0, so that there is something to lose
    """

    identifier: ClassVar[str] = "C14"
    parts: ClassVar[tuple[str, ...]] = ("attention", "experts", "correction")
    rivals: ClassVar[tuple[str, ...]] = ("random_set", "equal_change")

    least_corrected: float = 0.3

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """Attention against feed-forward, each beyond random sets; what follows a wrong step, now and at dose 0."""
        conditions = f"{pair.contamination} against {pair.skill}"
        arms, benchmark = treated_arms(study, pair), study.benchmark(pair.skill)
        if not arms:
            return Finding.nothing(rule, f"no plain arm of {pair.contamination}", conditions)
        found = probed_runs(study.study)
        of_arm = {key[:2]: own for key, own in found.items() if key[2:] == (arms[0].name, benchmark)}
        lost = {key: own for key, own in of_arm.items() if np.mean([run.loss for run in own]) >= LEAST_LOST}
        attention = _attention(rule.parts["attention"], lost, "size")
        correction = self._correction(rule.parts["correction"], lost)
        parts = (attention, untestable("experts", rule.parts["experts"], DENSE), correction)
        n = Counts(attention.sizes, attention.seeds, attention.items)
        missing = missing_needs(rule, n, study.fresh_students, True) if attention.sizes else ()
        states: dict[str, Callable[[], RivalState]] = {
            "random_set": lambda: _random(lost),
            "equal_change": lambda: _equal_change(rule.parts["attention"], lost),
        }
        tested = any(one.sizes for one in parts)
        return Finding(parts, rivals(rule, states) if tested else (), f"{conditions}, {arms[0].exposed}", missing)

    def _correction(self, part: PartRule, runs: ProbedBySize) -> ClaimPart:
        able = {
            key: own for key, own in runs.items()
            if all(run.has(WRONG_STEP) and run.corrected_before is not None for run in own)
        }  # fmt: skip
        if not able:
            return untestable("correction", part, "takes the way of answering wrong_step")
        start = np.mean([np.mean([run.corrected_before for run in own]) for own in able.values()])
        if start < self.least_corrected:
            why = f"at dose 0 students correct {start:.2f} of wrong steps: there is nothing to lose"
            return untestable("correction", part, why)
        by_size = {
            key: drawn_ratio(
                [float(run.corrected_before or 0.0) - run.corrected for run in own],
                [float(run.corrected_before or 0.0) for run in own],
            ) - drawn_ratio([run.loss for run in own], [float(run.before.mean()) for run in own])
            for key, own in able.items()
        }  # fmt: skip
        return decide("correction", part, by_size, np.mean(list(by_size.values()), axis=0), _counts(able))


def _attention(part: PartRule, runs: ProbedBySize, control: str) -> ClaimPart:
    by_size = {}
    for key, own in runs.items():
        both = [_beyond(own, kind, control) for kind in ("attention", "mlp")]
        if both[0] is not None and both[1] is not None:
            by_size[key] = both[0] - both[1]
    if not by_size:
        return untestable("attention", part, f"takes the intervention restore, with draws, and {LEAST_LOST:g} lost")
    used = {key: runs[key] for key in by_size}
    return decide("attention", part, by_size, np.mean(list(by_size.values()), axis=0), _counts(used))


def _beyond(runs: list[Probed], kind: str, control: str) -> Floats | None:
    """(share - random) / (1 - random) of all blocks' modules of a kind: the estimate, then draws of students."""
    points = [whole_points(run, kind, control) for run in runs]
    if not all(one is not None for one in points):
        return None
    own, random = np.array(points, float).T
    return drawn_ratio(own - random, np.array([run.loss for run in runs]) - random)


def _counts(runs: ProbedBySize) -> Counts:
    return Counts(len(runs), min(map(len, runs.values())), min(run.items for own in runs.values() for run in own))


def _random(runs: ProbedBySize) -> RivalState:
    """Whether attention brings more back than random sets of as many weights."""
    found = [drawn for own in runs.values() if (drawn := _beyond(own, "attention", "size")) is not None]
    if not found:
        return "open", "takes random sets of as many weights"
    between, n = np.mean(found, axis=0), _counts(runs)
    low, high = interval(between, n.seeds, n.items)
    text = f"attention beyond random sets of as many weights: {between[0]:+.2f} [{low:+.2f}, {high:+.2f}]"
    return "excluded" if low > 0 else "explains" if between[0] <= 0 else "open", text


def _equal_change(part: PartRule, runs: ProbedBySize) -> RivalState:
    """Whether the difference between attention and feed-forward stands against random sets of equal change too."""
    other = _attention(part, runs, "change")
    if not other.sizes:
        return "open", "takes random sets of equal change"
    text = f"against random sets of equal change: {other.value:+.2f} [{other.low:+.2f}, {other.high:+.2f}]"
    return "excluded" if other.low > part.margin else "explains" if other.value <= part.margin else "open", text
