"""Remedies at equal learning, as tables beside the figures of ``front_figures``, and the orderings of the literature.

Only of studies in which a mitigation can be held against plain tuning; the numbers are those of ``analysis.fronts``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis.fronts import NEVER
from forgetting.analysis.orderings import orderings
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import front_figures
from forgetting.report.front_answer import kept_fronts
from forgetting.report.topic import Topic


def kept_orderings(study: StudyFolder) -> pd.DataFrame:
    """The orderings of the literature that the study can judge, judged once for all views."""
    if "orderings" not in study.kept:
        study.kept["orderings"] = orderings(study)
    return study.kept["orderings"]


def tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    """One table for each set of arms that were compared: a row a method, a column a level of learning.

    A cell is mean retention with its 95% interval over students, and how many of them learn as much, where not all do.
    ``area`` is the mean difference from plain tuning over these levels with ``low`` and ``high``; ``operations`` are
    those until the last level that the method reaches, as a multiple of plain tuning's; ``optimism`` is the mean over
    levels of what choosing strengths on the students shown would have added.
    """
    found, shown = kept_fronts(study), dict[str, pd.DataFrame]()
    for arms, of_arms in found.levels.groupby("arms", sort=False):
        rows = []
        for head, own in of_arms.groupby(["student", "skill", "method", "strengths", "students"], sort=False):
            row: dict[str, Any] = dict(zip(("student", "skill", "method", "strengths", "students"), head, strict=True))
            row |= {f"at NLL {level['nll']:.3g}": _cell(level) for level in own.to_dict("records")}
            reached = own[own["reached"] > 0]
            row["operations"] = float(reached["operations"].iloc[-1]) if len(reached) else np.nan
            row["optimism"] = float(own["optimism"].mean())
            rows.append(row)
        areas = found.areas[found.areas["arms"] == arms].drop(columns=["arms", "status"])
        keys = ["student", "skill", "method", "strengths", "students"]
        shown[str(arms)] = pd.DataFrame(rows).merge(areas, on=keys, sort=False)
    return shown


def _cell(level: dict[Any, Any]) -> str:
    if not level["reached"]:
        return NEVER
    text = f"{level['retention']:.2f}"
    if level["low"] == level["low"]:
        text += f" ({level['low']:.2f} to {level['high']:.2f})"
    few = level["reached"] < level["students"]
    return text + (f", {level['reached']} of {level['students']}" if few else "")


def _titled(study: StudyFolder) -> dict[str, pd.DataFrame]:
    return {f"Levels and areas of {arms}": table for arms, table in tables(study).items()}


def _orderings(study: StudyFolder) -> dict[str, pd.DataFrame]:
    return {"Orderings": kept_orderings(study)}


TOPIC = Topic(
    anchor="remedies",
    title="Remedies at equal learning",
    text=(
        "Retention where as much of the new task was learned: NLL of its probe, nats a token. Interval: 95%, "
        "Student's t over students, none for one. Area: mean difference from plain tuning between the first level and "
        "the last, in the compared students, over the covered share of what lies between; low and high bound it. "
        "Operations: until the last level reached, as a multiple of plain tuning's, with all that a method adds; "
        "same operations: were no run to take more than plain tuning's longest. Optimism: what choosing the "
        "strengths on the students shown would have added."
    ),
    captions={
        "front": (
            "One line a method: the envelope of its strengths, rates and doses, chosen at each level on half of the "
            "students and shown on the others, as far as all of them learn; a cross where it ends before others. "
            "Bands: 95%, Student's t over students. Plain tuning has all its rates, every look as an end, and "
            "WiSE-FT. Where there are more methods than colours, those that keep most over sizes and skills are named "
            "at the right, at the height where they end."
        ),
        "fronts": (
            "Every method in a panel of its own beside plain tuning (black), in the order of its area, which is named "
            "with its 95% interval; blue where the whole interval lies above 0, orange where below."
        ),
    },
    tables=_titled,
    drawn=front_figures.drawn,
)


ORDERINGS = Topic(
    anchor="orderings",
    title="Orderings that several papers agree on",
    text=(
        "Pass or fail where the whole interval of the area between two fronts says so; a margin of .05 of retention "
        "is no more, and alike."
    ),
    captions={},
    tables=_orderings,
)
