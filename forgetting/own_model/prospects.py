"""A finished round of pilots in; what each of them foretells at equal learning out.

A pilot takes ``times`` as many samples of the new task as plain tuning for the same learning, read where both pilots
have learned as much. That many times the planned dose is where its retention is forecast, and what its run costs. Of
replay whose pilot has learned too little for that, as many samples are supposed as make as many steps as plain tuning.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis import metrics
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.forecast import Forecast, Forecaster, method_of, runs_so_far
from forgetting.analysis.learning_paths import REPLAYS, floor_of, mitigation
from forgetting.analysis.metrics import Floats
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder, new_source
from forgetting.own_model.choice import Prospect

NO_RISE = 0.01  # nats a token: smaller rises are alike
AVERAGES = ("wise_ft",)  # which learn as fast at first and then stop short, in three of four whole runs
LEAST_LEARNED = 0.2  # of -log(NLL - floor): a pilot that learned less has learned nothing


@dataclass(frozen=True, eq=False)
class Pilot:
    """The looks D of one pilot: samples of the new task, learning, and by skill how far the gold answers' NLL rose."""

    dose_D: Floats
    learning_D: Floats
    rise_D: Mapping[str, Floats]

    def dose_of(self, level: float) -> float:
        """The first dose at which so much is learned; between two looks a line in log(1 + dose)."""
        reached = int(np.argmax(self.learning_D >= level))
        if reached == 0:
            return float(self.dose_D[0])
        x, y = np.log1p(self.dose_D), self.learning_D
        part = (level - y[reached - 1]) / (y[reached] - y[reached - 1])
        return float(np.expm1(x[reached - 1] + part * (x[reached] - x[reached - 1])))

    def rise_at(self, dose: float, skill: str) -> float:
        """The rise at a dose, on a line between looks."""
        return float(np.interp(dose, self.dose_D, self.rise_D[skill]))


def prospects(
    study: StudyFolder,
    planned: int,
    skills: Sequence[str],
    costs: Mapping[str, float],
    forecaster: Forecaster,
    methods: frozenset[str],
) -> list[Prospect]:
    """One for each arm, in the record's order; the first arm is plain tuning.

    Args:
        study: one student, one seed; ``planned`` is plain tuning's dose in samples
        skills: keys of curves that are to be kept
        costs: by arm, operations of a sample of the new task, replay included, as a multiple of plain tuning's
        forecaster: learned from past runs; ``methods`` are theirs, and of others nothing is told
    """
    pilots = {name: _pilot(study, name, skills) for name in study.arm_names}
    plain = next(iter(pilots.values()))
    settings = {str(arm["name"]): arm for arm in study.record["arms"]}
    found = []
    for name, pilot in pilots.items():
        times, dose, harm = _against(plain, pilot, skills)
        method = method_of(settings[name])
        compared = math.isfinite(times)
        if not compared and method in REPLAYS:
            times = _contaminating(settings[name])
        wanted = planned * times
        measured = compared and wanted <= pilot.dose_D[-1]
        if measured:
            kept = {skill: _measured(study, name, skill, wanted) for skill in skills}
        else:
            end, known = wanted if math.isfinite(times) else float(planned), compared and method in methods
            kept = _forecast(study, name, skills, end, forecaster, known)
        so_far = {skill: _measured(study, name, skill, dose).value for skill in skills}
        reaches = measured or method not in AVERAGES
        gone = {skill: dose for skill in skills if (dose := _gone_from(study, name, skill))}
        found.append(Prospect(name, kept, harm, times, times * costs[name], measured, reaches, so_far, gone))
    return found


def _gone_from(study: StudyFolder, arm: str, skill: str) -> int:
    """The dose from which on a skill is at or below chance until the last look; 0: it is not, or never was above."""
    looks = _looks(study, study.scores[(study.scores["arm"] == arm) & study.scores["depth"].isna()], skill)
    left_D = pd.to_numeric(looks["retention"]).to_numpy(float) > 0
    if left_D[-1] or not left_D.any():
        return 0
    return int(looks["dose"].to_numpy()[len(left_D) - int(np.argmax(left_D[::-1]))])


def _contaminating(arm: Mapping[str, Any]) -> float:
    """The contaminating share of the stream of an arm that replays, by a mitigation or by a shift below 1."""
    return float(arm.get("shift", 1.0)) * (1 - float(mitigation(arm).get("share", 0.0)))


def _pilot(study: StudyFolder, arm: str, skills: Sequence[str]) -> Pilot:
    rows = study.scores[(study.scores["arm"] == arm) & study.scores["depth"].isna()]
    probes = rows[rows["benchmark"] == PROBE]
    settings: dict[str, Any] = next(one for one in study.record["arms"] if one["name"] == arm)
    probes = probes[probes["variant"] == new_source(settings, probes)].sort_values("dose")
    floor = float(settings.get("floor", 0.0)) or floor_of(settings.get("contamination"))
    rise = {skill: _looks(study, rows, skill)["delta_nll"].to_numpy(float) for skill in skills}
    learned = metrics.learning(pd.to_numeric(probes["nll"]).to_numpy(float), floor)
    return Pilot(probes["dose"].to_numpy(float), learned, rise)


def _looks(study: StudyFolder, rows: pd.DataFrame, skill: str) -> pd.DataFrame:
    own = rows[(rows["variant"] == ORIGINAL) & (rows["benchmark"] != PROBE)]
    return own[own["benchmark"].map(study.skill_names) == skill].sort_values("dose")


def _against(plain: Pilot, own: Pilot, skills: Sequence[str]) -> tuple[float, float, dict[str, float]]:
    """How many times plain tuning's samples it takes, the dose of which that is said, and its harm there.

    That is where both have learned as much as they can.
    """
    last = float(own.dose_D[-1])
    if own is plain:
        return 1.0, last, dict.fromkeys(skills, 1.0)
    level = min(plain.learning_D.max(), own.learning_D.max())
    if not level >= own.learning_D[0] + LEAST_LEARNED:
        return math.inf, last, dict.fromkeys(skills, math.inf)
    dose, other = own.dose_of(level), plain.dose_of(level)
    harm = {
        skill: (max(own.rise_at(dose, skill), 0.0) + NO_RISE) / (max(plain.rise_at(other, skill), 0.0) + NO_RISE)
        for skill in skills
    }
    return dose / other, dose, harm


def _forecast(
    study: StudyFolder, arm: str, skills: Sequence[str], dose: float, forecaster: Forecaster, known: bool
) -> dict[str, Forecast]:
    """Retention of each skill at a dose that is still to come.

    What is kept now is no bound: what replay loses at first comes back, and so does what new text of the same task does
    (in maths in another notation up to .94).
    """
    last = float(study.scores["dose"].max())
    runs = runs_so_far(study, math.ceil(dose), min(0.999, last / dose), arm)
    found = dict(zip(runs["skill"], forecaster.forecast(runs) if len(runs) else (), strict=True))
    kept = dict[str, Forecast]()
    for skill in skills:
        one = found.get(skill, Forecast(0.0, 0.0, 1.0, False))
        if not (known and one.told):  # an interval that is worth nothing bounds nothing
            one = dataclasses.replace(one, low=0.0, high=1.0, told=False)
        kept[skill] = one
    return kept


def _measured(study: StudyFolder, arm: str, skill: str, dose: float) -> Forecast:
    """Retention at a dose that the pilot has passed, with its 95% interval over items, on a line between looks."""
    looks = _looks(study, study.scores[(study.scores["arm"] == arm) & study.scores["depth"].isna()], skill)
    value_D = pd.to_numeric(looks["retention"]).to_numpy(float)
    accuracy_D, first = looks["accuracy"].to_numpy(float), looks.iloc[0]
    sd_D = [
        math.sqrt(metrics.retention_variance(a, accuracy_D[0], int(first["items"]), float(first["chance"])))
        for a in accuracy_D
    ]
    at = looks["dose"].to_numpy(float)
    value, half = float(np.interp(dose, at, value_D)), metrics.Z_95 * float(np.interp(dose, at, sd_D))
    return Forecast(value, max(value - half, 0.0), value + half, True)
