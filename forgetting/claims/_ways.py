"""Ways of answering as claims need them: one arm's answers at its last dose in; accuracies at equal tokens out.

Majority voting is the control: what as many tokens bring without any aid. Between greedy decoding and the votes that
were measured, its accuracy is taken along the logarithm of the tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import Floats
from forgetting.claims.judging.accuracy import ItemCell, SeedPair, seed_count
from forgetting.claims.judging.decision import Counts, interval
from forgetting.claims.judging.evidence import Measured, MeasuredArm, item_cell
from forgetting.claims.judging.rules import Pair
from forgetting.claims.judging.verdict import RivalState

GREEDY, MAJORITY = "greedy", "majority"


@dataclass(frozen=True, eq=False)
class WayCells:
    """One student's answers in one arm: a cell for each way of answering, and its tokens an answer at the last dose."""

    cells: dict[str, ItemCell]
    tokens: dict[str, float]
    dose: int
    runs: list[SeedPair]

    def accuracy(self, way: str, *, before: bool = False) -> Floats:
        """Drawn, at the last dose or at dose 0."""
        return self.cells[way].accuracy(0 if before else self.dose, self.runs)

    def gain(self, way: str, *, before: bool = False) -> Floats:
        """Over greedy decoding, drawn."""
        return np.subtract(self.accuracy(way, before=before), self.accuracy(GREEDY, before=before))

    def over_majority(self, way: str) -> Floats:
        """Over what majority voting has of as many tokens, drawn; of fewer than greedy decoding's, greedy's."""
        names = sorted((n for n in self.cells if n.split()[0] in (GREEDY, MAJORITY)), key=self.tokens.__getitem__)
        place = np.log([self.tokens[name] for name in names])
        at = float(np.clip(np.log(self.tokens[way]), place[0], place[-1]))
        above = min(int(np.searchsorted(place, at, side="right")), len(names) - 1)
        share = (at - place[above - 1]) / (place[above] - place[above - 1])
        low, high = self.accuracy(names[above - 1]), self.accuracy(names[above])
        return np.asarray(self.accuracy(way) - (1 - share) * low - share * high)


def ways_of(study: Measured, arm: MeasuredArm, skill: str) -> dict[tuple[str, int], WayCells]:
    """By (student, capacity): students that had learned the skill and were also asked with majority voting."""
    ledger, benchmark = study.study.every_row, study.benchmark(skill)
    if ledger is None or benchmark is None or "answering" not in ledger:
        return {}
    mine = (ledger["arm"] == arm.name) & (ledger["benchmark"] == benchmark) & (ledger["variant"] == ORIGINAL)
    rows = ledger[mine & (ledger["intervention"] == "") & (ledger["sample"] == 0)]
    chance, found = float(study.record["benchmarks"][benchmark]["chance"]), {}
    for (student, capacity), own in study.study.common(rows).groupby(["student", "capacity"], sort=False):
        if (ways := _of_student(own, str(student), int(str(capacity)), arm.name, chance, benchmark)) is not None:
            found[str(student), int(str(capacity))] = ways
    return dict(sorted(found.items(), key=lambda pair: pair[0][1]))


def _of_student(
    rows: pd.DataFrame, student: str, capacity: int, arm: str, chance: float, benchmark: str
) -> WayCells | None:
    asked = rows[rows["answering"] != GREEDY]
    dose = int(asked["dose"].max()) if len(asked) else 0
    looks = rows[rows["dose"].isin((0, dose))]
    cells, tokens = {}, {}
    for way, own in _with_oracle(looks).groupby("answering", sort=False):
        cell = item_cell(own, student, capacity, arm, chance, f"{benchmark}:None:None")
        if cell is not None and cell.runs(dose):
            cells[str(way)] = cell
            tokens[str(way)] = float(own.loc[own["dose"] == dose, "generated"].mean())
    if not dose or GREEDY not in cells or not any(way.split()[0] == MAJORITY for way in cells):
        return None
    runs = sorted(set.intersection(*(set(cell.runs(dose)) for cell in cells.values())))
    return WayCells(cells, tokens, dose, runs) if cells[GREEDY].learned(runs or None) and runs else None


def budget(steps: int) -> str:
    """The label of a thinking budget of so many steps."""
    return f"thinking_budget budget={steps} unit=steps"


def oracle(more: int) -> str:
    """The label of the budget that gives each item its own number of steps, and some more."""
    return f"oracle budget +{more}"


def _with_oracle(rows: pd.DataFrame) -> pd.DataFrame:
    """And what budgets chosen for each item by its depth would have given, where all such budgets were asked for."""
    depths, frames = rows["depth"].unique(), [rows]
    for more in range(3):
        labels = {int(depth): budget(int(depth) + more) for depth in depths}
        if set(labels.values()) <= set(rows["answering"]):
            chosen = rows[rows["answering"] == rows["depth"].map(labels)]
            frames.append(chosen.assign(answering=oracle(more)))
    return pd.concat(frames, ignore_index=True)


def counts(ways: Iterable[WayCells]) -> Counts:
    """What a statistic over these students rests on."""
    own = list(ways)
    return Counts(len(own), min(seed_count(w.runs) for w in own), min(w.cells[GREEDY].items for w in own))


def arm_of(study: Measured, pair: Pair, shift: float) -> MeasuredArm | None:
    """The plain arm of a pair at a shift and the rate as set, constant policy first."""
    mine = [a for a in study.arms if a.plain and (a.contamination, a.shift) == (pair.contamination, shift)]
    mine = [a for a in mine if a.rate_multiple == 1.0 and pair.form in (None, a.form)]
    return min(mine, key=lambda a: a.rate_policy != "constant", default=None)


def mean_over(
    ways: dict[tuple[str, int], WayCells], what: Callable[[WayCells], Floats]
) -> tuple[dict[tuple[str, int], Floats], Floats]:
    """A drawn statistic by size, and its mean in which every size counts alike."""
    by_size = {size: what(own) for size, own in ways.items()}
    return by_size, np.asarray(np.mean(list(by_size.values()), axis=0))


def gains(ways: dict[tuple[str, int], WayCells], names: Iterable[str], n: Counts) -> tuple[str, ...]:
    """What each way gains over greedy decoding, in words; those that were measured of every student."""
    known = [name for name in names if all(name in own.cells for own in ways.values())]
    drawn = [(name, mean_over(ways, partial(WayCells.gain, way=name))[1]) for name in known]
    return tuple(f"{name} gains over greedy decoding {spoken(own, n)}" for name, own in drawn)


def spoken(drawn: Floats, n: Counts) -> str:
    """A drawn number with its interval, in words."""
    low, high = interval(drawn, n.seeds, n.items)
    return f"{drawn[0]:+.3f} [{low:+.3f}, {high:+.3f}]"


def does_it_too(ways: dict[tuple[str, int], WayCells], way: str, aid: str, n: Counts) -> RivalState:
    """Whether a control of an aid gains as much over greedy decoding."""
    if not all(way in own.cells for own in ways.values()):
        return "open", f"{way} was not measured"
    _, own = mean_over(ways, partial(WayCells.gain, way=way))
    _, more = mean_over(ways, lambda w: w.gain(aid) - w.gain(way))
    low, high = interval(more, n.seeds, n.items)
    text = f"{way} gains {spoken(own, n)} over greedy decoding, {aid} {spoken(more, n)} more"
    return "excluded" if low > 0 else "explains" if high < 0 or own[0] > 0 else "open", text


def gains_before(ways: dict[tuple[str, int], WayCells], aids: Iterable[str], n: Counts) -> RivalState:
    """Whether students that were never contaminated gain as much: the aid then helps, and recovers nothing."""
    texts, more = [], []
    for aid in aids:
        _, now = mean_over(ways, partial(WayCells.gain, way=aid))
        _, then = mean_over(ways, partial(WayCells.gain, way=aid, before=True))
        own = now - then
        texts.append(f"{aid} gains {spoken(own, n)} more after the contamination than before")
        more.append(interval(own, n.seeds, n.items))
    state = "excluded" if all(low > 0 for low, _ in more) else "explains" if any(h < 0 for _, h in more) else "open"
    return state, "; ".join(texts)
