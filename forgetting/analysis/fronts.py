"""What prevents forgetting at equal learning: a study's learning paths in, fronts of retention against learning out.

The front of a method is the envelope of its strengths, rates and doses, every look being an end of training. For each
level of learning the strength that retains most is chosen on one half of the students and shown on the other; halves
are swapped and pooled, so that the best of many strengths has no head start. Intervals are Student's t over students
at 95%, contamination seeds of one student being averaged first; differences from plain tuning are paired by student.
(Halves that choose for each other are not quite independent: of eight alike strengths on eight students it covers .93.)

Shapes: A arms of a method, S students, L levels of learning.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import stdtrit

from forgetting.analysis.learning_paths import PLAIN, Compared, LearningPath, compared
from forgetting.analysis.metrics import Floats, learning
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import require, unknown

DIALOGUE_LEVELS = (6.0, 4.0, 3.0, 2.5)  # NLL of the probe, nats a token
WAY = (0.3, 0.5, 0.7, 0.9)  # of other sources: shares of the way from dose 0 to what plain tuning learns
FEWEST = 4  # students that can be halved
POINTS = 33  # levels that an area is taken over, and a line is drawn through
NEVER = "never learns as much"
PathsByArm = Mapping[str, Mapping[int, list[LearningPath]]]

HEAD = ["arms", "student", "skill", "method", "strengths", "students"]
LEVEL_COLUMNS = [
    *HEAD, "nll", "learning", "reached", "retention", "low", "high", "difference", "difference_low",
    "difference_high", "operations", "optimism", "status",
]  # fmt: skip
AREA_COLUMNS = [
    *HEAD, "compared", "covered", "area", "low", "high", "covered_same_operations", "area_same_operations",
    "low_same_operations", "high_same_operations", "status",
]  # fmt: skip
LINE_COLUMNS = ["arms", "student", "skill", "method", "learning", "nll", "retention", "low", "high"]


@dataclass(frozen=True, eq=False)
class Fronts:
    """The fronts of a study's methods as frames; ``arms`` names what was compared, by its plain arm.

    Attributes:
        levels: one row a method and level. ``reached`` of ``students`` learn as much, ``retention`` is the mean of
            these with its interval; ``difference`` is from plain tuning (or what else it is held against) in the same
            students; ``operations`` are those that it took (``analysis.operations``), as a multiple of plain tuning's;
            ``optimism`` is what retention would gain were ``strengths`` chosen on the students that they are shown on
            (0 of one)
        areas: one row a method: the mean difference over the levels' range of learning, in the ``compared`` students
            that learn some of it under both, over the share of it that is ``covered``; and the same where no run takes
            more operations than plain tuning's longest, so that a method pays for what it adds by how far it gets
        lines: retention along learning, as far as every student learns, for the figure
    """

    levels: pd.DataFrame
    areas: pd.DataFrame
    lines: pd.DataFrame


def fronts(study: StudyFolder, nll: Sequence[float] | None = None, against: str = PLAIN) -> Fronts:
    """The fronts of every method; empty where a study has no two to compare.

    Args:
        study: a study with plain tuning and other mitigations on the same students
        nll: levels of learning as NLL of the probe, nats a token, falling; left out: 6, 4, 3, 2.5 for dialogue where
            plain tuning comes from above the first to below it, else .3, .5, .7 and .9 of its way in learning
        against: the method from which differences are taken
    """
    rows: dict[str, list[dict[str, Any]]] = {"levels": [], "areas": [], "lines": []}
    groups = compared(study)
    methods = dict.fromkeys(name for group in groups for name in group.methods)
    if groups and against not in methods:
        raise unknown("against", against, methods)
    for group in groups:
        levels_L = levels(group) if nll is None else _given(group, nll)
        for (size, skill), own in group.paths.items():
            head = {"arms": group.name, "student": size, "skill": skill}
            for name, found in _cell(group, own, levels_L, head, against).items():
                rows[name] += found
    return Fronts(
        pd.DataFrame(rows["levels"], columns=LEVEL_COLUMNS),
        pd.DataFrame(rows["areas"], columns=AREA_COLUMNS),
        pd.DataFrame(rows["lines"], columns=LINE_COLUMNS),
    )


def levels(group: Compared) -> Floats:
    """The levels of learning at which methods of these arms are compared, ``[L]``, rising."""
    start, end = _reach(group)
    if group.source == "dialogue" and start < -math.log(max(DIALOGUE_LEVELS)) <= end:
        return learning(DIALOGUE_LEVELS, group.floor)
    return start + np.array(WAY) * max(end - start, 0.0)


def _reach(group: Compared) -> tuple[float, float]:
    """Learning at dose 0, and the most of plain tuning: the median student, of the size with the least."""
    starts, ends = list[float](), list[float]()
    for own in group.paths.values():
        by_student: dict[int, list[LearningPath]] = {}
        for arm in group.methods[PLAIN]:
            for student, paths in own.get(arm, {}).items():
                by_student.setdefault(student, []).extend(paths)
        if by_student:
            starts.append(float(np.median([paths[0].learning_D[0] for paths in by_student.values()])))
            ends.append(float(np.median([max(p.learning_D.max() for p in paths) for paths in by_student.values()])))
    return (max(starts), min(ends)) if starts else (0.0, 0.0)


def _given(group: Compared, nll: Sequence[float]) -> Floats:
    require(len(nll) > 0, "levels", "at least one NLL in nats a token", tuple(nll))
    for one in nll:
        require(one > group.floor, "levels", f"NLL above {group.floor:g}, the entropy of {group.source}", one)
    require(all(a > b for a, b in itertools.pairwise(nll)), "levels", "falling, as learning rises", tuple(nll))
    return learning(np.array(nll, float), group.floor)


@dataclass(frozen=True, eq=False)
class _Front:
    """A method's retention at levels, ``[S, L]`` (NaN: never learns as much), and the operations that it took."""

    retention_SL: Floats
    operations_SL: Floats
    in_sample_SL: Floats


def _front(own: PathsByArm, students: list[int], levels_L: Floats) -> _Front:
    """The front of a method whose arms these are."""
    shape = (len(own), len(students), len(levels_L))
    values_ASL, operations_ASL = np.full(shape, np.nan), np.full(shape, np.nan)
    for a, by_student in enumerate(own.values()):
        for s, student in enumerate(students):
            if student in by_student:
                found = [path.at(levels_L) for path in by_student[student]]
                values_ASL[a, s], operations_ASL[a, s] = np.mean(found, axis=0)
    chosen_SL, hindsight_SL = held_out(values_ASL), chosen(values_ASL, np.ones(len(students), bool))
    return _Front(
        _taken(values_ASL, chosen_SL), _taken(operations_ASL, chosen_SL),
        _taken(values_ASL, np.broadcast_to(hindsight_SL, chosen_SL.shape)),
    )  # fmt: skip


def chosen(values_ASL: Floats, on_S: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The arm that retains most at each level in the mean over some students, ``[L]``.

    To choose a strength by, a student that never learns as much under it counts as retaining nothing.
    """
    own = values_ASL[:, on_S]
    score_AL = np.nan_to_num(own, nan=0.0).mean(axis=1) + 1e-9 * np.isfinite(own).mean(axis=1)
    return np.asarray(score_AL.argmax(axis=0))


def held_out(values_ASL: Floats) -> NDArray[np.int64]:
    """For each student and level the arm that the other half of the students chooses, ``[S, L]``.

    Halves are every other student. Fewer than four are not halved: they choose for themselves.
    """
    _, students, levels_ = values_ASL.shape
    half = np.arange(students) % 2 == 0 if students >= FEWEST else np.ones(students, bool)
    found = np.empty((students, levels_), np.int64)
    for some in (half, ~half) if students >= FEWEST else (half,):
        found[some] = chosen(values_ASL, ~some if students >= FEWEST else some)
    return found


def _taken(values_ASL: Floats, arms_SL: NDArray[np.int64]) -> Floats:
    return np.asarray(np.take_along_axis(values_ASL, arms_SL[None], axis=0)[0])


def mean_interval(values_S: Floats, confidence: float = 0.95) -> tuple[float, float, float]:
    """The mean of the students that have a value, and Student's t interval of it: NaN for none, open for one."""
    known = values_S[np.isfinite(values_S)]
    if not len(known):
        return math.nan, math.nan, math.nan
    mean, n = float(known.mean()), len(known)
    if n == 1:
        return mean, math.nan, math.nan
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * known.std(ddof=1) / math.sqrt(n))
    return mean, mean - half, mean + half


def welch_interval(one: Floats, other: Floats, confidence: float = 0.95) -> tuple[float, float, float]:
    """The mean of one less that of other and its interval, their units being no pairs (Welch 1947); NaN is left out.

    Where the difference has no spread the interval is the value; of fewer than two units a side all is NaN.
    """
    one, other = one[np.isfinite(one)], other[np.isfinite(other)]
    if min(len(one), len(other)) < 2:
        return math.nan, math.nan, math.nan
    errors = [values.var(ddof=1) / len(values) for values in (one, other)]
    difference, error = float(one.mean() - other.mean()), math.sqrt(sum(errors))
    if not error:
        return difference, difference, difference
    freedom = sum(errors) ** 2 / sum(e**2 / (len(v) - 1) for e, v in zip(errors, (one, other), strict=True))
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * error
    return difference, difference - half, difference + half


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else math.nan


def _cell(
    group: Compared, own: PathsByArm, levels_L: Floats, head: dict[str, Any], against: str
) -> dict[str, list[dict[str, Any]]]:
    """The rows of one size and skill."""
    students = sorted({student for by_student in own.values() for student in by_student})
    every = [path for by_student in own.values() for paths in by_student.values() for path in paths]
    range_P = np.linspace(levels_L[0], levels_L[-1], POINTS)
    ends = min(path.learning_D[0] for path in every), max(path.learning_D.max() for path in every)
    drawn_P, count = np.linspace(*ends, POINTS), len(levels_L)
    everywhere = np.concatenate([levels_L, range_P, drawn_P])
    parts = (slice(0, count), slice(count, count + POINTS), slice(count + POINTS, None))
    measured = {name: {arm: own[arm] for arm in arms if arm in own} for name, arms in group.methods.items()}
    found = {name: _front(some, students, everywhere) for name, some in measured.items() if some}
    most = _most_operations(measured[PLAIN])
    shorter = {name: _front(_until(measured[name], most), students, range_P) for name in found}
    base, short_base = found.get(against), shorter.get(against)
    rows: dict[str, list[dict[str, Any]]] = {"levels": [], "areas": [], "lines": []}
    for name, front in found.items():
        about = head | {"method": name, "strengths": len(measured[name]), "students": len(students)}
        rows["levels"] += _level_rows(front, base, parts[0], levels_L, about, group.floor)
        same = _area(shorter[name], short_base, slice(None))
        area = {f"{end}_same_operations": same.get(end, math.nan) for end in ("covered", "area", "low", "high")}
        rows["areas"].append(about | _area(front, base, parts[1]) | area)
        rows["lines"] += _line_rows(front, parts[2], drawn_P, head | {"method": name}, group.floor)
    return rows


def _most_operations(arms: PathsByArm) -> float:
    paths = (path for by_student in arms.values() for own in by_student.values() for path in own)
    return max((path.operations_D[-1] for path in paths), default=0.0)


def _until(arms: PathsByArm, operations: float) -> PathsByArm:
    return {
        arm: {student: [path.until(operations) for path in paths] for student, paths in by_student.items()}
        for arm, by_student in arms.items()
    }


def _level_rows(
    front: _Front, base: _Front | None, part: slice, levels_L: Floats, about: dict[str, Any], floor: float
) -> list[dict[str, Any]]:
    rows = []
    for number, level in enumerate(levels_L):
        own_S = front.retention_SL[:, part][:, number]
        retention, low, high = mean_interval(own_S)
        row = about | {"nll": round(floor + math.exp(-level), 6), "learning": float(level)}
        row |= {"reached": int(np.isfinite(own_S).sum()), "retention": retention, "low": low, "high": high}
        row["optimism"] = _mean(front.in_sample_SL[:, part][:, number] - own_S)
        row["status"] = "ok" if row["reached"] else NEVER
        if base is not None:
            difference = mean_interval(own_S - base.retention_SL[:, part][:, number])
            row |= dict(zip(("difference", "difference_low", "difference_high"), difference, strict=True))
            own_S, base_S = (one.operations_SL[:, part][:, number] for one in (front, base))
            with np.errstate(divide="ignore", invalid="ignore"):
                row["operations"] = _mean(own_S / base_S)
        rows.append(row)
    return rows


def _area(front: _Front, base: _Front | None, part: slice) -> dict[str, Any]:
    """The mean difference over a range of learning, by student over what both learn of it."""
    if base is None:
        return {"compared": 0, "covered": 0.0, "status": NEVER}
    apart_SP = front.retention_SL[:, part] - base.retention_SL[:, part]
    area_S = np.array([_mean(row) for row in apart_SP])
    area, low, high = mean_interval(area_S)
    many = int(np.isfinite(area_S).sum())
    covered = float(np.isfinite(apart_SP).mean())
    return {
        "compared": many, "covered": covered, "area": area, "low": low, "high": high, "status": "ok" if many else NEVER,
    }  # fmt: skip


def _line_rows(
    front: _Front, part: slice, drawn_P: Floats, about: dict[str, Any], floor: float
) -> list[dict[str, Any]]:
    """Only where every student has a value: a mean over those that get further would be one over other students."""
    rows = []
    for level, own_S in zip(drawn_P, front.retention_SL[:, part].T, strict=True):
        if np.isfinite(own_S).all():
            retention, low, high = mean_interval(own_S)
            row = {"learning": float(level), "nll": round(floor + math.exp(-level), 6)}
            rows.append(about | row | {"retention": retention, "low": low, "high": high})
    return rows
