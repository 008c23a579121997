"""Thresholds on the dose axis, which no search is needed for: every run carries it. Runs in, one row a student out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.thresholds.dose_response import DoseResponse, fit_dose_response
from forgetting.analysis.thresholds.threshold import Threshold, ThresholdStatus, number, status_text
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder

COLUMNS = "conditions shift student level dose_threshold dose_low dose_high verdict runs remedy".split()


def dose_threshold(sweep: SweepFolder, target: LocatedTarget, student: str, shift: float, level: float) -> Threshold:
    """D*(N): the largest dose at which retention of a student stays at a level, from all its runs at a shift.

    A logistic of log dose is fitted to the right answers of all runs; the interval (90%) is by profile likelihood.
    """
    fit, _ = _fit(sweep, target, student, shift)
    return Threshold("dose", level, ThresholdStatus.too_little_data.name) if fit is None else fit.threshold(level)


def _fit(sweep: SweepFolder, target: LocatedTarget, student: str, shift: float) -> tuple[DoseResponse | None, int]:
    """The fitted curve and the number of runs behind it; None without any."""
    own = _rows(sweep, target, student, shift)
    if own.empty:
        return None, 0
    right = own.pivot_table(index=["distillation_seed", "seed"], columns="dose", values="right").sort_index(axis=1)
    items = own.pivot_table(index=["distillation_seed", "seed"], columns="dose", values="items").sort_index(axis=1)
    doses = right.columns.to_numpy(float)
    chance = float(own["chance"].iloc[0])
    return fit_dose_response(doses, right.fillna(0).to_numpy(float), items.to_numpy(float), chance), len(right)


def table(sweep: SweepFolder) -> pd.DataFrame:
    """One row a family, shift, student and level, where there are runs."""
    rows = []
    for target in sweep.families:
        conditions = target.conditions.replace(f" at dose {target.dose:,}", "")
        for shift in sorted(target.arms, reverse=True):
            for student in target.students:
                fit, runs = _fit(sweep, target, student, shift)
                for level in target.levels if fit is not None else ():
                    assert fit is not None
                    found = fit.threshold(level)
                    values = [number("dose", value) for value in (found.value, found.low, found.high)]
                    verdict = status_text("dose", found.verdict)
                    where = conditions, f"{shift:g}", student, f"{level:g}"
                    rows.append((*where, *values, verdict, runs, found.remedy))
    return pd.DataFrame(rows, columns=COLUMNS)


def _rows(sweep: SweepFolder, target: LocatedTarget, student: str, shift: float) -> pd.DataFrame:
    """Score rows of a student's runs at a shift, dose 0 among them, with the number of right answers."""
    scores = sweep.study.common(sweep.study.scores)
    depth = scores["depth"].isna() if target.depth is None else scores["depth"] == target.depth
    own = scores[
        (scores["benchmark"] == target.benchmark)
        & (scores["variant"] == ORIGINAL)
        & depth
        & (scores["arm"] == target.arms.get(shift))
        & (scores["student"] == student)
    ].copy()
    own["right"] = np.rint(own["accuracy"].astype(float) * own["items"].astype(float))
    return own
