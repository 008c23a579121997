"""What a study measured, as claims need it: the folder of a study or sweep in, its arms and their cells out."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.record_reading import is_branched, part_name, read_record, replayed
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder
from forgetting.claims.judging.accuracy import Cell, CountCell, ItemCell, SeedPair


@dataclass(frozen=True)
class MeasuredArm:
    """One arm's settings, as the record has them: plain words and numbers.

    A ``study.arms.Arm`` is a condition that is to be run and holds its parts built. A folder may come from another
    version, another machine or a sweep; its parts need neither exist here nor find their data for it to be judged.
    """

    name: str
    contamination: str
    form: str | None
    shift: float
    rate_multiple: float
    rate_policy: str
    mitigation: str
    replay: float  # share of the stream, of the mitigation replay
    only_new: bool = False  # of the mitigation growth: the old weights stay

    @classmethod
    def of(cls, settings: dict[str, Any]) -> MeasuredArm:
        """Read an entry of the record's arms."""
        source, against = settings.get("contamination", "unknown"), settings.get("mitigation", "none")
        return cls(
            str(settings["name"]),
            part_name(source),
            source.get("form") if isinstance(source, dict) else None,
            float(settings.get("shift", 1.0)),
            float(settings.get("rate_multiple", 1.0)),
            str(settings.get("rate_policy", "unknown")),
            part_name(against),
            replayed(settings),
            isinstance(against, dict) and against.get("only_new") is True,
        )

    @property
    def exposure(self) -> tuple[float, float, str]:
        """What arms share that differ in their data alone: shift, rate, rate policy."""
        return self.shift, self.rate_multiple, self.rate_policy

    @property
    def exposed(self) -> str:
        """The exposure in words, for the conditions of a finding."""
        return f"shift {self.shift:g}, {self.rate_multiple:g}× rate, {self.rate_policy} policy"

    @property
    def plain(self) -> bool:
        """Trained in sequence at a rate above 0, with nothing against forgetting."""
        return self.mitigation == "none" and self.rate_multiple > 0


class Measured:
    """One study or sweep, read from its folder (``UsageError`` where it is none)."""

    def __init__(self, folder: Path | str) -> None:
        path = Path(folder)
        self.study = StudyFolder(path, read_record(path))
        self.record = self.study.record
        self.arms = tuple(MeasuredArm.of(arm) for arm in self.record.get("arms", []))
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

    @property
    def branched(self) -> bool:
        """Whether students go on from trunks that they share, so that students of one capacity differ."""
        return is_branched(self.study.record)

    @cached_property
    def students(self) -> tuple[str, ...]:
        """Students from the smallest up."""
        return tuple(name for name, _ in sorted(self._capacity.items(), key=lambda pair: pair[1]))

    def cell(
        self, student: str, arm: MeasuredArm, skill: str, depth: int | None = None, coverage: str | None = None
    ) -> Cell | None:
        """A cell of the original variant; None where it was not measured (coverage takes a ledger)."""
        key = (student, arm.name, skill, depth, coverage)
        if key not in self._cells:
            make = self._item_cell if self.with_items else self._count_cell
            benchmark = self.benchmark(skill)
            self._cells[key] = None if benchmark is None else make(student, arm.name, benchmark, depth, coverage)
        return self._cells[key]

    def cells(self, arm: MeasuredArm, skill: str) -> dict[str, Cell]:
        """By student, from the smallest up: the cells of all depths."""
        found = ((student, self.cell(student, arm, skill)) for student in self.students)
        return {student: cell for student, cell in found if cell is not None}

    def depths(self, skill: str) -> list[int]:
        """The depths of a skill's items."""
        rows = self.study.scores
        mask = (rows["benchmark"] == self.benchmark(skill)) & (rows["variant"] == ORIGINAL) & rows["depth"].notna()
        return sorted({int(depth) for depth in rows.loc[mask, "depth"]})

    def shares(self, student: str, arm: MeasuredArm, skill: str, dose: int) -> dict[str, float]:
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
        own = self.study.common(scores[(scores["variant"] == ORIGINAL) & (scores["benchmark"] != PROBE)])
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
        own = self.study.common(ledger[(ledger["variant"] == ORIGINAL) & (ledger["benchmark"] != PROBE)])
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
        key = f"{benchmark}:{depth}:{coverage}"
        chance = float(self.record["benchmarks"][benchmark]["chance"])
        return item_cell(rows[keep], student, self._capacity[student], arm, chance, key)

    def _count_cell(
        self, student: str, arm: str, benchmark: str, depth: int | None, coverage: str | None
    ) -> Cell | None:
        rows = self._rows.get((student, arm, benchmark, depth))
        if rows is None or coverage is not None:
            return None
        shares: dict[tuple[SeedPair, int], tuple[float, float, float]] = {}
        reached: dict[SeedPair, set[int]] = {}
        columns = ["distillation_seed", "seed", "dose", "accuracy", "lost", "gained"]
        for distillation, seed, dose, right, lost, gained in rows[columns].itertuples(index=False):
            run = (int(distillation), int(seed))
            shares[run, int(dose)] = (float(right), float(lost or 0), float(gained or 0))
            reached.setdefault(run, set()).add(int(dose))
        doses = {run: frozenset(found) for run, found in reached.items()}
        chance, items = float(rows["chance"].iloc[0]), int(rows["items"].min())
        key = f"{benchmark}:{depth}"
        return CountCell(student, self._capacity[student], arm, chance, items, doses, shares, key)


def item_cell(rows: pd.DataFrame, student: str, capacity: int, arm: str, chance: float, key: str) -> ItemCell | None:
    """The cell of ledger rows with one answer to each item; ``key`` names the items, of which equal draws are made."""
    if not len(rows):
        return None
    keys = rows[["distillation_seed", "seed", "dose"]].to_numpy(int)
    looks, look_of = np.unique(keys, axis=0, return_inverse=True)
    item_of, names = pd.factorize(rows["item"])
    right_LI = np.zeros((len(looks), len(names)), bool)
    asked_LI = np.zeros_like(right_LI)
    right_LI[look_of, item_of] = rows["verdict"].to_numpy(object) == "right"
    asked_LI[look_of, item_of] = True
    # Items that were asked at every look, in one order, so that one set of draws serves all cells.
    labels, first = names.astype(str), rows["template"].iloc[np.unique(item_of, return_index=True)[1]].astype(str)
    order = [n for n in np.argsort(labels.to_numpy(object)) if asked_LI[:, n].all()]
    right: dict[tuple[SeedPair, int], NDArray[np.bool_]] = {}
    reached: dict[SeedPair, set[int]] = {}
    for (distillation, seed, dose), right_I in zip(looks.tolist(), right_LI[:, order], strict=True):
        right[(distillation, seed), dose] = right_I
        reached.setdefault((distillation, seed), set()).add(dose)
    doses = {run: frozenset(found) for run, found in reached.items()}
    return ItemCell(student, capacity, arm, chance, len(order), doses, right, tuple(first.iloc[order]), key)
