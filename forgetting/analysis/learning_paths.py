"""A study's score rows in; out what each run had learned and retained at each look, sorted by method and strength.

A method is a mitigation with its settings that are words (where KL is taken, by what a change is trimmed) or that make
it a control (``random``); numbers are its strengths. ``plain`` is what a method is held against: tuning without any, at
all rates at which the study has it, with WiSE-FT between start and end. Sham runs (rate 0) learn nothing, and are none.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, cast

import numpy as np
import pandas as pd

from forgetting import registry
from forgetting.analysis.curves import ORIGINAL, skill_names
from forgetting.analysis.metrics import Floats, learning
from forgetting.analysis.operations import NOT_KNOWN, Operations, operations, width_of
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder, new_source
from forgetting.contracts import Contamination, Mitigation
from forgetting.record.schema import RUN_KEY
from forgetting.spec import Optimiser

PLAIN = "plain"
AS_PLAIN = ("none", "low_rate", "wise_ft")
REPLAYS = ("replay", "self_replay")
Settings = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class LearningPath:
    """The looks of one run in order of dose (D): learning, retention, and operations so far (in plain samples)."""

    learning_D: Floats
    retention_D: Floats
    operations_D: Floats

    def at(self, learning_L: Floats) -> tuple[Floats, Floats]:
        """The most that is retained where at least so much is learned, and the operations it took, each ``[L]``.

        Between two looks all three are taken as lines; NaN where the run never learns as much.
        """
        x, y, done = self.learning_D, self.retention_D, self.operations_D
        if not len(x):
            return np.full(len(learning_L), np.nan), np.full(len(learning_L), np.nan)
        wanted = np.asarray(learning_L, float)[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            part = (wanted - x[:-1]) / np.diff(x)  # where each piece of the path crosses each level
            crossing, spent = y[:-1] + part * np.diff(y), done[:-1] + part * np.diff(done)
        crossed = (part >= 0) & (part <= 1)
        values = np.hstack([np.where(x >= wanted, y, -np.inf), np.where(crossed, crossing, -np.inf)])
        spent = np.hstack([np.broadcast_to(done, (len(wanted), len(x))), spent])
        best = values.argmax(axis=1)[:, None]
        found = np.take_along_axis(values, best, axis=1)[:, 0]
        reached = np.isfinite(found)
        taken = np.take_along_axis(spent, best, axis=1)[:, 0]
        return np.where(reached, found, np.nan), np.where(reached, taken, np.nan)

    def until(self, operations: float) -> LearningPath:
        """The path ended where so many operations were done; where they are not known nothing is left of it."""
        kept = self.operations_D <= operations
        if kept.all() or not kept.any():
            return self if kept.all() else LearningPath(*(values[:0] for values in vars(self).values()))
        end = [np.interp(operations, self.operations_D, values) for values in (self.learning_D, self.retention_D)]
        ends = zip(vars(self).values(), [*end, operations], strict=True)
        return LearningPath(*(np.append(values[kept], last) for values, last in ends))


@dataclass(eq=False)
class Compared:
    """Arms that differ in nothing but what was done against forgetting.

    ``arms`` has the settings of each; ``methods`` the arms of each method; ``paths[size, skill][arm][student]`` the
    paths of the contamination seeds of a student, which is named by the seed of its distillation.
    """

    name: str
    source: str
    floor: float
    arms: dict[str, Settings]
    paths: dict[tuple[str, str], dict[str, dict[int, list[LearningPath]]]] = field(default_factory=dict)

    @property
    def methods(self) -> dict[str, tuple[str, ...]]:
        """The arms of each method: plain tuning first, then the parts that it is made of, then the others."""
        named = {arm: method(settings, self.arms.values()) for arm, settings in self.arms.items()}
        plain = tuple(arm for arm, settings in self.arms.items() if mitigation(settings)["name"] in AS_PLAIN)
        found = {PLAIN: plain}
        rates = tuple(arm for arm in plain if mitigation(self.arms[arm])["name"] != "wise_ft")
        once = tuple(arm for arm in rates if named[arm] == "none" and multiple(self.arms[arm]) == 1)
        for name, some in (("one rate", once), ("all rates", rates)):
            if some and some not in found.values():
                found[name] = some
        for name in dict.fromkeys(named.values()):
            if name not in ("none", "low_rate"):
                found[name] = tuple(arm for arm in self.arms if named[arm] == name)
        return found


def compared(study: StudyFolder) -> list[Compared]:
    """What can be compared in a study: sets of arms in which there are plain tuning and a mitigation other than that.

    Skills that a student has not learned have no path.
    """
    groups: dict[str, dict[str, Settings]] = {}
    for arm in study.record.get("arms", []):
        if arm["name"] in study.arm_names and multiple(arm) > 0:
            same = (arm.get("contamination"), arm.get("shift", 1.0), arm.get("rate_policy"))
            groups.setdefault(repr(same), {})[str(arm["name"])] = arm
    found = []
    for arms in groups.values():
        names = {mitigation(settings)["name"] for settings in arms.values()}
        if "none" in names and len(names) > 1:
            plainest = next(n for n, own in arms.items() if mitigation(own)["name"] == "none")
            source = arms[plainest].get("contamination")
            floor = float(arms[plainest].get("floor", 0.0)) or floor_of(source)
            one = Compared(plainest, part_name(source), floor, arms)
            one.paths = _paths(study, one)
            found += [one] if one.paths else []
    return found


def _paths(study: StudyFolder, group: Compared) -> dict[tuple[str, str], dict[str, dict[int, list[LearningPath]]]]:
    rows = study.scores[study.scores["arm"].isin(list(group.arms)) & study.scores["depth"].isna()]
    run = list(RUN_KEY)
    looks = [*run, "dose"]
    probes = rows[rows["benchmark"] == PROBE]
    new = {arm: new_source(group.arms[str(arm)], own) for arm, own in probes.groupby("arm", observed=True)}
    probes = probes[probes["variant"] == probes["arm"].map(new)]
    learned = probes[looks].assign(learning=learning(pd.to_numeric(probes["nll"]), group.floor))
    graded = rows[(rows["benchmark"] != PROBE) & (rows["variant"] == ORIGINAL)].merge(learned, on=looks)
    graded["retention"] = pd.to_numeric(graded["retention"])
    graded["skill"] = graded["benchmark"].map(skill_names(study.scores))
    graded = graded.dropna(subset=["learning", "retention"]).sort_values([*run, "skill", "dose"], kind="stable")
    found: dict[tuple[str, str], dict[str, dict[int, list[LearningPath]]]] = {}
    costs: dict[tuple[Any, Any], Operations] = {}
    numbers = graded[["learning", "retention", "stream_samples"]].to_numpy(float)
    keys = graded[[*run, "skill"]].itertuples(index=False, name=None)
    for (size, arm, student, _, skill), places in groupby(enumerate(keys), key=lambda pair: pair[1]):
        own = numbers[[place for place, _ in places]]
        if (size, arm) not in costs:
            costs[size, arm] = _operations(study, group.arms[str(arm)], str(size))
        own[:, 2] = costs[size, arm].of(own[:, 2])
        by_student = found.setdefault((str(size), str(skill)), {}).setdefault(str(arm), {})
        by_student.setdefault(int(student), []).append(LearningPath(*own.T))
    order = {name: place for place, name in enumerate(dict.fromkeys(graded.sort_values("capacity")["student"]))}
    return dict(sorted(found.items(), key=lambda pair: order[pair[0][0]]))


def _operations(study: StudyFolder, arm: Settings, student: str) -> Operations:
    """What a sample costs in an arm; not known of what is not of this package, whose class a record must not import."""
    own = mitigation(arm)
    if own["name"] not in registry.names("mitigation"):
        return NOT_KNOWN
    fine_tuning = study.record.get("spec", {}).get("fine_tuning", {})
    part = cast(Mitigation, registry.build("mitigation", own, "mitigation"))
    batch_size = int(fine_tuning.get("batch_size", Optimiser().batch_size))
    trunks = {one["name"]: one["trunk"] for one in study.record.get("students", []) if "trunk" in one}
    return operations(part, float(arm.get("shift", 1.0)), batch_size, width_of(trunks.get(student, student)))


def mitigation(arm: Settings) -> dict[str, Any]:
    """The settings of an arm's mitigation, its name among them."""
    known = arm.get("mitigation", "none")
    return {**known, "name": part_name(known)} if isinstance(known, dict) else {"name": str(known)}


def multiple(arm: Settings) -> float:
    """By how much an arm multiplies the learning rate, whatever its mitigation does."""
    return float(arm.get("rate_multiple", 1))


def method(arm: Settings, arms: Iterable[Settings]) -> str:
    """The name of an arm's method: of its mitigation, with those words that differ among the arms that have it too."""
    own = mitigation(arm)
    same = [known for known in map(mitigation, arms) if known["name"] == own["name"]]
    words = [
        value if isinstance(value, str) else "+".join(value)
        for key, value in own.items()
        if key != "name" and _is_words(value) and len({str(known.get(key)) for known in same}) > 1
    ]
    return " ".join([str(own["name"]), *filter(None, words), *(["random"] if own.get("random") is True else [])])


def _is_words(value: Any) -> bool:
    """Whether a setting is a word or a list of words."""
    return isinstance(value, str) or (isinstance(value, list | tuple) and all(isinstance(one, str) for one in value))


def floor_of(contamination: Any) -> float:
    """The entropy of a contamination's answers, nats a token (``Contamination.floor``), where its record has none yet.

    0 for what is not of this package: a record says which class it was, and reading one must not import that.
    """
    known = contamination if isinstance(contamination, dict) else {"name": contamination}
    held = [part for value in known.values() for part in (value if isinstance(value, list) else [value])]
    nested = any(isinstance(part, dict) for part in held)
    if nested or known.get("name") not in registry.names("contamination"):
        return 0.0
    source = registry.build("contamination", known, "contamination")
    return source.floor() if isinstance(source, Contamination) else 0.0
