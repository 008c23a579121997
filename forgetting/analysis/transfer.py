"""Sequences of tasks: what every phase did to every task, as a matrix, and what that says of transfer and forgetting.

Shapes: T tasks, R rows. ``A_RT[i, j]`` is the score of task j after phase i; where there are as many rows as tasks,
task i was learned in phase i. In a study row 0 is the student before the first phase, and tasks are of two groups:
``skills`` were learned before it, and their score is accuracy; ``new`` ones are taught by the phases, and theirs is the
log-likelihood of their probe, nats a token (-NLL). More is better in both.

The definitions are those of Lopez-Paz & Ranzato (arXiv 1706.08840), as avalanche-lib has them: a task counts from the
end of the phase in which it was *first* learned, and one that is learned in the last phase alone has nothing to forget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import logit

from forgetting.analysis.curves import ORIGINAL, skill_names
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import Floats, Status
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder

RUN = ["arm", "student", "capacity", "distillation_seed", "seed"]
MATRIX_COLUMNS = [*RUN, "after", "phase", "dose", "task", "group", "score", "learned"]
LEAST_NLL = 1e-9  # what is told by heart has a logarithm too
SCALES = ("accuracy", "hazard", "logit")
MEASURES = ("average", "backward", "forward", "forgetting")


def average_accuracy(A_RT: ArrayLike) -> float:
    """Mean score over all tasks after the last phase."""
    return float(np.asarray(A_RT, float)[-1].mean())


def backward_transfer(A_RT: ArrayLike, learned_T: ArrayLike | None = None) -> float:
    """BWT = mean of A[R, j] - A[learned_j, j] over tasks learned before the last phase; *negative* is forgetting.

    Minus this is what avalanche-lib calls forgetting. ``learned_T`` are the rows after which tasks were first learned,
    by default row j of task j.
    """
    A, learned, before = _taken(A_RT, learned_T)
    return _mean((A[-1] - A[learned, np.arange(A.shape[1])])[before])


def forgetting(A_RT: ArrayLike, learned_T: ArrayLike | None = None) -> Floats:
    """F_j = max over i < R of A[i, j], minus A[R, j], of tasks learned before the last phase; *positive* is forgetting.

    It counts from the best row, not from the first (arXiv 1801.10112).
    """
    A, _, before = _taken(A_RT, learned_T)
    return np.asarray((A[:-1].max(axis=0) - A[-1])[before])


def forward_transfer(A_RT: ArrayLike, untrained_T: ArrayLike, learned_T: ArrayLike | None = None) -> float:
    """FWT = mean of A[learned_j - 1, j] - untrained[j]; *positive* is help from the phases before.

    Over tasks before whose first phase there was another one; with ``learned_T`` row 0 is before all phases.
    """
    A, learned, _ = _taken(A_RT, learned_T)
    late = learned >= (1 if learned_T is None else 2)
    gained = A[np.maximum(learned - 1, 0), np.arange(A.shape[1])] - np.asarray(untrained_T, float)
    return _mean(gained[late])


def _taken(A_RT: ArrayLike, learned_T: ArrayLike | None) -> tuple[Floats, NDArray[np.int64], NDArray[np.bool_]]:
    A = np.asarray(A_RT, float)
    learned = np.arange(A.shape[1]) if learned_T is None else np.asarray(learned_T, np.int64)
    return A, learned, learned < len(A) - 1


def _mean(values: Floats) -> float:
    return float(values.mean()) if len(values) else math.nan


@dataclass(frozen=True, eq=False)
class Transfer:
    """What a study says of its sequences. Intervals: 95%, Student's t over students.

    Attributes:
        matrices: one row a run, phase and task: ``after`` counts phases (0: before the first), ``score``, and
            ``learned``, the row after which the task was first learned (NaN: no phase taught it alone)
        measures: by arm, student and group the mean of ``average``, ``backward``, ``forward`` and ``forgetting``
            (the mean of the tasks' maxima); NaN where there is none
        costs: by arm, student, phase and skill what the phase took, on the scales of ``run_costs``
        savings: by arm, student and task 1 - again / first: samples that the second phase of a task took to bring its
            NLL to where the first one had left it, over those that the first took; 0 at least, where it never did
    """

    matrices: pd.DataFrame
    measures: pd.DataFrame
    costs: pd.DataFrame
    savings: pd.DataFrame


def transfer(study: StudyFolder) -> Transfer:
    """The matrices of every arm that is a sequence, and what follows from them; empty frames where none is."""
    names, by = skill_names(study.scores), ["arm", "student", "capacity"]
    frames = [_matrix(arm, run, names).assign(**head)[MATRIX_COLUMNS] for arm, head, run in _sequences(study)]
    matrices = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame(columns=MATRIX_COLUMNS)
    savings = [{**head, **row} for arm, head, run in _sequences(study) for row in _savings(arm, run)]
    return Transfer(
        matrices,
        over_students(measures_of(matrices), [*by, "group", "measure"], ("value",)),
        over_students(run_costs(study), [*by, "after", "phase", "skill"], SCALES),
        over_students(savings, [*by, "task"], ("savings",)),
    )


def run_costs(study: StudyFolder) -> list[dict[str, Any]]:
    """By run, phase and skill what the phase took: ``accuracy``; of its log (``hazard``); and of its ``logit``.

    (right + 1/2) / (items + 1) stands for accuracy under a logarithm.
    """
    names = skill_names(study.scores)
    return [{**head, **row} for arm, head, run in _sequences(study) for row in _costs(_matrix(arm, run, names), run)]


def _sequences(study: StudyFolder) -> Iterator[tuple[dict[str, Any], dict[str, Any], pd.DataFrame]]:
    """The runs of arms that are sequences: the arm, what names the run, and its score rows over all depths."""
    rows = study.scores[study.scores["depth"].isna()]
    for arm in study.record.get("arms", []):
        if arm.get("phases") and arm["name"] in study.arm_names:
            for key, run in rows[rows["arm"] == arm["name"]].groupby(RUN, sort=False, observed=True):
                yield arm, dict(zip(RUN, key if isinstance(key, tuple) else (key,), strict=True)), run


def _ends(arm: dict[str, Any]) -> list[tuple[str, int]]:
    """The phases of an arm with the doses at which they end, the start first."""
    names = ["", *(str(phase["task"]) for phase in arm["phases"])]
    return list(zip(names, accumulate((int(phase["dose"]) for phase in arm["phases"]), initial=0), strict=True))


def _matrix(arm: dict[str, Any], run: pd.DataFrame, skills: dict[str, str]) -> pd.DataFrame:
    """The matrix of one run, long."""
    ends, tasks, rows = _ends(arm), [str(task) for task in arm["tasks"]], []
    first = {name: row for row, (name, _) in reversed(list(enumerate(ends)))}
    for after, (phase, dose) in enumerate(ends):
        look = run[run["dose"] == dose]
        graded = look[(look["benchmark"] != PROBE) & (look["variant"] == ORIGINAL) & (look["status"] == Status.ok.name)]
        place = {"after": after, "phase": phase, "dose": dose}
        for name, accuracy in zip(graded["benchmark"], graded["accuracy"], strict=True):
            rows.append(place | {"task": skills[name], "group": "skills", "score": float(accuracy), "learned": 0.0})
        for task in tasks:
            nll = look.loc[(look["benchmark"] == PROBE) & (look["variant"] == task), "nll"]
            if len(nll):
                own = {"task": task, "group": "new", "score": -float(nll.iloc[0]), "learned": first.get(task, math.nan)}
                rows.append(place | own)
    return pd.DataFrame(rows, columns=[name for name in MATRIX_COLUMNS if name not in RUN])


def measures_of(matrices: pd.DataFrame) -> list[dict[str, Any]]:
    """The measures of every run and group."""
    found = []
    for key, own in matrices.groupby([*RUN, "group"], sort=False, observed=True):
        head = dict(zip([*RUN, "group"], key, strict=True))
        A_RT = own.pivot(index="after", columns="task", values="score")
        learned = own.groupby("task")["learned"].first().reindex(A_RT.columns)
        told = A_RT.loc[:, learned.notna()]
        values = dict.fromkeys(MEASURES, math.nan) | {"average": average_accuracy(A_RT)}
        if told.shape[1]:
            at = learned.dropna().to_numpy(int)
            values["backward"] = backward_transfer(told, at)
            values["forward"] = forward_transfer(told, told.iloc[0], at)
            values["forgetting"] = _mean(forgetting(told, at))
        found += [{**head, "measure": name, "value": value} for name, value in values.items()]
    return found


def _costs(matrix: pd.DataFrame, run: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """What each phase of a run took from each skill."""
    items = run[(run["benchmark"] != PROBE) & (run["variant"] == ORIGINAL)].groupby("skill")["items"].first()
    for skill, own in matrix[matrix["group"] == "skills"].groupby("task", sort=False):
        ordered = own.sort_values("after")
        accuracy, count = ordered["score"].to_numpy(float), float(items.get(str(skill), items.iloc[0]))
        share = (accuracy * count + 0.5) / (count + 1)
        lost = {"accuracy": -np.diff(accuracy), "hazard": -np.diff(np.log(share)), "logit": -np.diff(logit(share))}
        for number in range(1, len(accuracy)):
            head = {"after": number, "phase": ordered["phase"].iloc[number], "skill": skill}
            yield head | {scale: float(values[number - 1]) for scale, values in lost.items()}


def _savings(arm: dict[str, Any], run: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """What the first phase saved the second phase of the same task."""
    ends = _ends(arm)
    for task in dict.fromkeys(name for name, _ in ends[1:]):
        places = [row for row, (name, _) in enumerate(ends) if name == task and row]
        looks = run[(run["benchmark"] == PROBE) & (run["variant"] == task)].sort_values("dose")
        if len(places) < 2 or looks.empty:
            continue
        (start, first), (again, last) = ((ends[row - 1][1], ends[row][1]) for row in places[:2])
        level = float(looks.loc[looks["dose"] == first, "nll"].iloc[0])
        took = _samples_to(looks, start, first, level), _samples_to(looks, again, last, level)
        yield {"task": task, "savings": max(0.0, 1 - took[1] / took[0]) if took[0] else math.nan}


def _samples_to(looks: pd.DataFrame, start: int, end: int, level: float) -> float:
    """Samples of a phase until NLL is at the level, along log NLL between looks; all of them where it never is."""
    inside = looks[(looks["dose"] >= start) & (looks["dose"] <= end)]
    doses, logs = inside["dose"].to_numpy(float), np.log(inside["nll"].clip(lower=LEAST_NLL).to_numpy(float))
    wanted = math.log(max(level, LEAST_NLL))
    below = np.flatnonzero(logs <= wanted)
    if not len(below):
        return float(end - start)
    at = int(below[0])
    if at == 0:
        return 0.0
    share = (logs[at - 1] - wanted) / (logs[at - 1] - logs[at])
    return float(doses[at - 1] + share * (doses[at] - doses[at - 1]) - start)


def over_students(rows: list[dict[str, Any]], by: list[str], values: tuple[str, ...]) -> pd.DataFrame:
    """Means of students with their intervals; of several runs of a student the mean counts."""
    ends = [f"{name}{end}" for name in values for end in ("", "_low", "_high")]
    columns = [*by, *ends, "students"]
    if not rows:
        return pd.DataFrame(columns=columns)
    each = pd.DataFrame(rows).groupby([*by, "distillation_seed"], sort=False)[list(values)].mean().reset_index()
    found = []
    for key, own in each.groupby(by, sort=False):
        head = dict(zip(by, key, strict=True))
        for name in values:
            head |= dict(
                zip((name, f"{name}_low", f"{name}_high"), mean_interval(own[name].to_numpy(float)), strict=True)
            )
        found.append({**head, "students": int(own[values[0]].notna().sum())})
    return pd.DataFrame(found, columns=columns)
