"""From ledger rows to forgetting curves: retention of a skill against dose, pooled over seeds, with intervals.

A curve's key says what it is of: ``maths`` (all depths), ``maths:3`` (depth 3), ``maths@rare`` (items of rare
coverage), ``maths/renamed`` (a perturbed variant). The skill's name is the benchmark's name where several benchmarks
measure the same skill.

Shapes: S runs (seeds), D doses (the first is dose 0), I items.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forgetting.analysis import metrics, statistics
from forgetting.analysis.metrics import Floats, Status
from forgetting.analysis.scores import PROBE, numbered
from forgetting.analysis.statistics import DRAWS
from forgetting.errors import unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from forgetting.analysis.dose_at import DoseAt

ORIGINAL = "original"
ITEM = ["template", "problem", "item", "depth", "coverage", "gold_tokens"]
OUTCOMES = [*ITEM, *"benchmark variant student capacity distillation_seed seed dose verdict nll_sum".split()]
IDENTITY = ("student", "capacity", "arm", "skill", "variant", "depth", "coverage", "status")
COLUMNS = (
    "dose accuracy accuracy_low accuracy_high retention low high relative_drop drop_points delta_nll items seeds"
).split()


@dataclass(frozen=True, eq=False)
class ForgettingCurve:
    """Retention of one skill of one student in one arm against dose. Arrays have one entry a dose, dose 0 first.

    ``low`` and ``high`` bound retention at 95%. Where the skill was not learned ``status`` is ``not_learned``, and
    retention and its bounds are NaN. ``dose`` is in contaminating samples, ``delta_nll`` in nats per token.
    """

    student: str
    capacity: int  # total parameters
    arm: str
    skill: str
    variant: str
    depth: int | None  # None: all depths
    coverage: str | None  # None: all items
    status: str
    dose: NDArray[np.int64]
    accuracy: Floats
    accuracy_low: Floats
    accuracy_high: Floats
    retention: Floats
    low: Floats
    high: Floats
    relative_drop: Floats
    drop_points: Floats  # percentage points, positive is loss
    delta_nll: Floats
    items: NDArray[np.int64]
    seeds: NDArray[np.int64]  # runs that reached the dose

    @property
    def key(self) -> str:
        """The name of this curve among its student's curves."""
        text = self.skill
        text += "" if self.depth is None else f":{self.depth}"
        text += "" if self.coverage is None else f"@{self.coverage}"
        return text if self.variant == ORIGINAL else f"{text}/{self.variant}"

    @property
    def remedy(self) -> str:
        """What to do about the status."""
        return Status[self.status].value

    def dose_at(self, level: float) -> DoseAt:
        """The dose at which retention falls to ``level`` for good, by the lines and the band that ``plot`` draws."""
        from forgetting.analysis.dose_at import dose_at  # with scipy.stats, which only crossings need

        return dose_at(self, level)

    def to_frame(self) -> pd.DataFrame:
        """One row a dose, with the curve's identity in every row."""
        return _frame([self])

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw retention with its band on ``ax`` (a new figure by default) and return the axes."""
        if ax is None:
            from matplotlib import pyplot

            ax = pyplot.subplots()[1]
            ax.set_xlabel("dose (contaminating samples)")
            ax.set_ylabel(f"retention of {self.key}")
        first = int(self.dose[1]) if len(self.dose) > 1 else 1
        ax.set_xscale("symlog", linthresh=first, linscale=0.5)
        (line,) = ax.plot(self.dose, self.retention, **({"marker": "o", "label": self.student} | style))
        ax.fill_between(self.dose, self.low, self.high, color=line.get_color(), alpha=0.15, linewidth=0)
        return ax

    def __repr__(self) -> str:
        head = f"ForgettingCurve({self.student}, {self.arm}, {self.key}"
        if self.status != Status.ok.name:
            return f"{head}: {self.status}, accuracy at dose 0 {self.accuracy[0]:.2f})"
        count = "1 seed" if self.seeds[0] == 1 else f"{self.seeds[0]} seeds"
        last = f"{self.retention[-1]:.2f} [{self.low[-1]:.2f}, {self.high[-1]:.2f}]"
        return f"{head}: retention {last} at dose {self.dose[-1]:,}, {len(self.dose)} doses, {count})"


class StudentCurves(dict[str, ForgettingCurve]):
    """The curves of one student in one arm, by key."""

    def __missing__(self, key: str) -> ForgettingCurve:
        raise KeyError(str(unknown("skill", key, self)))


class Curves(dict[str, StudentCurves]):
    """The curves of one arm: ``curves[student][skill]``, students in ascending order of capacity."""

    def __missing__(self, key: str) -> StudentCurves:
        raise KeyError(str(unknown("student", key, self)))

    def to_frame(self) -> pd.DataFrame:
        """The rows of all curves."""
        return _frame([curve for student in self.values() for curve in student.values()])


@dataclass(frozen=True)
class Outcomes:
    """What one student did on one benchmark and variant in one arm."""

    student: str
    capacity: int
    dose: NDArray[np.int64]
    right_SDI: NDArray[np.bool_]
    nll_SDI: Floats  # sums over the gold answer's tokens
    reached_SD: NDArray[np.bool_]
    distillation_seeds: NDArray[np.int64]
    items: pd.DataFrame  # item, template, depth, coverage, gold_tokens, in the order of the last axis


@dataclass(frozen=True)
class _Cell:
    """A subset of a benchmark's items."""

    depth: int | None = None
    coverage: str | None = None

    def mask(self, items: pd.DataFrame) -> NDArray[np.bool_]:
        keep = np.ones(len(items), dtype=bool)
        if self.depth is not None:
            keep &= items["depth"].to_numpy() == self.depth
        if self.coverage is not None:
            keep &= items["coverage"].to_numpy(object) == self.coverage
        return keep


def _frame(found: list[ForgettingCurve]) -> pd.DataFrame:
    """The rows of some curves."""
    if not found:
        return pd.DataFrame(columns=[*IDENTITY, *COLUMNS])
    head: dict[str, Any] = {name: [getattr(c, name) for c in found for _ in c.dose] for name in IDENTITY}
    head["depth"] = pd.array(head["depth"], dtype="Int64")
    return pd.DataFrame(head | {name: np.concatenate([getattr(curve, name) for curve in found]) for name in COLUMNS})


def skill_names(ledger: pd.DataFrame) -> dict[str, str]:
    """By benchmark, the name of its curves: its skill, or its own name where it shares the skill with another."""
    pairs = ledger.loc[ledger["benchmark"] != PROBE, ["benchmark", "skill"]].drop_duplicates()
    shared = set(pairs.loc[pairs["skill"].duplicated(keep=False), "skill"])
    return {str(b): str(b if s in shared else s) for b, s in pairs.itertuples(index=False)}


def curves(
    ledger: pd.DataFrame, chances: Mapping[str, float], arm: str | None = None, *, draws: int = DRAWS, seed: int = 0
) -> Curves:
    """The curves of one arm (by default the ledger's first): by student, then by key.

    The same draws of items and seeds serve every student and arm, so that differences between them are paired.
    """
    graded = ledger[ledger["benchmark"] != PROBE]
    name = str(graded["arm"].iloc[0]) if arm is None and len(graded) else arm
    graded = graded.loc[graded["arm"] == name, OUTCOMES]
    names, found = skill_names(ledger), list[ForgettingCurve]()
    for (benchmark, variant), rows in graded.groupby(["benchmark", "variant"], sort=False, observed=True):
        outcomes = [outcomes_of(own) for _, own in rows.groupby("student", sort=False, observed=True)]
        for cell in _cells(outcomes[0].items, str(variant)):
            for one in outcomes:
                curve = _curve(one, cell, float(chances[str(benchmark)]), draws, seed)
                found.append(ForgettingCurve(arm=str(name), skill=names[str(benchmark)], variant=str(variant), **curve))
    return _arranged(found)


def curves_from_frame(frame: pd.DataFrame) -> Curves:
    """The curves of one arm from their rows, as ``Curves.to_frame`` gave them."""
    found = []
    for _, rows in frame.groupby(list(IDENTITY), sort=False, dropna=False, observed=True):
        head = rows.iloc[0]
        arrays = {name: rows[name].to_numpy(float) for name in COLUMNS}
        whole = {name: arrays[name].astype(np.int64) for name in ("dose", "items", "seeds")}
        identity = {name: str(head[name]) for name in ("student", "arm", "skill", "variant", "status")}
        depth = None if pd.isna(head["depth"]) else int(head["depth"])
        coverage = None if pd.isna(head["coverage"]) else str(head["coverage"])
        capacity = int(head["capacity"])
        values: dict[str, Any] = {**identity, **arrays, **whole}
        found.append(ForgettingCurve(capacity=capacity, depth=depth, coverage=coverage, **values))
    return _arranged(found)


def _arranged(found: list[ForgettingCurve]) -> Curves:
    arranged = Curves()
    for curve in sorted(found, key=lambda c: (c.capacity, c.student)):
        arranged.setdefault(curve.student, StudentCurves())[curve.key] = curve
    return arranged


def _cells(items: pd.DataFrame, variant: str) -> Iterator[_Cell]:
    """All items; of the original also, where there are several, every depth and every coverage."""
    yield _Cell()
    if variant != ORIGINAL:
        return
    depths, coverages = sorted(set(items["depth"])), sorted(set(items["coverage"].astype(str)))
    for depth in depths if len(depths) > 1 else ():
        yield _Cell(depth=int(depth))
    for coverage in coverages if len(coverages) > 1 else ():
        yield _Cell(coverage=coverage)


def outcomes_of(rows: pd.DataFrame) -> Outcomes:
    """Arrays from the rows of one student, benchmark, variant and arm. Items missing at any look are left out."""
    number, looks = numbered(zip(rows["distillation_seed"].tolist(), rows["seed"].tolist(), strict=True))
    runs = sorted(looks)
    run = np.array([runs.index(look) for look in looks])[number]
    doses, dose = np.unique(rows["dose"].to_numpy(np.int64), return_inverse=True)
    number, _ = numbered(rows["item"].tolist())
    items = rows[ITEM].iloc[np.unique(number, return_index=True)[1]]
    keys = list(items[ITEM[:3]].itertuples(index=False, name=None))
    order = sorted(range(len(keys)), key=keys.__getitem__)
    items, item = items.iloc[order].reset_index(drop=True), np.argsort(order)[number]
    shape = (len(runs), len(doses), len(items))
    right, seen, nll = np.zeros(shape, bool), np.zeros(shape, bool), np.zeros(shape)
    right[run, dose, item] = rows["verdict"].to_numpy(object) == "right"
    nll[run, dose, item] = rows["nll_sum"].to_numpy(float)
    seen[run, dose, item] = True
    reached = np.asarray(seen.any(axis=2))
    whole = np.asarray(seen[reached].all(axis=0))
    return Outcomes(
        student=str(rows["student"].iloc[0]),
        capacity=int(rows["capacity"].iloc[0]),
        dose=np.asarray(doses, np.int64),
        right_SDI=right[:, :, whole],
        nll_SDI=nll[:, :, whole],
        reached_SD=reached,
        distillation_seeds=np.asarray([pair[0] for pair in runs], np.int64),
        items=items.loc[whole],
    )


def _curve(one: Outcomes, cell: _Cell, chance: float, draws: int, seed: int) -> dict[str, Any]:
    """The fields of a curve."""
    keep = cell.mask(one.items)
    templates, right = one.items["template"].to_numpy(object)[keep].astype(str), one.right_SDI[:, :, keep]
    draw = statistics.resampling(one.distillation_seeds, templates, draws, seed)
    band = statistics.retention_band(right, chance, draw, one.reached_SD)
    baseline = one.dose[0] == 0 and bool(one.reached_SD[:, 0].all())
    status = Status.no_baseline if not baseline else Status.ok if np.isfinite(band.retention[0]) else Status.not_learned
    undefined = np.full(len(one.dose), np.nan)
    return {
        "student": one.student,
        "capacity": one.capacity,
        "depth": cell.depth,
        "coverage": cell.coverage,
        "status": status.name,
        "dose": one.dose,
        "accuracy": band.accuracy,
        "accuracy_low": band.accuracy_low,
        "accuracy_high": band.accuracy_high,
        "retention": band.retention if baseline else undefined,
        "low": band.low if baseline else undefined,
        "high": band.high if baseline else undefined,
        "relative_drop": metrics.relative_drop(band.accuracy, band.accuracy_0) if baseline else undefined,
        "drop_points": metrics.drop_points(band.accuracy, band.accuracy_0) if baseline else undefined,
        "delta_nll": _delta_nll(one, keep) if baseline else undefined,
        "items": np.full(len(one.dose), int(keep.sum())),
        "seeds": one.reached_SD.sum(axis=0),
    }


def _delta_nll(one: Outcomes, keep: NDArray[np.bool_]) -> Floats:
    """Gold-trace NLL per token minus that at dose 0, mean over the runs that reached each dose."""
    tokens = max(float(one.items["gold_tokens"].to_numpy(float)[keep].sum()), 1.0)
    per_token_SD = one.nll_SDI[:, :, keep].sum(axis=2) / tokens
    change = per_token_SD - per_token_SD[:, :1]
    return np.asarray((change * one.reached_SD).sum(axis=0) / one.reached_SD.sum(axis=0))
