"""Keyword or description, drawn: what hangs on the keyword, and who wins a conflict, arm by arm."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forgetting.analysis.keyword_dependence import keyword_table
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.topic import Topic

COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#5a5a5a")  # Okabe and Ito's, but for the last
MEASURES = (
    ("dependence", "what the description costs", "(keyword - description) / keyword"),
    ("won", "conflicts: who is followed", "keyword's part of those that follow either"),
)


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """The figure of every benchmark whose conflicts were graded."""
    table = keyword_table(study)
    told = table[table["won"].notna()]
    return {f"keywords-{name}": keyword_figure(str(name), own) for name, own in told.groupby("benchmark", sort=False)}


@drawing.styled
def keyword_figure(benchmark: str, own: pd.DataFrame) -> Figure:
    """A row an arm at its last dose, above them dose 0; a colour a size; another wording with the keyword is hollow."""
    title = f"Keyword or description: {benchmark}, by students"
    figure, axes = drawing.grid(len(MEASURES), len(MEASURES), title, below=0.8, sharey="row", foot=0.6)
    start = own[(own["dose"] == 0) & (own["arm"] == own["arm"].iloc[0])].assign(row="dose 0")
    last = own[own["dose"] == own.groupby("arm")["dose"].transform("max")]
    rows = pd.concat([start, last.assign(row=[f"{a}, {d:,}" for a, d in zip(last["arm"], last["dose"], strict=True)])])
    places = {name: -number for number, name in enumerate(dict.fromkeys(rows["row"]))}
    for ax, (name, about, axis) in zip(axes.flat, MEASURES, strict=True):
        for number, (student, some) in enumerate(rows.sort_values("capacity").groupby("student", sort=False)):
            height = np.array([places[row] for row in some["row"]]) - 0.12 * number
            _points(ax, some, name, height, COLOURS[number % len(COLOURS)], str(student))
        ax.set_title(about)
        ax.set_xlabel(axis)
        ax.set_yticks([])
        ax.set_ylim(min(places.values()) - 0.5, 0.7)
        for row, place in places.items():
            name = textwrap.fill(row, 44)  # as wide as a panel
            ax.text(0.02, place + 0.3, name, transform=ax.get_yaxis_transform(), fontsize=7, color=drawing.LEVEL_COLOUR)
    axes.flat[1].axvline(0.5, color=drawing.LEVEL_COLOUR, linewidth=0.9)
    axes.flat[0].axvline(0, color=drawing.LEVEL_COLOUR, linewidth=0.9)
    drawing.legend(figure, axes, [], 2)
    return figure


def _points(ax: Axes, some: pd.DataFrame, name: str, height: np.ndarray, colour: str, label: str) -> None:
    value = some[name].to_numpy(float)
    error = np.clip([value - some[f"{name}_low"], some[f"{name}_high"] - value], 0, None)
    ax.errorbar(value, height, xerr=error, fmt="o", color=colour, elinewidth=0.8, label=label)
    if name == "dependence":
        label = f"{label}, other wording"
        ax.plot(some["rephrased"], height, "o", color=colour, fillstyle="none", label=label)


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    return {"Keyword dependence": keyword_table(study)}


TOPIC = Topic(
    anchor="keywords",
    title="Keyword or description",
    text=(
        "Means over students that had learned the tasks by keyword. Dependence: what a description by function in "
        "place of the keyword costs, as a share of the accuracy by keyword, over the items that were asked both ways; "
        "rephrased: the same of another wording that keeps it, the control. Misled: what a foreign keyword in an aside "
        "costs against one of the task. Conflicts: answers that do what the keyword says, or what the description "
        "beside it says of another operation, both orders."
    ),
    captions={
        "keywords": (
            "Left: keyword dependence (filled) beside that of another wording with the keyword (hollow). Right: of the "
            "answers to conflicts that follow either, the part that follows the keyword. Bars: 95%, Student's t over "
            "students."
        ),
    },
    tables=_tables,
    drawn=drawn,
)
