"""C8, capacity or interference: a measured study in; the capacity gap and what a little replay removes out.

A student that learned old and new at once (joint arm) shows whether both fit: what it lacks is the capacity gap, and
only that may be laid to capacity. What it keeps and the student trained in sequence lost is interference.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from forgetting.analysis import metrics
from forgetting.analysis.metrics import Floats
from forgetting.claims.judging.accuracy import seed_count, shared_doses, shared_runs
from forgetting.claims.judging.comparisons import treated_arms
from forgetting.claims.judging.decision import ClaimPart, Counts, decide, interval, untestable
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import ClaimRule, Pair, PartRule
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim


@dataclass(frozen=True, eq=False)
class _Gap:
    """Retention in sequence and in the arm beside it, at the last dose that both have: by (student, capacity)."""

    sequence: dict[tuple[str, int], Floats]
    beside: dict[tuple[str, int], Floats]
    dose: int
    n: Counts


@dataclass(frozen=True)
class CapacityCause(Claim):
    """C8: the loss comes from lack of capacity.

    Args:
        least_loss: retention; where less is lost there is no cause to look for
        most_replay: share of the stream that counts as a little replay
    """

    identifier: ClassVar[str] = "C8"
    parts: ClassVar[tuple[str, ...]] = ("capacity_gap", "replay")
    rivals: ClassVar[tuple[str, ...]] = ("interference", "room")

    least_loss: float = 0.05
    most_replay: float = 0.05

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """What is missing where both are trained at once, and what replay brings back."""
        conditions = f"{pair.contamination} against {pair.skill}"
        arms = treated_arms(study, pair)
        if not arms:
            return Finding.nothing(rule, f"no plain arm of {pair.contamination}", conditions)
        arm = arms[0]
        joint = [a for a in _beside(study, arm) if a.mitigation == "joint"]
        replayed = [a for a in _beside(study, arm) if 0 < a.replay <= self.most_replay]
        most = max(replayed, key=lambda a: a.replay, default=None)
        gap = _gap(study, arm, joint[0], pair.skill) if joint else None
        replay = _gap(study, arm, most, pair.skill) if most else None
        parts = (
            _capacity_gap(rule.parts["capacity_gap"], gap, self.least_loss, bool(joint)),
            _replay(rule.parts["replay"], replay, self.least_loss, most),
        )
        known = [found for found in (gap, replay) if found is not None]
        fewest = (min((getattr(found.n, name) for found in known), default=0) for name in ("sizes", "seeds", "items"))
        missing = missing_needs(rule, Counts(*fewest), study.fresh_students, True)
        if known:
            conditions += f", dose {known[0].dose:,}, {arm.exposed}"
        grown = [a for a in _beside(study, arm) if a.mitigation == "growth" and not a.only_new]
        room = _gap(study, arm, grown[0], pair.skill) if grown else None
        others = {
            "interference": lambda: _interference(gap, parts),
            "room": lambda: _room(room, rule.parts["capacity_gap"].margin, self.least_loss),
        }
        return Finding(parts, rivals(rule, others), conditions, missing)


def _beside(study: Measured, arm: MeasuredArm) -> list[MeasuredArm]:
    """Arms with the same contamination, shift, rate and rate policy."""
    same = (arm.contamination, arm.form, *arm.exposure)
    arms = [a for a in study.arms if (a.contamination, a.form, *a.exposure) == same]
    return [a for a in arms if a.name != arm.name]


def _gap(study: Measured, arm: MeasuredArm, other: MeasuredArm, skill: str) -> _Gap | None:
    beside, found = study.cells(other, skill), []
    for student, cell in study.cells(arm, skill).items():
        if student in beside and cell.learned() and (doses := shared_doses(cell, beside[student])):
            found.append((cell, beside[student], doses))
    common = set.intersection(*(set(doses) for *_, doses in found)) if found else set()
    if not common:
        return None
    dose = max(common)
    runs = {cell.student: shared_runs(dose, cell, own) for cell, own, _ in found}
    return _Gap(
        {(cell.student, cell.capacity): cell.retention(dose, runs[cell.student]) for cell, *_ in found},
        {(cell.student, cell.capacity): own.retention(dose, runs[cell.student]) for cell, own, _ in found},
        dose,
        Counts(len(found), min(map(seed_count, runs.values())), min(cell.items for cell, *_ in found)),
    )


def _capacity_gap(part: PartRule, gap: _Gap | None, least_loss: float, measured: bool) -> ClaimPart:
    if gap is None:
        return untestable(
            "capacity_gap",
            part,
            "no shared dose with the joint arm" if measured else "no joint arm (controls: [joint])",
        )
    if (small := _nothing_lost(gap, least_loss)) is not None:
        return untestable("capacity_gap", part, small)
    missing = {size: metrics.capacity_gap(1.0, retention) for size, retention in gap.beside.items()}
    return decide("capacity_gap", part, missing, np.mean(list(missing.values()), axis=0), gap.n)


def _replay(part: PartRule, gap: _Gap | None, least_loss: float, arm: MeasuredArm | None) -> ClaimPart:
    if gap is None:
        return untestable(
            "replay", part, "no shared dose with the replay arm" if arm else "no replay arm (controls: [replay_5])"
        )
    if (small := _nothing_lost(gap, least_loss)) is not None:
        return untestable("replay", part, small)
    lost = {size: 1 - retention for size, retention in gap.sequence.items()}
    back = {size: gap.beside[size] - gap.sequence[size] for size in gap.sequence}
    total = np.sum(list(lost.values()), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, np.sum(list(back.values()), axis=0) / total, np.nan)
        by_size = {size: np.where(lost[size] > 0, back[size] / lost[size], np.nan) for size in lost}
    kept = {size: drawn for size, drawn in by_size.items() if float(lost[size][0]) > least_loss}
    return decide("replay", part, kept, share, gap.n)


def _nothing_lost(gap: _Gap, least_loss: float) -> str | None:
    lost = 1 - float(np.mean([drawn[0] for drawn in gap.sequence.values()]))
    if lost >= least_loss:
        return None
    return f"in sequence only {lost:.2f} of retention was lost, less than {least_loss:g}: no loss, no cause"


def _interference(gap: _Gap | None, parts: tuple[ClaimPart, ...]) -> RivalState:
    if gap is None:
        return "open", "takes a joint arm"
    kept = [metrics.interference_gap(gap.beside[size], gap.sequence[size]) for size in gap.beside]
    between = np.mean(kept, axis=0)
    low, high = interval(between, gap.n.seeds, gap.n.items)
    text = f"joint training keeps {between[0]:+.2f} more than training in sequence [{low:+.2f}, {high:+.2f}]"
    larger = float(between[0]) > max(0.0, 1 - float(np.mean([drawn[0] for drawn in gap.beside.values()])))
    if high < parts[0].margin:
        return "excluded", text
    return "explains" if low > 0 and larger else "open", text


def _room(gap: _Gap | None, margin: float, least_loss: float) -> RivalState:
    """Whether the same students with more room, and the same function at dose 0, keep no more: room is no cause."""
    if gap is None:
        return "open", "takes an arm of grown students (mitigations: [growth])"
    if (small := _nothing_lost(gap, least_loss)) is not None:
        return "open", small
    more = np.mean([gap.beside[size] - gap.sequence[size] for size in gap.sequence], axis=0)
    low, high = interval(more, gap.n.seeds, gap.n.items)
    text = f"grown students keep {more[0]:+.2f} more than the same ones as they were [{low:+.2f}, {high:+.2f}]"
    return "explains" if high < margin else "excluded" if low > margin else "open", text
