"""What a study measured, as claims need it: a study's folder in, accuracies of cells with their bootstrap draws out.

A *drawn* array has 1 + B entries: the estimate, then B draws of the paired hierarchical bootstrap (seed, template,
item). Statistics are plain arithmetic on drawn arrays. The same draws of runs and items serve every arm and dose of a
student, so that differences are paired.

A study without its ledger has counts instead of items: seeds are resampled, and right, lost and gained items are drawn
from their binomials, with the items at dose 0 shared by all arms of a student. Template clustering is then not counted.

Shapes: B draws, S runs, D doses, I items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forgetting import metrics, seeds, statistics
from forgetting.curves import ORIGINAL
from forgetting.metrics import Floats
from forgetting.report.folder import StudyFolder, part_name, read_record
from forgetting.scores import PROBE

Run = tuple[int, int]  # distillation seed, contamination seed
DRAWS = statistics.DRAWS


@dataclass(frozen=True)
class Arm:
    """One arm's settings, as the record has them."""

    name: str
    contamination: str
    form: str | None
    shift: float
    rate_multiple: float
    rate_policy: str
    replay: float
    mitigation: str
    joint: bool

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Arm:
        """Read an entry of the record's arms."""
        source = settings.get("contamination", "unknown")
        return cls(
            str(settings["name"]),
            part_name(source),
            source.get("form") if isinstance(source, dict) else None,
            float(settings.get("shift", 1.0)),
            float(settings.get("rate_multiple", 1.0)),
            str(settings.get("rate_policy", "unknown")),
            float(settings.get("replay", 0.0)),
            part_name(settings.get("mitigation", "none")),
            bool(settings.get("joint", False)),
        )

    @property
    def plain(self) -> bool:
        """Trained in sequence at a rate above 0, with nothing against forgetting."""
        return not self.joint and self.replay == 0 and self.mitigation == "none" and self.rate_multiple > 0


@dataclass(frozen=True, eq=False)
class Cell(ABC):
    """The outcomes of one student in one arm on some items of one benchmark."""

    student: str
    capacity: int
    arm: str
    chance: float
    items: int
    reached: dict[Run, frozenset[int]]  # doses of each run, which all start at 0

    @abstractmethod
    def accuracies(self, dose: int, runs: Sequence[Run]) -> Floats:
        """Accuracy of each run at a dose, drawn, ``[1+B, S]``; the draws of items are those of every other dose."""

    def runs(self, dose: int = 0) -> list[Run]:
        """The runs that reached a dose, ascending."""
        return sorted(run for run, doses in self.reached.items() if {0, dose} <= doses)

    def accuracy(self, dose: int, runs: Sequence[Run]) -> Floats:
        """Accuracy pooled over runs, drawn, ``[1+B]``."""
        weights = _run_weights(tuple(run[0] for run in runs))
        return np.asarray((weights * self.accuracies(dose, runs)).sum(axis=1) / weights.sum(axis=1))

    def retention(self, dose: int, runs: Sequence[Run]) -> Floats:
        """Retention pooled over runs (ratio of pooled means), drawn, ``[1+B]``; NaN where a draw's base is chance."""
        now, base = self.accuracy(dose, runs), self.accuracy(0, runs)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(base > self.chance, (now - self.chance) / (base - self.chance), np.nan)

    def learned(self, runs: Sequence[Run] | None = None) -> bool:
        """Whether the skill was learned: pooled accuracy at dose 0 is at least .30 above chance."""
        chosen = self.runs() if runs is None else list(runs)
        if not chosen:
            return False
        return bool(metrics.learned(self.accuracies(0, chosen)[0].mean(), self.chance))


@dataclass(frozen=True, eq=False)
class ItemCell(Cell):
    """A cell with its items."""

    right: dict[tuple[Run, int], NDArray[np.bool_]]  # by run and dose, each [I]
    templates: tuple[str, ...]
    key: str  # names the items: other items have other draws

    def accuracies(self, dose: int, runs: Sequence[Run]) -> Floats:
        weights = _item_weights(self.templates, self.key)
        outcomes_IS = np.stack([self.right[run, dose] for run in runs], axis=1).astype(float)
        return np.asarray(weights @ outcomes_IS / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class CountCell(Cell):
    """A cell of which only shares are known: by run and dose right, lost since dose 0, and gained."""

    shares: dict[tuple[Run, int], tuple[float, float, float]]
    key: str  # what the draws at dose 0 depend on beside the student

    def accuracies(self, dose: int, runs: Sequence[Run]) -> Floats:
        return np.stack([self._drawn(run, dose) for run in runs], axis=1)

    def _drawn(self, run: Run, dose: int) -> Floats:
        n, (base, *_) = self.items, self.shares[run, 0]
        right_B = seeds.generator(0, "claims", self.student, self.key, run[0]).binomial(n, base, DRAWS)
        if dose == 0:
            return np.concatenate([[base], right_B / n])
        right, lost, gained = self.shares[run, dose]
        rng = seeds.generator(0, "claims", self.student, self.key, self.arm, *run, dose)
        lost_B = rng.binomial(right_B, min(1.0, lost / base) if base > 0 else 0.0)
        gained_B = rng.binomial(n - right_B, min(1.0, gained / (1 - base)) if base < 1 else 0.0)
        return np.concatenate([[right], (right_B - lost_B + gained_B) / n])


@cache
def _run_weights(distillation_seeds: tuple[int, ...]) -> Floats:
    rng = seeds.generator(0, "bootstrap", "runs")
    return np.vstack([np.ones(len(distillation_seeds)), statistics.cluster_weights(distillation_seeds, DRAWS, rng)])


@cache
def _item_weights(templates: tuple[str, ...], key: str) -> Floats:
    rng = seeds.generator(0, "bootstrap", "items", key)
    return np.vstack([np.ones(len(templates)), statistics.cluster_weights(templates, DRAWS, rng)])


def shared_runs(dose: int, *cells: Cell) -> list[Run]:
    """The runs that reached a dose in every cell, ascending."""
    common = set.intersection(*(set(cell.runs(dose)) for cell in cells))
    return sorted(common)


def shared_doses(*cells: Cell) -> list[int]:
    """Doses above 0 that at least one run reached in every cell, ascending."""
    doses = {dose for run in cells[0].reached.values() for dose in run} - {0}
    return sorted(dose for dose in doses if shared_runs(dose, *cells))


def seed_count(runs: Sequence[Run]) -> int:
    """Fresh students count by distillation seed; runs on one shared student by contamination seed."""
    students = {run[0] for run in runs}
    return len(students) if len(students) > 1 else len(set(runs))


class Measured:
    """One study or sweep, read from its folder (``UsageError`` where it is none)."""

    def __init__(self, folder: Path | str) -> None:
        path = Path(folder)
        self.study = StudyFolder(path, read_record(path))
        self.record = self.study.record
        self.arms = tuple(Arm.of(arm) for arm in self.record.get("arms", []))
        self._cells: dict[tuple[Any, ...], Cell | None] = {}

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.study.folder.name

    @property
    def with_items(self) -> bool:
        """Whether the ledger is at hand."""
        return self.study.ledger is not None

    @property
    def fresh_students(self) -> bool:
        """Whether each seed has its own student."""
        return not self.record.get("seeds", {}).get("shared_students", True)

    @cached_property
    def students(self) -> tuple[str, ...]:
        """Students from the smallest up."""
        return tuple(name for name, _ in sorted(self._capacity.items(), key=lambda pair: pair[1]))

    def cell(
        self, student: str, arm: Arm, skill: str, depth: int | None = None, coverage: str | None = None
    ) -> Cell | None:
        """A cell of the original variant; None where it was not measured (coverage takes a ledger)."""
        key = (student, arm.name, skill, depth, coverage)
        if key not in self._cells:
            make = self._item_cell if self.with_items else self._count_cell
            benchmark = self.benchmark(skill)
            self._cells[key] = None if benchmark is None else make(student, arm.name, benchmark, depth, coverage)
        return self._cells[key]

    def cells(self, arm: Arm, skill: str) -> dict[str, Cell]:
        """By student, from the smallest up: the cells of all depths."""
        found = ((student, self.cell(student, arm, skill)) for student in self.students)
        return {student: cell for student, cell in found if cell is not None}

    def depths(self, skill: str) -> list[int]:
        """The depths of a skill's items."""
        rows = self.study.scores
        mask = (rows["benchmark"] == self.benchmark(skill)) & (rows["variant"] == ORIGINAL) & rows["depth"].notna()
        return sorted({int(depth) for depth in rows.loc[mask, "depth"]})

    def shares(self, student: str, arm: Arm, skill: str, dose: int) -> dict[str, float]:
        """Mean over runs of ``valid_rate`` and ``dialect_rate`` at a dose."""
        rows = self._rows.get((student, arm.name, str(self.benchmark(skill)), None))
        names = ("valid_rate", "dialect_rate")
        if rows is None:
            return dict.fromkeys(names, float("nan"))
        at = rows[rows["dose"] == dose]
        return {name: float(at[name].astype(float).mean()) for name in names}

    def benchmark(self, skill: str) -> str | None:
        """The benchmark of that name, else the first that measures that skill."""
        about = self.record["benchmarks"]
        if skill in about:
            return skill
        return next((str(name) for name, value in about.items() if value["skill"] == skill), None)

    @cached_property
    def _capacity(self) -> dict[str, int]:
        table = self.study.ledger if self.study.ledger is not None else self.study.scores
        pairs = table[["student", "capacity"]].drop_duplicates()
        return {str(student): int(capacity) for student, capacity in pairs.itertuples(index=False)}

    @cached_property
    def _rows(self) -> dict[tuple[Any, ...], pd.DataFrame]:
        """Score rows by student, arm, benchmark and depth."""
        scores = self.study.scores
        own = scores[(scores["variant"] == ORIGINAL) & (scores["benchmark"] != PROBE)]
        found = {}
        keys = ["student", "arm", "benchmark", "depth"]
        for (student, arm, benchmark, depth), rows in own.groupby(keys, dropna=False, sort=False):
            whole = None if np.isnan(float(str(depth))) else int(float(str(depth)))
            found[str(student), str(arm), str(benchmark), whole] = rows
        return found

    @cached_property
    def _ledgers(self) -> dict[tuple[str, str, str], pd.DataFrame]:
        """Ledger rows by student, arm and benchmark."""
        ledger = self.study.ledger
        assert ledger is not None
        columns = ["distillation_seed", "seed", "dose", "item", "template", "depth", "coverage", "verdict"]
        own = ledger[(ledger["variant"] == ORIGINAL) & (ledger["benchmark"] != PROBE)]
        groups = own.groupby(["student", "arm", "benchmark"], sort=False, observed=True)
        return {(str(s), str(a), str(b)): rows[columns] for (s, a, b), rows in groups}

    def _item_cell(
        self, student: str, arm: str, benchmark: str, depth: int | None, coverage: str | None
    ) -> Cell | None:
        rows = self._ledgers.get((student, arm, benchmark))
        if rows is None:
            return None
        keep = np.ones(len(rows), bool)
        if depth is not None:
            keep &= rows["depth"].to_numpy() == depth
        if coverage is not None:
            keep &= rows["coverage"].to_numpy(object) == coverage
        rows = rows[keep]
        looks = rows.groupby(["distillation_seed", "seed", "dose"], sort=True)
        if not len(rows):
            return None
        # Items that were asked at every look, in one order, so that one set of draws serves all cells.
        asked = rows.groupby("item", observed=True).size()
        items = sorted(map(str, asked.index[asked == looks.ngroups]))
        templates = rows.drop_duplicates("item").set_index("item")["template"].astype(str)
        right: dict[tuple[Run, int], NDArray[np.bool_]] = {}
        reached: dict[Run, set[int]] = {}
        for names, look in looks:
            distillation, seed, dose = (int(str(value)) for value in names)
            run = (distillation, seed)
            verdict = pd.Series(look["verdict"].to_numpy(object) == "right", index=look["item"].astype(str))
            right[run, dose] = verdict.reindex(items).to_numpy(bool)
            reached.setdefault(run, set()).add(dose)
        ordered, key = tuple(templates.loc[items]), f"{benchmark}:{depth}:{coverage}"
        doses = {run: frozenset(found) for run, found in reached.items()}
        chance = float(self.record["benchmarks"][benchmark]["chance"])
        return ItemCell(student, self._capacity[student], arm, chance, len(items), doses, right, ordered, key)

    def _count_cell(
        self, student: str, arm: str, benchmark: str, depth: int | None, coverage: str | None
    ) -> Cell | None:
        rows = self._rows.get((student, arm, benchmark, depth))
        if rows is None or coverage is not None:
            return None
        shares: dict[tuple[Run, int], tuple[float, float, float]] = {}
        reached: dict[Run, set[int]] = {}
        columns = ["distillation_seed", "seed", "dose", "accuracy", "lost", "gained"]
        for distillation, seed, dose, right, lost, gained in rows[columns].itertuples(index=False):
            run = (int(distillation), int(seed))
            shares[run, int(dose)] = (float(right), float(lost or 0), float(gained or 0))
            reached.setdefault(run, set()).add(int(dose))
        doses = {run: frozenset(found) for run, found in reached.items()}
        chance, items = float(rows["chance"].iloc[0]), int(rows["items"].min())
        key = f"{benchmark}:{depth}"
        return CountCell(student, self._capacity[student], arm, chance, items, doses, shares, key)
