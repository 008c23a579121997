"""A sweep as its folder has it: targets with their trials and thresholds, and the retention of every run behind them.

What was searched is in ``sweep.json``; what was measured is in the score rows, so that runs which another search asked
for count as well.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import Floats, Status, censored_variance, retention_variance
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.thresholds.threshold import Threshold
from forgetting.errors import UsageError
from forgetting.record.checks import PART
from forgetting.record.field_kinds import FLAG, NAME, NONE, NUMBER, TEXT, WHOLE, check_shape, maybe
from forgetting.record.seals import read_sealed

SWEEP_FILE = "sweep.json"
TRIAL_COLUMNS = "number state run student shift retention variance flops seconds status error holdout pruned_at".split()
TARGET = {
    "name": TEXT, "benchmark": TEXT, "depth": (WHOLE, NONE), "dose": WHOLE, "contamination": PART, "rate_policy": TEXT,
    "students": [NAME], "arms": [{"shift": NUMBER, "name": NAME}], "ended": TEXT, "grid_runs": WHOLE,
    "target": {
        "axis": TEXT, "skill": TEXT, "levels": [NUMBER], "rate_multiple": NUMBER, "mitigation": maybe(*PART),
    },
    "thresholds": [{
        "axis": TEXT, "level": NUMBER, "status": TEXT, "confidence": NUMBER, "place": (TEXT, NUMBER),
        **dict.fromkeys(("value", "low", "high"), (NUMBER, NONE)),
        "students": maybe(WHOLE), "student_sd": maybe(NUMBER, NONE),
    }],
    "trials": [{
        "number": WHOLE, "state": TEXT, "run": TEXT, "student": NAME, "shift": NUMBER, "holdout": maybe(FLAG, NONE),
        **dict.fromkeys(("retention", "variance", "flops", "seconds"), maybe(NUMBER, NONE)),
        **dict.fromkeys(("status", "error"), maybe(TEXT, NONE)), "pruned_at": maybe(WHOLE, NONE),
    }],
}  # fmt: skip
SWEEP = {"targets": maybe([TARGET]), "hours": maybe(NUMBER), "fingerprint": maybe(TEXT), "spec": maybe({})}


@dataclass(frozen=True)
class PlacedThreshold:
    """A threshold and where on the other axis it holds: a shift, or a student."""

    place: str | float
    threshold: Threshold


@dataclass(frozen=True, eq=False)
class LocatedTarget:
    """One target of a sweep as it ended. ``arms`` has the name of the arm of every shift."""

    name: str
    axis: str
    skill: str
    benchmark: str
    depth: int | None
    dose: int
    levels: tuple[float, ...]
    contamination: str
    rate_multiple: float
    rate_policy: str
    students: tuple[str, ...]
    arms: dict[float, str]
    ended: str
    grid_runs: int
    thresholds: tuple[PlacedThreshold, ...] = field(repr=False)
    trials: pd.DataFrame = field(repr=False)
    mitigation: str = ""  # nothing, or the one by which the contaminating share of the stream is lowered

    @property
    def family(self) -> tuple[str, str, str, int, float, str]:
        """What targets have in common whose runs tell of one surface over capacity and shift."""
        return self.contamination, self.mitigation, self.skill, self.dose, self.rate_multiple, self.rate_policy

    @property
    def source(self) -> str:
        """What contaminates, and the mitigation that lowers its share, if one does."""
        return self.contamination + (f" under {self.mitigation}" if self.mitigation else "")

    @property
    def conditions(self) -> str:
        """What every figure and table of the target says of it."""
        rate = "" if self.rate_multiple == 1 else f", {self.rate_multiple:g}× rate"
        policy = f"rate policy {self.rate_policy.replace('_', ' ')}{rate}"
        return f"{self.source} · {self.skill} at dose {self.dose:,} · {policy}"


@dataclass(frozen=True, eq=False)
class SweepFolder:
    """A sweep's targets and the study that holds their runs."""

    study: StudyFolder = field(repr=False)
    targets: tuple[LocatedTarget, ...]
    hours: float
    fingerprint: str = "unknown"
    spec: dict[str, Any] = field(default_factory=dict, repr=False)

    @cached_property
    def families(self) -> tuple[LocatedTarget, ...]:
        """One target for each family, with the students and arms of all its members, in the order searched."""
        found: dict[tuple[str, str, str, int, float, str], LocatedTarget] = {}
        for target in self.targets:
            found[target.family] = _joined(found[target.family], target) if target.family in found else target
        return tuple(found.values())

    def observations(self, target: LocatedTarget, dose: int | None = None) -> pd.DataFrame:
        """Runs of a target at a dose (by default the target's), one row each; see ``every_dose`` for the columns.

        A run that was ended early counts with its last look and a wider variance, as the search counted it.
        """
        at = target.dose if dose is None else dose
        rows = self._looks(target, self.study.scores)
        rows = rows[rows["dose"] <= at].sort_values("dose", kind="stable")
        keys = ["student", "shift", "distillation_seed", "seed"]
        rows = rows.groupby(keys, sort=False).tail(1).sort_values(["capacity", "shift", "seed"], ignore_index=True)
        ended = rows["dose"] < at if not self.study.pruned.empty else pd.Series(False, rows.index)
        wider = [censored_variance(r, v) for r, v in rows[["retention", "variance"]].itertuples(index=False)]
        return rows.assign(variance=rows["variance"].where(~ended, pd.Series(wider, rows.index, dtype=float)))

    def every_dose(self, target: LocatedTarget) -> pd.DataFrame:
        """Retention with its variance (of the items) of every run of a target at every dose above 0.

        Columns: student, capacity, shift, distillation_seed, seed, dose, accuracy, items, retention, variance. Runs
        whose student had not learned the skill are left out, and doses beyond one at which a run was ended early.
        """
        return self._looks(target, self.study.common(self.study.scores))

    def _looks(self, target: LocatedTarget, scores: pd.DataFrame) -> pd.DataFrame:
        depth = scores["depth"].isna() if target.depth is None else scores["depth"] == target.depth
        shift_of = {arm: shift for shift, arm in target.arms.items()}
        own = scores[
            (scores["benchmark"] == target.benchmark)
            & (scores["variant"] == ORIGINAL)
            & depth
            & scores["arm"].isin(list(shift_of))
            & scores["student"].isin(target.students)
        ].copy()
        own["shift"] = own["arm"].map(shift_of).astype(float)
        keys = ["student", "arm", "distillation_seed", "seed"]
        own = own.merge(own[own["dose"] == 0].set_index(keys)["accuracy"].rename("accuracy_0"), on=keys)
        own = own[(own["dose"] > 0) & (own["status"] == Status.ok.name)]
        columns = "student capacity shift distillation_seed seed dose accuracy items retention".split()
        numbers = own[["accuracy", "accuracy_0", "items", "chance"]].astype(float)
        own["variance"] = [retention_variance(a, a_0, int(n), c) for a, a_0, n, c in numbers.itertuples(index=False)]
        own["retention"] = own["retention"].astype(float)
        return own[[*columns, "variance"]].reset_index(drop=True)

    def points(self, rows: pd.DataFrame) -> Floats:
        """log10 capacity and shift of rows, ``[N, 2]``."""
        return np.stack([np.log10(rows["capacity"].to_numpy(float)), rows["shift"].to_numpy(float)], axis=1)


def read_sweep(study: StudyFolder) -> SweepFolder | None:
    """The sweep in a study's folder; None where there is none, or one that has not ended yet."""
    path = study.folder / SWEEP_FILE
    if not path.is_file():
        return None
    try:
        held = read_sealed(path, "take the folder from where it came again")
    except UsageError as error:
        raise UsageError(f"{path}: not readable as the file of a sweep: {error}") from None
    try:
        check_shape(held, SWEEP, "")
        targets = tuple(_target(one) for one in one_answer(held.get("targets", [])))
    except UsageError as error:
        raise UsageError(f"{path}: not readable as the file of a sweep ({error})") from None
    about = str(held.get("fingerprint", "unknown")), dict(held.get("spec", {}))
    return SweepFolder(study, targets, float(held.get("hours", math.nan)), *about) if targets else None


def one_answer(targets: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Targets as ``sweep.json`` has them, each threshold only where most was asked for it: one answer to a question.

    Two searches of one family may both tell of a shift, or of a student. The one that asked for more runs at that place
    keeps its threshold there; of equal ones, the first.
    """
    best: dict[str, tuple[int, int]] = {}
    for number, held in enumerate(targets):
        for one in held["thresholds"]:
            key = "student" if isinstance(one["place"], str) else "shift"
            asked = sum(trial[key] == one["place"] for trial in held["trials"])
            question = _question(held, one)
            best[question] = max(best.get(question, (-1, 0)), (asked, -number))
    return [
        {**held, "thresholds": [one for one in held["thresholds"] if best[_question(held, one)][1] == -number]}
        for number, held in enumerate(targets)
    ]


def _question(held: dict[str, Any], threshold: dict[str, Any]) -> str:
    """What a threshold answers, for comparing: the family, the axis, the place and the level."""
    own = held["target"]
    about = [held["contamination"], own.get("mitigation", "none"), own["skill"], held["dose"], own["rate_multiple"]]
    return repr([*about, held["rate_policy"], *(threshold[name] for name in ("axis", "place", "level"))])


def _target(held: dict[str, Any]) -> LocatedTarget:
    own = held["target"]
    return LocatedTarget(
        name=str(held["name"]),
        axis=str(own["axis"]),
        skill=str(own["skill"]),
        benchmark=str(held["benchmark"]),
        depth=held["depth"],
        dose=int(held["dose"]),
        levels=tuple(float(level) for level in own["levels"]),
        contamination=_source(held["contamination"]),
        rate_multiple=float(own["rate_multiple"]),
        rate_policy=str(held["rate_policy"]),
        students=tuple(held["students"]),
        arms={float(arm["shift"]): str(arm["name"]) for arm in held["arms"]},
        ended=str(held["ended"]),
        grid_runs=int(held["grid_runs"]),
        thresholds=tuple(_placed(one) for one in held["thresholds"]),
        trials=pd.DataFrame(held["trials"], columns=TRIAL_COLUMNS),
        mitigation=_mitigation(own.get("mitigation", "none")),
    )


def _source(held: Any) -> str:
    """A contamination's name, and its form where it has several."""
    form = held.get("form") if isinstance(held, dict) else None
    return part_name(held) + (f" ({form})" if form else "")


def _mitigation(held: Any) -> str:
    """A mitigation's name and what else was asked of it; nothing for none."""
    words = [str(value) for name, value in held.items() if name != "name"] if isinstance(held, dict) else []
    return "" if part_name(held) == "none" else " ".join([part_name(held), *words])


def _placed(held: dict[str, Any]) -> PlacedThreshold:
    """A threshold from JSON, where what is not finite is None: no number, or a side that is not bounded."""
    values = {name: held[name] for name in ("axis", "level", "status", "value", "low", "high", "confidence")}
    located = values["status"] == "located"
    for name, absent in (("value", math.nan), ("low", 0.0 if located else math.nan), ("high", math.inf)):
        if values[name] is None:
            values[name] = absent if located or name != "high" else math.nan
    values |= {"students": int(held.get("students", 0)), "student_sd": held.get("student_sd")}
    return PlacedThreshold(held["place"], Threshold(**values))


def _joined(one: LocatedTarget, other: LocatedTarget) -> LocatedTarget:
    """The first with the students and arms of both, and the thresholds and trials of both in order."""
    merged = {**one.__dict__}
    merged["students"] = tuple(dict.fromkeys([*one.students, *other.students]))
    merged["arms"] = dict(sorted({**one.arms, **other.arms}.items()))
    merged["thresholds"] = one.thresholds + other.thresholds
    merged["trials"] = pd.concat([one.trials, other.trials], ignore_index=True)
    return LocatedTarget(**merged)
