"""C8, capacity or interference: a measured study in; the capacity gap and what a little replay removes out.

A student that learned old and new at once (joint arm) shows whether both fit: what it lacks is the capacity gap, and
only that may be laid to capacity. What it keeps and the student trained in sequence lost is interference.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetting.analysis.metrics import Floats
from forgetting.claims.judging.accuracy import seed_count, shared_doses, shared_runs
from forgetting.claims.judging.decision import ClaimPart, Counts, decide, interval, untestable
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, Rival, missing_needs
from forgetting.claims.loss import treated_arms


@dataclass(frozen=True, eq=False)
class _Gap:
    """Retention in sequence and in the arm beside it, at the last dose that both have: by (student, capacity)."""

    sequence: dict[tuple[str, int], Floats]
    beside: dict[tuple[str, int], Floats]
    doses: tuple[int, ...]
    n: Counts


def judge_cause(study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
    """C8 in one study."""
    conditions = f"{pair.contamination} against {pair.skill}"
    arms = treated_arms(study, pair)
    if not arms:
        why = f"no plain arm of {pair.contamination}"
        return Finding(
            tuple(untestable(name, part, why) for name, part in rule.parts.items()), (), conditions, measured=False
        )
    arm = arms[0]
    joint = [a for a in _beside(study, arm) if a.mitigation == "joint"]
    replayed = [a for a in _beside(study, arm) if 0 < a.replay <= rule.most_replay]
    most = max(replayed, key=lambda a: a.replay, default=None)
    gap = _gap(study, arm, joint[0], pair.skill) if joint else None
    replay = _gap(study, arm, most, pair.skill) if most else None
    parts = (_capacity_gap(rule, gap, bool(joint)), _replay(rule, replay, most))
    known = [found for found in (gap, replay) if found is not None]
    fewest = (min((getattr(found.n, name) for found in known), default=0) for name in ("sizes", "seeds", "items"))
    missing = missing_needs(rule, Counts(*fewest), study.fresh_students, True)
    if known:
        conditions += (
            f", dose {known[0].doses[0]:,}, shift {arm.shift:g}, {arm.rate_multiple:g}× rate, {arm.rate_policy} policy"
        )
    rivals = tuple(Rival(name, r.text, *_interference(gap, parts), r.blocks) for name, r in rule.rivals.items())
    return Finding(parts, rivals, conditions, missing)


def _beside(study: Measured, arm: MeasuredArm) -> list[MeasuredArm]:
    """Arms with the same contamination, shift, rate and rate policy."""
    same = (arm.contamination, arm.form, arm.shift, arm.rate_multiple, arm.rate_policy)
    arms = [a for a in study.arms if (a.contamination, a.form, a.shift, a.rate_multiple, a.rate_policy) == same]
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
        (dose,),
        Counts(len(found), min(map(seed_count, runs.values())), min(cell.items for cell, *_ in found)),
    )


def _capacity_gap(rule: ClaimRule, gap: _Gap | None, measured: bool) -> ClaimPart:
    part = rule.parts["capacity_gap"]
    if gap is None:
        return untestable(
            "capacity_gap",
            part,
            "no shared dose with the joint arm" if measured else "no joint arm (controls: [joint])",
        )
    if (small := _nothing_lost(rule, gap)) is not None:
        return untestable("capacity_gap", part, small)
    missing = {size: 1 - retention for size, retention in gap.beside.items()}
    return decide("capacity_gap", part, missing, np.mean(list(missing.values()), axis=0), gap.n)


def _replay(rule: ClaimRule, gap: _Gap | None, arm: MeasuredArm | None) -> ClaimPart:
    part = rule.parts["replay"]
    if gap is None:
        return untestable(
            "replay", part, "no shared dose with the replay arm" if arm else "no replay arm (controls: [replay_5])"
        )
    if (small := _nothing_lost(rule, gap)) is not None:
        return untestable("replay", part, small)
    lost = {size: 1 - retention for size, retention in gap.sequence.items()}
    back = {size: gap.beside[size] - gap.sequence[size] for size in gap.sequence}
    total = np.sum(list(lost.values()), axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(total > 0, np.sum(list(back.values()), axis=0) / total, np.nan)
        by_size = {size: np.where(lost[size] > 0, back[size] / lost[size], np.nan) for size in lost}
    kept = {size: drawn for size, drawn in by_size.items() if float(lost[size][0]) > rule.least_loss}
    return decide("replay", part, kept, share, gap.n)


def _nothing_lost(rule: ClaimRule, gap: _Gap) -> str | None:
    lost = 1 - float(np.mean([drawn[0] for drawn in gap.sequence.values()]))
    if lost >= rule.least_loss:
        return None
    return f"in sequence only {lost:.2f} of retention was lost, less than {rule.least_loss:g}: no loss, no cause"


def _interference(gap: _Gap | None, parts: tuple[ClaimPart, ...]) -> tuple[str, str]:
    if gap is None:
        return "open", "takes a joint arm"
    between = np.mean([gap.beside[size] - gap.sequence[size] for size in gap.beside], axis=0)
    low, high = interval(between, gap.n.seeds, gap.n.items)
    text = f"joint training keeps {between[0]:+.2f} more than training in sequence [{low:+.2f}, {high:+.2f}]"
    larger = float(between[0]) > max(0.0, 1 - float(np.mean([drawn[0] for drawn in gap.beside.values()])))
    if high < parts[0].margin:
        return "excluded", text
    return "explains" if low > 0 and larger else "open", text
