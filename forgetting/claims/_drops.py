"""What claims of perturbation share: a measured study in; what perturbed wordings cost at dose 0, by size, out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import Floats
from forgetting.analysis.thresholds.shapes import judge_shape
from forgetting.claims.judging.accuracy import ItemCell, SeedPair, seed_count
from forgetting.claims.judging.comparisons import rise_per_decade, treated_arms
from forgetting.claims.judging.decision import Counts, decide, interval, untestable
from forgetting.claims.judging.evidence import Measured, MeasuredArm, item_cell
from forgetting.claims.judging.rules import ClaimRule, Pair
from forgetting.claims.judging.verdict import Finding, RivalState, missing_needs, rivals
from forgetting.contracts import Claim

BySize = dict[tuple[str, int], Floats]


@dataclass(frozen=True, eq=False)
class Wordings:
    """One student's answers at dose 0: a cell for each variant, of which equal draws are made."""

    cells: dict[str, ItemCell]
    runs: list[SeedPair]

    def drop(self, variants: Iterable[str]) -> Floats:
        """1 - mean accuracy of the variants / that of the original, drawn."""
        original = self.cells[ORIGINAL].accuracy(0, self.runs)
        perturbed = np.mean([self.cells[name].accuracy(0, self.runs) for name in variants], axis=0)
        return np.asarray(1 - perturbed / original)

    def drop_of_run(self, variants: Iterable[str], run: SeedPair) -> float:
        """The same of one run, as it was measured."""
        original = float(self.cells[ORIGINAL].right[run, 0].mean())
        return 1 - float(np.mean([self.cells[name].right[run, 0].mean() for name in variants])) / original


@dataclass(frozen=True)
class DropClaim(Claim):
    """Perturbed wordings cost accuracy before any contamination, the more the smaller the student.

    A member names its variants, and those whose cost is taken off: what another wording costs by itself.
    """

    parts: ClassVar[tuple[str, ...]] = ("drop", "order")
    variants: ClassVar[tuple[str, ...]]
    beside: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[str]  # the rival's variant, which keeps less than the members' variants do

    def judge(self, study: Measured, rule: ClaimRule, pair: Pair) -> Finding:
        """The drop at dose 0, mean over sizes, and how it changes per decade of size."""
        conditions = f"{pair.skill}, dose 0"
        found = next(filter(None, (self._wordings(study, arm, pair.skill) for arm in treated_arms(study, pair))), {})
        if not found:
            why = f"takes a ledger with {pair.skill} in the variants {', '.join((*self.variants, *self.beside))}"
            return Finding.nothing(rule, f"{why}, of a learned skill", conditions)
        n = Counts(
            len(found), min(seed_count(own.runs) for own in found.values()),
            min(own.cells[ORIGINAL].items for own in found.values()),
        )  # fmt: skip
        by_size = {size: self._cost(own) for size, own in found.items()}
        slope = rise_per_decade(by_size)
        order = rule.parts["order"]
        parts = (
            decide("drop", rule.parts["drop"], by_size, np.mean(list(by_size.values()), axis=0), n),
            untestable("order", order, "fewer than three sizes")
            if slope is None
            else decide("order", order, {}, slope, n),
        )
        states = {name: (lambda: self._rival(found, n)) for name in self.rivals}
        missing = missing_needs(rule, n, study.fresh_students, True)
        return Finding(parts, rivals(rule, states), conditions, missing, (self._shape(found),))

    def _cost(self, own: Wordings) -> Floats:
        return own.drop(self.variants) - (own.drop(self.beside) if self.beside else 0.0)

    def _wordings(self, study: Measured, arm: MeasuredArm, skill: str) -> dict[tuple[str, int], Wordings]:
        """By (student, capacity) from the smallest up, of students that had learned the skill."""
        ledger, benchmark = study.study.ledger, study.benchmark(skill)
        if ledger is None or benchmark is None:
            return {}
        mine = (ledger["arm"] == arm.name) & (ledger["benchmark"] == benchmark) & (ledger["dose"] == 0)
        wanted = (ORIGINAL, *self.variants, *self.beside, self.reference)
        rows, chance = ledger[mine], float(study.record["benchmarks"][benchmark]["chance"])
        found = {}
        for (student, capacity), own in rows.groupby(["student", "capacity"], sort=False):
            size = str(student), int(str(capacity))
            cells = {}
            for name in wanted:
                some = own[own["variant"] == name]
                some = some.assign(item=[item.replace(f"/{name}/", "/") for item in some["item"].astype(str)])
                if (cell := item_cell(some, *size, arm.name, chance, f"{benchmark}:None:None")) is not None:
                    cells[name] = cell
            if set(wanted) - {self.reference} <= set(cells) and cells[ORIGINAL].learned():
                found[size] = Wordings(cells, cells[ORIGINAL].runs())
        return dict(sorted(found.items(), key=lambda pair: pair[0][1]))

    def _rival(self, found: dict[tuple[str, int], Wordings], n: Counts) -> RivalState:
        """Whether the reference costs as much."""
        if not all(self.reference in own.cells for own in found.values()):
            return "open", f"no variant {self.reference}"
        other = np.mean([own.drop([self.reference]) for own in found.values()], axis=0)
        more = np.mean([self._cost(own) - own.drop([self.reference]) for own in found.values()], axis=0)
        (low, high), ends = interval(other, n.seeds, n.items), interval(more, n.seeds, n.items)
        text = f"{self.reference} costs {other[0]:+.3f} [{low:+.3f}, {high:+.3f}]"
        text += f", the claim's {more[0]:+.3f} [{ends[0]:+.3f}, {ends[1]:+.3f}] more"
        return "excluded" if ends[0] > 0 else "explains" if low > 0 and more[0] <= 0 else "open", text

    def _shape(self, found: dict[tuple[str, int], Wordings]) -> str:
        """Step or trend, by the rule of thresholds/shapes.py on the students."""
        pairs = [
            (capacity, own.drop_of_run(self.variants, run)) for (_, capacity), own in found.items() for run in own.runs
        ]
        shape = judge_shape([capacity for capacity, _ in pairs], [drop for _, drop in pairs])
        return f"shape of the drop over sizes, by students: {shape.verdict} ({shape.reason})"
