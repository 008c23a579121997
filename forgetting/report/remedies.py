"""Remedies at equal learning, as a figure and tables: retention against learning, one line a method.

Only of studies in which a mitigation can be held against plain tuning; the numbers are those of ``analysis.fronts``.
"""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from forgetting.analysis.fronts import NEVER, Fronts, fronts
from forgetting.analysis.learning_paths import PLAIN
from forgetting.analysis.orderings import orderings
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.drawing import COLUMNS, MARKERS
from forgetting.report.topic import Topic

LEGEND_COLUMNS = (2, 4, 6)  # beside one, two and more panels


def kept_fronts(study: StudyFolder) -> Fronts:
    """The fronts of a study at the usual levels, made once for all views."""
    names = {name: f"fronts: {name}" for name in ("levels", "areas", "lines")}
    if not set(names.values()) <= study.kept.keys():
        found = fronts(study)
        study.kept |= {label: getattr(found, name) for name, label in names.items()}
    return Fronts(**{name: study.kept[label] for name, label in names.items()})


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


@drawing.styled
def front(study: StudyFolder, arms: str) -> Figure | None:
    """Retention against learning in one set of arms: a panel for each size and skill, a line a method with its band."""
    found = kept_fronts(study)
    lines, levels = (frame[frame["arms"] == arms] for frame in (found.lines, found.levels))
    panels = list(dict.fromkeys(lines[["student", "skill"]].itertuples(index=False, name=None)))
    if not panels:
        return None
    methods = list(dict.fromkeys(levels["method"]))
    columns = LEGEND_COLUMNS[min(len(panels), 3) - 1]
    foot = 0.3 + 0.19 * (-(-len(methods) // columns) - 1)
    title = f"Retention against learning (NLL in nats a token)\n{arms} · {_students(levels)}"
    figure, axes = drawing.grid(len(panels), COLUMNS, title, foot=foot)
    ticks = levels.drop_duplicates("nll")
    for ax, (student, skill) in zip(axes.flat, panels, strict=False):
        for name in methods:
            own = lines[(lines["student"] == student) & (lines["skill"] == skill) & (lines["method"] == name)]
            if len(own):
                style = _style(name, methods)
                ax.plot(own["learning"], own["retention"], label=name, markevery=5, **style)
                ax.fill_between(own["learning"], own["low"], own["high"], color=style["color"], alpha=0.08, linewidth=0)
                if own["learning"].iloc[-1] < lines["learning"].max():
                    end = {"marker": "x", "color": style["color"], "markersize": 6, "linestyle": "none", "zorder": 5}
                    ax.plot(own["learning"].iloc[-1:], own["retention"].iloc[-1:], **end)
        ax.xaxis.set_major_locator(FixedLocator(ticks["learning"].tolist()))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([f"{nll:.3g}" for nll in ticks["nll"]])
        ax.set_title(f"{student}, {skill}")
        ax.set_xlabel("NLL of the new task, falling to the right")
    drawing.retention_axes(axes)
    drawing.legend(figure, axes, methods, columns)
    return figure


def _students(levels: pd.DataFrame) -> str:
    """What the bands are of."""
    fewest, most = int(levels["students"].min()), int(levels["students"].max())
    if most == 1:
        return "1 student a size, so no bands"
    return f"{fewest} students a size, 95%" if fewest == most else f"{fewest} to {most} students a size, 95%"


def _style(name: str, methods: list[str]) -> dict[str, Any]:
    """Plain tuning in black; the others by colour and marker together, which 20 colours alone could not tell apart."""
    if name == PLAIN:
        return {"color": "black", "linewidth": 2.2, "zorder": 4}
    number = [other for other in methods if other != PLAIN].index(name)
    shades = matplotlib.colormaps["tab20"]
    return {"color": shades((2 * number + number // 10) % 20), "marker": MARKERS[number % len(MARKERS)], "zorder": 3}


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """The figure ``front`` of every set of arms, by file name."""
    names = dict.fromkeys(kept_fronts(study).levels["arms"])
    found = {f"front-{arms}": front(study, str(arms)) for arms in names}
    return {name: figure for name, figure in found.items() if figure is not None}


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
            "WiSE-FT."
        ),
    },
    tables=_titled,
    drawn=drawn,
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
