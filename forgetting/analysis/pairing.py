"""Two measurements of the same items, paired: graded answers of both in; items lost and gained, and an interval, out.

An item counts once, however many runs answered it: it is lost where more runs lost it than gained it. With one run
that is McNemar's table, and with several its exact test over items, which are what is independent.
"""

from __future__ import annotations

import dataclasses
import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis import metrics, statistics
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError, require, unknown
from forgetting.record.schema import RUN_KEY

ANSWERS = ("run", "item", "template", "right")  # the columns of graded answers
WIDTH = 80
SETTINGS = ("contamination", "shift", "mitigation", "rate_policy", "rate_multiple", "doses")  # of an arm in the record
OF_RUNS = ("arms", "branches", "doses", "first_seed", "seeds", "students")  # what a study lists, run by run


@dataclass(frozen=True)
class Paired:
    """One benchmark measured twice on the same items; the second against the first. Bounds are at 95%."""

    name: str
    items: int
    runs: int
    accuracy_first: float
    accuracy_second: float
    difference: float
    low: float
    high: float
    lost: int
    gained: int
    both_right: int
    both_wrong: int
    mcnemar_p: float
    left_out: int = 0  # items that only one of the two has

    @property
    def line(self) -> str:
        """In words, on one line of a table."""
        change = f"{self.difference:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"
        counts = f"{self.lost:>6,}{self.gained:>8,}{self.both_right:>7,}"
        accuracies = f"{self.accuracy_first:.3f}  {self.accuracy_second:.3f}"
        return f"  {accuracies}  {change}{counts}{self.mcnemar_p:>9.2g}{self.items:>8,}"


@dataclass(frozen=True)
class Comparison:
    """Everything that two measurements share, benchmark by benchmark.

    Of studies also: how many runs each has, how many of them have no partner in the other, and the settings of paired
    runs that differ, by name, as the records have them.
    """

    first: str
    second: str
    rows: tuple[Paired, ...]
    runs: tuple[int, int] = (1, 1)
    runs_left_out: tuple[int, int] = (0, 0)
    differing: dict[str, tuple[Any, Any]] = dataclasses.field(default_factory=dict)

    def to_frame(self) -> pd.DataFrame:
        """One row a benchmark."""
        return pd.DataFrame([dataclasses.asdict(row) for row in self.rows], columns=[f.name for f in FIELDS])

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps({
            "first": self.first, "second": self.second, "runs": self.runs, "runs_left_out": self.runs_left_out,
            "differing": self.differing, "compared": [dataclasses.asdict(row) for row in self.rows],
        }, indent=1, allow_nan=False)  # fmt: skip

    def __str__(self) -> str:
        lines = [f"A {self.first}"[:WIDTH], f"B {self.second}"[:WIDTH]]
        if any(self.runs_left_out):
            each = zip(self.runs_left_out, self.runs, "AB", strict=True)
            told = " and ".join(f"{out:,} of {runs:,} runs of {side}" for out, runs, side in each)
            lines += [f"left out, without a partner at this dose: {told}"]
        if self.differing:
            told = "; ".join(_shown(*one) for one in self.differing.items())
            lines += textwrap.wrap(f"settings that differ: {told}", WIDTH, subsequent_indent="  ")
        lines += ["", "      A      B  B - A [95% interval]      lost  gained   both        p   items"]
        for row in self.rows:
            runs = f", {row.runs} runs" if row.runs > 1 else ""
            left = f", {row.left_out:,} items left out that one of both lacks" if row.left_out else ""
            lines += [f"{row.name}{runs}{left}"[:WIDTH], row.line]
        return "\n".join([*lines, "", "lost: right in A only; gained: right in B only; p: McNemar, exact, two-sided"])


FIELDS = dataclasses.fields(Paired)


def _shown(name: str, values: tuple[Any, Any]) -> str:
    """A setting that differs in a few words; values that are lists by name alone."""
    if any(isinstance(value, list) for value in values):
        return name
    one, other = ("not set" if value is None else value for value in values)
    return f"{name} {one} and {other}"


def paired(name: str, first: pd.DataFrame, second: pd.DataFrame) -> Paired | None:
    """Graded answers (columns ``ANSWERS``) of two measurements, paired by run and item; None where none is shared."""
    if first["run"].nunique() == 1 and second["run"].nunique() == 1:  # two single runs, whatever their seeds
        second = second.assign(run=[first["run"].iloc[0]] * len(second))
    one, two = (frame.set_index(["run", "item"]) for frame in (first, second))
    if one.index.has_duplicates or two.index.has_duplicates:
        raise UsageError(f"{name}: must have one answer an item in each measurement, got several")
    both = one.join(two[["right"]], rsuffix="_second", how="inner").reset_index()
    whole = both.groupby("item", sort=False)["run"].transform("nunique") == both["run"].nunique()
    both = both[whole]
    if both.empty:
        return None
    templates = both.drop_duplicates("item").set_index("item")["template"].sort_index().astype(str)
    tables = [both.pivot(index="run", columns="item", values=of)[templates.index] for of in ("right", "right_second")]
    first_SI, second_SI = (table.to_numpy(bool) for table in tables)
    draw = statistics.resampling([run[0] for run in tables[0].index], templates.to_numpy())
    net_I = second_SI.sum(axis=0).astype(int) - first_SI.sum(axis=0)
    lost, gained, same = int((net_I < 0).sum()), int((net_I > 0).sum()), net_I == 0
    right_I = first_SI.mean(axis=0) > 0.5
    asked = len({*first["item"]} | {*second["item"]})
    return Paired(
        name, first_SI.shape[1], first_SI.shape[0], float(first_SI.mean()), float(second_SI.mean()),
        *statistics.paired_difference(first_SI, second_SI, draw), lost, gained,
        int((same & right_I).sum()), int((same & ~right_I).sum()), float(metrics.mcnemar_p(lost, gained)),
        asked - first_SI.shape[1],
    )  # fmt: skip


def compare_studies(
    first: StudyFolder,
    second: StudyFolder,
    *,
    arm: str | None = None,
    other_arm: str | None = None,
    dose: int | None = None,
) -> Comparison:
    """Two studies at the last dose that both measured (or at ``dose``), by student, arm and benchmark.

    Students and arms of the same name are compared; where no name is shared and each has only one, that one.
    ``arm`` chooses an arm of the first study and ``other_arm`` of the second one (by default the same name).

    Raises:
        UsageError: they share no student, arm, dose, benchmark or item, or a folder has no ledger
    """
    rows, with_partner, differing = list[Paired](), 0, dict[str, tuple[Any, Any]]()
    arms = _arms(first, second, arm, other_arm)
    for students in _matched("student", *(_names(study, "student") for study in (first, second))):
        for pair in arms:
            if found := list(_compared(first, second, students, pair, dose)):
                rows += found
                with_partner += max(row.runs for row in found)
                one, two = map(_settings, (first, second), students, pair)
                differing |= {n: (one.get(n), two.get(n)) for n in {**one, **two} if one.get(n) != two.get(n)}
    if not rows:
        at = "" if dose is None else f" at dose {dose:,}"
        raise UsageError(f"compare: {str(first.folder)!r} and {str(second.folder)!r} share no answers{at}")
    chosen = zip(*arms, strict=True) if arm or other_arm else (first.arm_names, second.arm_names)
    ours, theirs = (_runs(study, names) for study, names in zip((first, second), chosen, strict=True))
    left_out = ours - with_partner, theirs - with_partner
    return Comparison(str(first.folder), str(second.folder), tuple(rows), (ours, theirs), left_out, differing)


def _runs(study: StudyFolder, arms: Sequence[str]) -> int:
    """How many runs of these arms a study has."""
    rows = _graded(study)
    return len(rows.loc[rows["arm"].isin(arms), list(RUN_KEY)].drop_duplicates())


def _settings(study: StudyFolder, student: str, arm: str) -> dict[str, Any]:
    """What the record says of how runs of one student in one arm were made, by dotted name; defaults may be absent."""
    whole = study.record.get("canonical", {})
    own: dict[str, Any] = next((one for one in study.record.get("arms", []) if one["name"] == arm), {})
    shape: dict[str, Any] = next((one for one in whole.get("students", []) if one.get("name") == student), {})
    common = {name: value for name, value in whole.items() if name not in OF_RUNS}
    taught = whole.get("branches", {}).get(student)
    return dict(_flat({**common, "student": shape, "branch": taught, **{n: own.get(n) for n in SETTINGS}}))


def _flat(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The leaves of nested mappings by dotted name."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    else:
        yield name, value


def _graded(study: StudyFolder) -> pd.DataFrame:
    if study.ledger is None:
        raise UsageError(f"{study.folder}: has no ledger.parquet, so that its items are not known")
    return study.ledger[(study.ledger["benchmark"] != PROBE) & (study.ledger["variant"] == ORIGINAL)]


def _names(study: StudyFolder, column: str) -> list[str]:
    return [str(name) for name in _graded(study)[column].unique()]


def _matched(what: str, ours: Sequence[str], theirs: Sequence[str]) -> list[tuple[str, str]]:
    """The names that are compared."""
    if shared := [name for name in ours if name in theirs]:
        return [(name, name) for name in shared]
    rule = f"a study with a {what} of the same name, or both with a single one"
    require(len(ours) == len(theirs) == 1, "compare", rule, f"{', '.join(ours)} and {', '.join(theirs)}")
    return [(ours[0], theirs[0])]


def _arms(first: StudyFolder, second: StudyFolder, arm: str | None, other_arm: str | None) -> list[tuple[str, str]]:
    if arm is None and other_arm is None:
        return _matched("arm", first.arm_names, second.arm_names)
    own = arm or other_arm
    other = other_arm or arm
    for name, study in ((own, first), (other, second)):
        if name not in study.arm_names:
            raise unknown("arm", name, study.arm_names)
    return [(str(own), str(other))]


def _compared(
    first: StudyFolder, second: StudyFolder, students: tuple[str, str], arms: tuple[str, str], dose: int | None
) -> Iterator[Paired]:
    """One student in one arm, benchmark by benchmark."""
    frames = []
    for study, student, arm in zip((first, second), students, arms, strict=True):
        rows = study.common(_graded(study))
        frames.append(rows[(rows["student"] == student) & (rows["arm"] == arm)])
    doses = sorted({*frames[0]["dose"]} & {*frames[1]["dose"]})
    if not doses or (dose is not None and dose not in doses):
        return
    at = doses[-1] if dose is None else dose
    for benchmark in [name for name in frames[0]["benchmark"].unique() if name in set(frames[1]["benchmark"])]:
        versions = [study.record.get("benchmarks", {}).get(benchmark, {}).get("version") for study in (first, second)]
        require(versions[0] == versions[1], f"benchmarks.{benchmark}", "of one version in both", tuple(versions))
        one, two = (answers_of(own[(own["benchmark"] == benchmark) & (own["dose"] == at)]) for own in frames)
        names = [a if a == b else f"{a} and {b}" for a, b in (students, arms)]
        found = paired(f"{' '.join(names)} at dose {at:,} {benchmark}", one, two)
        if found is not None:
            yield found


def answers_of(rows: pd.DataFrame) -> pd.DataFrame:
    """Ledger rows of one student, arm, dose and benchmark as graded answers."""
    runs: list[Any] = list(zip(rows["distillation_seed"], rows["seed"], strict=True))
    about = {"run": runs, "item": rows["item"].to_numpy(object), "template": rows["template"].to_numpy(object)}
    return pd.DataFrame({**about, "right": np.asarray(rows["verdict"].to_numpy(object) == "right")})
