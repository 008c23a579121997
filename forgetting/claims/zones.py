"""C9, zones and thresholds of capacity: a measured study in; order, ends, shape and the zone of each size out."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pandas as pd

from forgetting.analysis.metrics import Floats
from forgetting.analysis.thresholds.shapes import SEEDS, SIZES, judge_shape
from forgetting.analysis.thresholds.zones import HIGH_SHIFT, LOW_SHIFT, zone_probabilities
from forgetting.claims.judging.accuracy import Cell, seed_count, shared_doses
from forgetting.claims.judging.comparisons import rise_per_decade
from forgetting.claims.judging.decision import OPEN, OPPOSES, SUPPORTS, ClaimPart, Counts, decide, interval, untestable
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import ClaimRule, Pair, PartRule
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim

Size = tuple[str, int]


@dataclass(frozen=True, eq=False)
class _Shift:
    """Retention at one shift and dose, by size: drawn, and by run."""

    retention: dict[Size, Floats]
    by_run: dict[Size, Floats]
    seeds: dict[Size, int]
    items: int

    def counts(self, *sizes: Size) -> Counts:
        chosen = sizes or tuple(self.retention)
        return Counts(len(chosen), min(self.seeds[size] for size in chosen), self.items)


@dataclass(frozen=True)
class CapacityZones(Claim):
    """C9: capacity decides what is kept, in zones with a threshold between them."""

    identifier: ClassVar[str] = "C9"
    parts: ClassVar[tuple[str, ...]] = ("order", "top", "bottom", "shape")
    rivals: ClassVar[tuple[str, ...]] = ("rate_policy", "reverse_order")

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """Order, both ends and the shape of retention over capacity at the largest dose that all sizes have."""
        conditions = f"{pair.contamination} against {pair.skill}"
        high, low = (_arm(study, pair, shift) for shift in (HIGH_SHIFT, LOW_SHIFT))
        cells = [_learned(study, arm, pair.skill) for arm in (high, low) if arm is not None]
        dose = _reference_dose(cells)
        if high is None:
            why = f"takes arms of {pair.contamination} at shift {HIGH_SHIFT:g} and {LOW_SHIFT:g}"
            return Finding.nothing(rule, why, conditions)
        if dose is None:
            why = f"{pair.skill} was learned and measured at no size and shared dose"
            return Finding.nothing(rule, why, conditions, measured=True)
        above = _shift(cells[0], dose)
        below = _shift(cells[1], dose) if low is not None else None
        conditions += f", dose {dose:,}, {high.rate_multiple:g}× rate, {high.rate_policy} policy"
        parts = (
            _order(rule.parts["order"], above),
            _end("top", rule.parts["top"], above, -1),
            untestable("bottom", rule.parts["bottom"], f"no arm at shift {LOW_SHIFT:g}")
            if below is None
            else _end("bottom", rule.parts["bottom"], below, 0),
            _shape(rule.parts["shape"], above),
        )
        missing = missing_needs(rule, above.counts(), study.fresh_students, True)
        states = {
            "rate_policy": lambda: _rate_policy(study, pair, high, dose, rule.parts["order"].margin),
            "reverse_order": lambda: _reverse(parts[0]),
        }
        return Finding(parts, rivals(rule, states), conditions, missing, zones=_zones(above, below))


def _arm(study: Measured, pair: Pair, shift: float, policy: str | None = None) -> MeasuredArm | None:
    """The plain arm of a pair at a shift: rate nearest to that set, constant policy first unless one is asked for."""
    arms = [a for a in study.arms if a.plain and a.contamination == pair.contamination and pair.form in (None, a.form)]
    arms = [a for a in arms if math.isclose(a.shift, shift) and policy in (None, a.rate_policy)]
    return min(arms, key=lambda a: (abs(math.log(a.rate_multiple)), a.rate_policy != "constant"), default=None)


def _learned(study: Measured, arm: MeasuredArm, skill: str) -> dict[Size, Cell]:
    found = study.cells(arm, skill)
    return {(student, cell.capacity): cell for student, cell in found.items() if cell.learned()}


def _reference_dose(arms: list[dict[Size, Cell]]) -> int | None:
    """The largest dose that every learned size has in every arm."""
    doses = [set(shared_doses(cell)) for cells in arms for cell in cells.values()]
    return max(set.intersection(*doses), default=None) if doses and all(arms) else None


def _shift(cells: dict[Size, Cell], dose: int) -> _Shift:
    retention, by_run, seeds = {}, {}, {}
    for size, cell in cells.items():
        runs = cell.runs(dose)
        retention[size] = cell.retention(dose, runs)
        now, base = (cell.accuracies(d, runs)[0] for d in (dose, 0))
        known = base > cell.chance
        by_run[size] = np.where(known, (now - cell.chance) / np.where(known, base - cell.chance, 1.0), np.nan)
        seeds[size] = seed_count(runs)
    return _Shift(retention, by_run, seeds, min(cell.items for cell in cells.values()))


def _order(rule: PartRule, above: _Shift) -> ClaimPart:
    slope = rise_per_decade(above.retention)
    if slope is None:
        return untestable("order", rule, f"{len(above.retention)} learned size(s), an order takes 3")
    return decide("order", rule, above.retention, slope, above.counts())


def _end(name: str, rule: PartRule, shift: _Shift, place: int) -> ClaimPart:
    size = list(shift.retention)[place]
    return decide(name, rule, {size: shift.retention[size]}, shift.retention[size], shift.counts(size))


def _shape(rule: PartRule, above: _Shift) -> ClaimPart:
    """Decided by the shape rule: its width interval is the part's interval, its rung spacing the margin."""
    n = above.counts()
    if n.sizes < SIZES or n.seeds < SEEDS:
        why = f"{n.sizes} sizes x {n.seeds} seeds; a shape takes {SIZES} x {SEEDS}"
        return untestable("shape", rule, why)
    capacity = np.concatenate([np.full(values.size, size[1]) for size, values in above.by_run.items()])
    shape = judge_shape(capacity, np.concatenate(list(above.by_run.values())))
    outcome = {"step": SUPPORTS, "trend": OPPOSES, "constant": OPPOSES}.get(shape.verdict, OPEN)
    note = f"{shape.verdict} ({shape.reason.replace('_', ' ')}), lowest BIC: {shape.winner}"
    return replace(
        untestable("shape", rule, note), outcome=outcome, margin=shape.spacing, value=shape.width_decades,
        low=shape.width_low, high=shape.width_high, sizes=n.sizes, seeds=n.seeds, items=n.items,
    )  # fmt: skip


def _rate_policy(study: Measured, pair: Pair, high: MeasuredArm, dose: int, margin: float) -> RivalState:
    policies = sorted({arm.rate_policy for arm in study.arms} - {high.rate_policy})
    for policy in policies:
        arm = _arm(study, pair, HIGH_SHIFT, policy)
        cells = {} if arm is None else _learned(study, arm, pair.skill)
        cells = {size: cell for size, cell in cells.items() if cell.runs(dose)}
        other = _shift(cells, dose) if len(cells) > 2 else None
        slope = None if other is None else rise_per_decade(other.retention)
        if other is None or slope is None:
            continue
        low, up = interval(slope, other.counts().seeds, other.items)
        text = f"under policy {policy} retention rises by {slope[0]:+.2f} [{low:+.2f}, {up:+.2f}] per decade"
        return "excluded" if low > margin else "explains" if up < margin else "open", text
    return "open", "no arm with another rate policy at this shift and dose on three sizes"


def _reverse(order: ClaimPart) -> RivalState:
    if not math.isfinite(order.value):
        return "open", order.note
    text = f"retention rises by {order.value:+.2f} per decade"
    return "excluded" if order.low > 0 else "explains" if order.high < 0 else "open", text


def _zones(above: _Shift, below: _Shift | None) -> pd.DataFrame:
    sizes = sorted({*above.retention, *(below.retention if below else ())}, key=lambda size: size[1])
    nothing = np.full(next(iter(above.retention.values())).shape, np.nan)

    def stacked(shift: _Shift | None) -> Floats:
        return np.stack([nothing if shift is None else shift.retention.get(size, nothing) for size in sizes], axis=1)

    high, low = stacked(above), stacked(below)
    return zone_probabilities([size[1] for size in sizes], high[0], low[0], high[1:], low[1:])
