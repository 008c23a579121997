"""C7, what makes a task vulnerable: a measured study in; hazard by depth, coverage and simple skills out.

A task of k steps at per-step accuracy q scores q^k, so relative loss grows with depth by itself. The hazard
-ln(accuracy)/k is then the same at every depth; only its slope over depth is more than that. Each size is read at the
dose where its retention over all depths is nearest to one half (from .2 to .9), among those where no learned depth is
at the floor: where all or nothing is lost, depths cannot differ.

Shapes: K depths, B draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from forgetting.analysis.metrics import Floats, hazard
from forgetting.claims.judging.accuracy import Cell, SeedPair, seed_count, shared_doses, shared_runs
from forgetting.claims.judging.comparisons import control_of, treated_arms
from forgetting.claims.judging.decision import ClaimPart, Counts, decide, interval, untestable
from forgetting.claims.judging.evidence import Measured, MeasuredArm
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim

RETENTION = (0.2, 0.9)  # of a size whose depths may be compared
HALF = 0.5
DEPTHS = 3  # fewest for a slope
LEAST_RIGHT = 5  # answers of each depth, over runs: below it the hazard is that of the floor, not of the student


@dataclass(frozen=True)
class Look:
    """Where one size is read: the dose, and the runs that reached it in both arms."""

    student: str
    capacity: int
    dose: int
    runs: tuple[SeedPair, ...]


@dataclass(frozen=True, eq=False)
class _Effect:
    drawn: Floats
    items: int


class Vulnerability:
    """The three statistics of C7 for one study, arm and control."""

    def __init__(self, study: Measured, skill: str, arm: MeasuredArm, control: MeasuredArm | None) -> None:
        self.study, self.skill, self.arm, self.control = study, skill, arm, control
        self.looks = [look for student in study.students if (look := self._look(student)) is not None]

    def _look(self, student: str) -> Look | None:
        own = self._pair(student)
        if not own or not own[0].learned():
            return None
        best: tuple[float, int] | None = None
        for dose in shared_doses(*own):
            retention = float(own[0].retention(dose, shared_runs(dose, *own))[0])
            if RETENTION[0] <= retention <= RETENTION[1] and self._off_the_floor(student, dose):
                best = min(best or (np.inf, 0), (abs(retention - HALF), dose))
        if best is None:
            return None
        return Look(student, own[0].capacity, best[1], tuple(shared_runs(best[1], *own)))

    def _off_the_floor(self, student: str, dose: int) -> bool:
        for depth in self.study.depths(self.skill):
            cell = self.study.cell(student, self.arm, self.skill, depth)
            if cell is not None and cell.learned():
                runs = cell.runs(dose)
                if cell.accuracies(dose, runs)[0].sum() * cell.items < LEAST_RIGHT:
                    return False
        return True

    def _pair(
        self, student: str, skill: str | None = None, depth: int | None = None, coverage: str | None = None
    ) -> list[Cell]:
        """The cell in the arm and, where there is a control, in the control; empty if one is missing."""
        arms = [self.arm] if self.control is None else [self.arm, self.control]
        cells = [self.study.cell(student, arm, skill or self.skill, depth, coverage) for arm in arms]
        return [cell for cell in cells if cell is not None] if all(cells) else []

    def depth(self, look: Look) -> _Effect | None:
        """Slope over depth of the change of the hazard, the control's taken off, per step."""
        cells: dict[int, list[Cell]] = {}
        for depth in self.study.depths(self.skill):
            own = self._pair(look.student, depth=depth)
            if own and all(cell.learned(look.runs) for cell in own):
                cells[depth] = own
        if len(cells) < DEPTHS:
            return None
        k = np.array(sorted(cells), float)
        slopes = []
        for which in range(len(cells[int(k[0])])):
            hazards = [
                hazard(_share(cells[int(depth)][which], look.dose, look), depth)
                - hazard(_share(cells[int(depth)][which], 0, look), depth)
                for depth in k
            ]
            slopes.append((k - k.mean()) @ np.stack(hazards) / ((k - k.mean()) ** 2).sum())
        return _Effect(_minus_control(slopes), min(cell.items for own in cells.values() for cell in own))

    def coverage(self, look: Look) -> _Effect | None:
        """Logit loss of rare items minus that of common ones, at depths that have both, the control's taken off."""
        pairs = {}
        for depth in self.study.depths(self.skill):
            both = [self._pair(look.student, depth=depth, coverage=kind) for kind in ("rare", "common")]
            if all(both) and all(cell.learned(look.runs) for own in both for cell in own):
                pairs[depth] = both
        if not pairs:
            return None
        fewest = [sum(both[kind][0].items for both in pairs.values()) for kind in (0, 1)]
        extra = []
        for which in range(len(next(iter(pairs.values()))[0])):
            lost = []
            for kind in (0, 1):
                cells = [both[kind][which] for both in pairs.values()]
                at = [np.mean([c.accuracy(dose, look.runs) for c in cells], axis=0) for dose in (0, look.dose)]
                lost.append(_logit(at[0], min(fewest)) - _logit(at[1], min(fewest)))
            extra.append(lost[0] - lost[1])
        return _Effect(_minus_control(extra), min(fewest))

    def simple(self, look: Look, skills: tuple[str, ...]) -> _Effect | None:
        """Accuracy that the simple skills lose against the control (against dose 0 without one), their mean."""
        lost, items = [], 0
        for skill in skills:
            own = self._pair(look.student, skill)
            if not own or not own[0].learned(look.runs):
                continue
            rest = own[1].accuracy(look.dose, look.runs) if len(own) > 1 else own[0].accuracy(0, look.runs)
            lost.append(rest - own[0].accuracy(look.dose, look.runs))
            items += own[0].items
        return _Effect(np.mean(lost, axis=0), items) if lost else None

    def plain_loss(self) -> RivalState:
        """How much retention falls a step of depth, which equal steps would make fall as well."""
        slopes, items = [], []
        for look in self.looks:
            cells = {d: self.study.cell(look.student, self.arm, self.skill, d) for d in self.study.depths(self.skill)}
            known = {d: c for d, c in cells.items() if c is not None and c.learned(look.runs)}
            if len(known) >= DEPTHS:
                k = np.array(sorted(known), float)
                kept = np.stack([known[int(d)].retention(look.dose, look.runs) for d in k])
                slopes.append((k - k.mean()) @ kept / ((k - k.mean()) ** 2).sum())
                items += [cell.items for cell in known.values()]
        if not slopes:
            return "open", "too few depths were learned"
        seeds = min(seed_count(look.runs) for look in self.looks)
        mean = np.mean(slopes, axis=0)
        low, high = interval(mean, seeds, min(items))
        return "open", f"retention changes by {mean[0]:+.2f} [{low:+.2f}, {high:+.2f}] a step of depth"


@dataclass(frozen=True)
class TaskComplexity(Claim):
    """C7: deep and rarely covered tasks lose more, simple skills stay.

    Args:
        simple_skills: skills that are to stay
    """

    identifier: ClassVar[str] = "C7"
    parts: ClassVar[tuple[str, ...]] = ("depth", "coverage", "simple")
    rivals: ClassVar[tuple[str, ...]] = ("equal_steps",)

    simple_skills: tuple[str, ...] = ("lookup", "classification")

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """Slope over depth of the hazard, extra loss of rare items, and what the simple skills lose."""
        arms, conditions = treated_arms(study, pair), f"{pair.contamination} against {pair.skill}"
        if not arms:
            return Finding.nothing(rule, f"no plain arm of {pair.contamination}", conditions)
        arm = arms[0]
        control = control_of(study, arm)
        whole = Vulnerability(study, pair.skill, arm, control)
        if control is not None and not whole.looks:
            control = None
            whole = Vulnerability(study, pair.skill, arm, None)
        statistics: dict[str, Callable[[Look], _Effect | None]] = {
            "depth": whole.depth,
            "coverage": whole.coverage,
            "simple": lambda look: whole.simple(look, self.simple_skills),
        }
        lacks = self._lacks(study, pair, whole)
        parts = tuple(_part(name, rule, whole.looks, measure, lacks[name]) for name, measure in statistics.items())
        doses = sorted({look.dose for look in whole.looks})
        conditions += f", doses {', '.join(f'{dose:,}' for dose in doses)}" if doses else ""
        conditions += f", {arm.exposed}"
        tested = [part for part in parts if part.sizes]
        counts = Counts(*(min((getattr(p, n) for p in tested), default=0) for n in ("sizes", "seeds", "items")))
        missing = missing_needs(rule, counts, study.fresh_students, control is not None)
        notes = (f"sizes read: {', '.join(f'{look.student} at {look.dose:,}' for look in whole.looks)}",)
        states = rivals(rule, {"equal_steps": whole.plain_loss})
        return Finding(parts, states, conditions, missing, notes if whole.looks else ())

    def _lacks(self, study: Measured, pair: Pair, whole: Vulnerability) -> dict[str, str]:
        """By part, why it is not testable where it is not."""
        if not whole.looks:
            retained = f"from {RETENTION[0]:g} to {RETENTION[1]:g} and no depth at the floor"
            return dict.fromkeys(self.parts, f"no size has a dose with retention of {pair.skill} {retained}")
        return {
            "depth": f"fewer than {DEPTHS} depths were learned at any size that kept part of {pair.skill}",
            "coverage": "no depth with learned rare and common items"
            if study.with_items
            else "coverage is known by item only, and ledger.parquet is not at hand",
            "simple": f"none of {', '.join(self.simple_skills)} was learned",
        }


def _part(
    name: str, rule: ClaimRule, looks: list[Look], measure: Callable[[Look], _Effect | None], lack: str
) -> ClaimPart:
    found = {look: effect for look in looks if (effect := measure(look)) is not None}
    if not found:
        return untestable(name, rule.parts[name], lack)
    n = Counts(len(found), min(seed_count(look.runs) for look in found), min(effect.items for effect in found.values()))
    by_size = {(look.student, look.capacity): effect.drawn for look, effect in found.items()}
    return decide(name, rule.parts[name], by_size, np.mean(list(by_size.values()), axis=0), n)


def _minus_control(drawn: list[Floats]) -> Floats:
    return drawn[0] - drawn[1] if len(drawn) > 1 else drawn[0]


def _share(cell: Cell, dose: int, look: Look) -> Floats:
    """Accuracy above chance as a share, half an item added to right and to wrong, so that its logarithm is finite."""
    above = np.clip((cell.accuracy(dose, look.runs) - cell.chance) / (1 - cell.chance), 0, 1)
    answers = cell.items * len(look.runs)
    return np.asarray((above * answers + 0.5) / (answers + 1))


def _logit(accuracy: Floats, items: int) -> Floats:
    """With half an item added to either side; ``items`` alike for what is compared, so that ceilings are alike."""
    share = (accuracy * items + 0.5) / (items + 1)
    return np.asarray(np.log(share / (1 - share)))
