"""One capacity threshold, read in several ways: at equal dose and at equal learning; in accuracy, in accuracy given a
well-formed answer, and in the likelihood of the gold answer.

A threshold that steps in accuracy alone is one of form or of the metric; one that is only there at equal dose is one of
how fast sizes learn. The unit is the student: runs carry the label of theirs, and intervals count students.

What is *kept* of the likelihood is exp(-ΔNLL), the factor by which the geometric mean probability of a gold token has
fallen since dose 0: .9 is .105 nats a token, .5 is .693.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL, skill_names
from forgetting.analysis.learning_paths import floor_of, multiple
from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.metrics import LEVELS, Floats, Status, learning, retention_variance
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder, new_source
from forgetting.analysis.thresholds.threshold import Threshold, ThresholdStatus
from forgetting.analysis.well_formed import given_well_formed
from forgetting.errors import require, unknown
from forgetting.record.schema import RUN_KEY

READINGS = ("retention", "given well-formed", "gold likelihood")
DIALOGUE_NLL = (6.0, 4.0, 3.0, 2.5)  # plain tuning passes them on its way
WAY = (0.3, 0.5, 0.7, 0.9)  # of the way from dose 0 to the end, for other sources
LIKELIHOOD_VARIANCE = (
    1e-6  # of exp(-ΔNLL): scores do not have the items' part, which the fit then learns with the students'
)
COLUMNS = (
    "arm reading at nll level value low high status students not_reached left_out student_sd stuck_left_out".split()
)
Place = tuple[str, float, str, pd.DataFrame]
STUCK = 0.8  # of the size's median accuracy at dose 0


def capacity_thresholds(
    study: StudyFolder,
    skill: str = "maths",
    dose: int = 0,
    levels: Sequence[float] = LEVELS,
    nll: Sequence[float] | None = None,
    arms: Iterable[str] | None = None,
    leave_out_stuck: bool = False,
) -> pd.DataFrame:
    """The smallest capacity that keeps each level of a skill, one row for each arm, reading, place and level.

    ``value`` with its 90% interval ``low`` to ``high`` is in parameters; NaN with a ``status`` that says why.
    ``students`` are those that count there. No value counts ``not_reached``, runs that never learn so much, nor
    ``left_out``, those that have no number there (too few well-formed answers, or a skill that was not learned).
    ``at`` is ``dose N`` or ``probe NLL x``.

    Args:
        study: of several sizes, best with several students each
        skill: of which retention is taken, over all depths
        dose: contaminating samples; 0: the last that all runs of the arm reached
        levels: what counts as kept, of each reading
        nll: levels of learning, NLL of the new task's probe in nats a token; left out: 6, 4, 3 and 2.5 for dialogue,
            else .3, .5, .7 and .9 of the way in learning from dose 0 to the last dose (of the median run)
        arms: those to be read; left out: every arm that trains
        leave_out_stuck: without students below .8 of their size's median accuracy at dose 0

    Raises:
        UsageError: an unknown skill, arm or dose, or a level that is not between 0 and 1
    """
    for level in levels:
        require(0 < level < 1, "levels", "above 0 and below 1", level)
    settings = {str(a["name"]): a for a in study.record.get("arms", []) if multiple(a) > 0}
    wanted = [name for name in study.arm_names if name in settings] if arms is None else list(arms)
    rows: list[dict[str, Any]] = []
    for arm in wanted:
        if arm not in settings:
            raise unknown("arm", arm, list(settings))
        looks = arm_looks(study, arm, skill)
        if leave_out_stuck:
            looks = looks[~looks["stuck"]]
        for at, level_nll, reading, own in places(study, arm, looks, (dose,), nll):
            rows += _thresholds(own, arm, reading, at, level_nll, levels, leave_out_stuck)
    return pd.DataFrame(rows, columns=COLUMNS)


def arm_looks(study: StudyFolder, arm: str, skill: str) -> pd.DataFrame:
    """Every look of an arm: ``dose``, ``probe`` (NLL of the new task), and what is kept in each reading.

    The variance of a reading stands under ``NAME variance``; ``stuck`` marks students below what their size learns.
    """
    names = skill_names(study.scores)
    benchmark = next((b for b, name in names.items() if name == skill), None)
    if benchmark is None:
        raise unknown("skill", skill, list(names.values()))
    rows = study.scores[(study.scores["arm"] == arm) & study.scores["depth"].isna()]
    run = list(RUN_KEY)
    graded = rows[(rows["benchmark"] == benchmark) & (rows["variant"] == ORIGINAL)].copy()
    start = graded[graded["dose"] == 0].set_index(run)["accuracy"].astype(float)
    before = start.reindex(pd.MultiIndex.from_frame(graded[run])).to_numpy(float)
    graded["retention"] = pd.to_numeric(graded["retention"]).where(graded["status"] == Status.ok.name)
    looks = zip(graded["accuracy"].astype(float), before, graded["items"], graded["chance"], strict=True)
    graded["retention variance"] = [retention_variance(float(a), float(b), int(n), float(c)) if b > c else np.nan
                                   for a, b, n, c in looks]  # fmt: skip
    graded = graded.assign(baseline=before, **{"gold likelihood": np.exp(-pd.to_numeric(graded["delta_nll"]))})
    graded["gold likelihood variance"] = LIKELIHOOD_VARIANCE
    probes = rows[rows["benchmark"] == PROBE]
    own: dict[str, Any] = next((a for a in study.record.get("arms", []) if a["name"] == arm), {})
    probes = probes[probes["variant"] == new_source(own, probes)][[*run, "dose", "nll"]]
    found = graded.drop(columns=["accuracy", "nll"]).merge(
        probes.rename(columns={"nll": "probe"}), on=[*run, "dose"], how="left"
    )
    found["probe"] = pd.to_numeric(found["probe"])
    if not study.well_formed.empty:
        counts = study.well_formed[(study.well_formed["benchmark"] == benchmark) & (study.well_formed["arm"] == arm)]
        formed = given_well_formed(counts, float(graded["chance"].max()))[
            [*run, "dose", "rate", "retention", "variance"]
        ]
        formed.columns = [*run, "dose", "well_formed", READINGS[1], f"{READINGS[1]} variance"]
        found = found.merge(formed, on=[*run, "dose"], how="left")
    first = found[found["dose"] == 0]
    middle = found["student"].map(first.groupby("student")["baseline"].median())
    return found.assign(stuck=found["baseline"] < STUCK * middle).sort_values(
        ["capacity", *run, "dose"], ignore_index=True
    )


def places(
    study: StudyFolder, arm: str, looks: pd.DataFrame, doses: Sequence[int] = (0,), nll: Sequence[float] | None = None
) -> list[Place]:
    """Where an arm is read: (``dose N`` or ``probe NLL x``, the NLL, the reading, one row a run with what it kept)."""
    own: dict[str, Any] = next((a for a in study.record.get("arms", []) if a["name"] == arm), {})
    source = part_name(own.get("contamination"))
    floor = float(own.get("floor", 0.0)) or floor_of(own.get("contamination"))
    at_doses = [place for dose in doses for place in _at_dose(looks, dose)]
    return [*at_doses, *_at_learning(looks, _levels(looks, source, floor, nll), floor)]


def _measured(looks: pd.DataFrame) -> list[str]:
    return [name for name in READINGS if name in looks]


def _at_dose(looks: pd.DataFrame, dose: int) -> list[Place]:
    """What every reading finds at a dose: one row a run, ``kept`` and ``variance``."""
    doses = sorted(map(int, looks["dose"].unique()))
    require(dose == 0 or dose in doses[1:], "dose", f"0 (the last) or one of {doses[1:]}", dose)
    last = dose or int(looks.groupby(list(RUN_KEY))["dose"].max().min())
    own = looks[looks["dose"] == last]
    return [
        (f"dose {last:,}", math.nan, name, own.assign(kept=own[name], variance=own[f"{name} variance"]))
        for name in _measured(looks)
    ]


def _at_learning(looks: pd.DataFrame, nll: Sequence[float], floor: float) -> list[Place]:
    """What every reading finds where each run first has learned so much, on lines between its looks."""
    places: list[Place] = []
    runs = [run for _, run in looks.groupby(list(RUN_KEY), sort=False)]
    for level in nll:
        reached = [bool((learning(run["probe"], floor) >= learning(level, floor)).any()) for run in runs]
        for name in _measured(looks):
            found = [crossed(run, name, level, floor) for run in runs]
            heads = pd.DataFrame([run.iloc[0] for run in runs])
            kept, variance = np.array(found, float).reshape(-1, 2).T
            own = heads.assign(kept=kept, variance=variance, reached=reached)
            places.append((f"probe NLL {level:g}", level, name, own))
    return places


def crossed(run: pd.DataFrame, name: str, nll: float, floor: float) -> tuple[float, float]:
    """What is kept where the probe first falls to ``nll``, and its variance; NaN where it never does."""
    x = np.asarray(learning(run["probe"].to_numpy(float), floor))
    y, v, wanted = run[name].to_numpy(float), run[f"{name} variance"].to_numpy(float), float(learning(nll, floor))
    after = np.flatnonzero(x >= wanted)
    if not len(after):
        return math.nan, math.nan
    i = int(after[0])
    if i == 0 or x[i] == wanted:
        return float(y[i]), float(v[i])
    part = (wanted - x[i - 1]) / (x[i] - x[i - 1])
    return float(y[i - 1] + part * (y[i] - y[i - 1])), float(max(v[i - 1], v[i]))


def _levels(looks: pd.DataFrame, source: str, floor: float, nll: Sequence[float] | None) -> Sequence[float]:
    if looks["probe"].isna().all():
        return ()
    if nll is not None:
        for one in nll:
            require(one > floor, "nll", f"above {floor:g}, the entropy of {source}", one)
        return nll
    if source == "dialogue":
        return DIALOGUE_NLL
    x = pd.Series(learning(looks["probe"].to_numpy(float), floor), index=looks.index)
    start = float(x[looks["dose"] == 0].median())
    end = float(x.groupby([looks[name] for name in RUN_KEY]).max().median())
    return [round(floor + math.exp(-(start + way * (end - start))), 3) for way in WAY] if end > start else ()


def _thresholds(
    own: pd.DataFrame, arm: str, reading: str, at: str, nll: float, levels: Sequence[float], left_out: bool
) -> list[dict[str, Any]]:
    known = own[np.isfinite(own["kept"]) & np.isfinite(own["variance"])]
    label = known["student"].astype(str) + "-" + known["distillation_seed"].astype(str)
    missing = 0 if math.isnan(nll) else int((~own["reached"]).sum())
    rows = []
    for level in levels:
        size: Floats = np.log10(known["capacity"].to_numpy(float))
        found = Threshold("capacity", level, ThresholdStatus.too_little_data.name)
        if len(known):
            own_runs = (size, known["kept"], known["variance"])
            found = estimate_threshold(*own_runs, axis="capacity", level=level, students=label)
        row = {"arm": arm, "reading": reading, "at": at, "nll": nll, "level": level, "value": found.value}
        row |= {"low": found.low, "high": found.high, "status": found.status, "students": int(label.nunique())}
        row |= {
            "not_reached": missing,
            "left_out": len(own) - missing - len(known),
            "student_sd": found.student_sd,
            "stuck_left_out": left_out,
        }
        rows.append(row)
    return rows
