"""Forgetting as treated minus control: retention in an arm less that after equal steps on the original distribution."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis import metrics, statistics
from forgetting.analysis.curves import ORIGINAL, outcomes_of, skill_names
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder

COLUMNS = "arm control student capacity skill dose difference low high items seeds".split()


def differences(study: StudyFolder) -> pd.DataFrame:
    """One row per (arm, student, skill) at the last dose of both arms; empty where no such control ran.

    ``difference`` is retention in the arm minus retention in the control ``original`` that differs from it in nothing
    but the contamination; ``low`` and ``high`` bound it at 95%, paired by run and item. Skills that a student has not
    learned have no row. A folder without its ledger gives what its record kept.
    """
    if study.ledger is None:
        return pd.DataFrame(study.record.get("differences", []), columns=COLUMNS)
    graded = study.common(study.ledger[(study.ledger["benchmark"] != PROBE) & (study.ledger["variant"] == ORIGINAL)])
    names, rows = skill_names(study.ledger), []
    chances = {name: float(about["chance"]) for name, about in study.record["benchmarks"].items()}
    for arm, control in _pairs(study):
        both = graded[graded["arm"].isin([arm, control])]
        for (student, benchmark), own in both.groupby(["student", "benchmark"], sort=False, observed=True):
            found = _difference(own[own["arm"] == arm], own[own["arm"] == control], chances[str(benchmark)])
            about = {"arm": arm, "control": control, "student": student, "skill": names[str(benchmark)]}
            rows += [about | found] if found else []
    return pd.DataFrame(rows, columns=COLUMNS)


def _pairs(study: StudyFolder) -> list[tuple[str, str]]:
    """Each arm with its control on the original distribution."""
    arms = [arm for arm in study.record.get("arms", []) if arm["name"] in study.arm_names]
    own = ("name", "contamination", "doses", "not_reached", "rates")
    rest = {arm["name"]: {key: value for key, value in arm.items() if key not in own} for arm in arms}
    controls = [arm["name"] for arm in arms if part_name(arm.get("contamination")) == ORIGINAL]
    return [(name, c) for name in rest for c in controls if name not in controls and rest[name] == rest[c]]


def _difference(treated: pd.DataFrame, control: pd.DataFrame, chance: float) -> dict[str, Any] | None:
    """The difference at the last dose that every run of both arms reached; None where it is not defined."""
    keys = ["distillation_seed", "seed", "dose", "item"]
    looks, others = pd.MultiIndex.from_frame(treated[keys]), pd.MultiIndex.from_frame(control[keys])
    treated, control = treated[looks.isin(others)], control[others.isin(looks)]
    if treated.empty:
        return None
    arm, base = outcomes_of(treated), outcomes_of(control)
    whole = np.asarray(arm.reached_SD.all(axis=0))
    start = np.array([one.right_SDI[:, 0].mean() for one in (arm, base)])
    if arm.dose[0] != 0 or not whole[0] or whole.sum() < 2 or not metrics.learned(start, chance).all():
        return None
    draw = statistics.resampling(arm.distillation_seeds, arm.items["template"].to_numpy(object).astype(str))
    value, low, high = statistics.retention_difference(arm.right_SDI[:, whole], base.right_SDI[:, whole], chance, draw)
    last = {"difference": float(value[-1]), "low": float(low[-1]), "high": float(high[-1])}
    counts = {"items": len(arm.items), "seeds": len(arm.distillation_seeds)}
    return {"capacity": arm.capacity, "dose": int(arm.dose[whole][-1]), **last, **counts}
