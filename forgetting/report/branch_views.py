"""Students that branch from one trunk, as the paper's Table 2 with numbers, and as a figure of paired differences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forgetting.analysis.branches import AGAINST, MARGIN, NLL, branch_runs, branch_table
from forgetting.analysis.curves import skill_names
from forgetting.analysis.displaced import said
from forgetting.analysis.record_reading import BRANCH_FILES, is_branched
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.topic import Topic

COLOUR, AS_MADE = "#0072b2", "#8a8a8a"
SKILL = "maths"
AXES = {
    "log2_half_dose": f"log2 of the dose that halves maths,\nless that of {AGAINST}",
    "retention": f"maths retained at equal learning\n(probe NLL {NLL:g}), less that of {AGAINST}",
}


def branch_tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    """Runs, differences and the table, found once for all views, by file name; empty where no student branches."""
    name = "branches"
    if name not in study.kept:
        told = is_branched(study.record) and SKILL in skill_names(study.scores).values()
        study.kept[name] = branch_runs(study, SKILL) if told else pd.DataFrame()
    runs = study.kept[name]
    if runs.empty or AGAINST not in set(runs["branch"]):
        return {}
    from forgetting.analysis.branches import differences_of

    differences = differences_of(study)
    return dict(zip(BRANCH_FILES, (runs, differences, branch_table(runs, differences)), strict=True))


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """The figure of every arm and size in which students branch, by file name."""
    if not (tables := branch_tables(study)):
        return {}
    runs, differences, _ = tables.values()
    several, found = differences["trunk"].nunique() > 1, dict[str, Figure]()
    for (arm, trunk), own in differences.groupby(["arm", "trunk"], sort=False):
        name = f"{arm}-{trunk}" if several else str(arm)
        found[f"branches-{name}"] = branch_figure(own, runs[(runs["arm"] == arm) & (runs["trunk"] == trunk)], name)
    return found


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    if not (found := branch_tables(study)):
        return {}
    _, differences, table = found.values()
    return {"Branches": table, "All differences": differences.drop(columns=["low_90", "high_90"], errors="ignore")}


def _said(study: StudyFolder) -> str:
    from forgetting.analysis.branches import said_of

    runs, differences, _ = branch_tables(study).values()
    return " ".join(filter(None, (said_of(differences), said(runs))))


@drawing.styled
def branch_figure(differences: pd.DataFrame, runs: pd.DataFrame, arm: str) -> Figure:
    """A panel a statistic, a row a branch: paired differences with intervals, of one arm."""
    title = f"Students of one trunk by how they went on from it, at equal skill\n{arm}"
    figure, axes = drawing.grid(2, 2, title, below=0.75, foot=0.35, sharey="row")
    names = list(dict.fromkeys(differences["branch"]))[::-1]
    place = {name: number for number, name in enumerate(names)}
    for ax, (statistic, label) in zip(axes.flat, AXES.items(), strict=True):
        own = differences[differences["statistic"] == statistic]
        if statistic == "log2_half_dose":
            ax.axvspan(-MARGIN, MARGIN, color="#efefef", zorder=0)
        ax.axvline(0, color=drawing.LEVEL_COLOUR, linewidth=0.9)
        _bars(ax, own[own["skill"] == "as made"], place, -0.22, AS_MADE, "as made")
        _bars(ax, own[own["skill"] == "equal"], place, 0.1, COLOUR, "at equal skill")
        _trunks(ax, runs, statistic, place)
        ax.set_xlabel(label, fontsize=8)
        ax.set_ylim(-0.6, len(names) - 0.4)
    axes[0, 0].set_yticks(list(place.values()), [_label(name, runs) for name in place], fontsize=8)
    figure.subplots_adjust(left=0.27)
    drawing.legend(figure, axes, [], 3)
    return figure


def _label(name: str, runs: pd.DataFrame) -> str:
    """The branch, and on how many of its trunks it arrived."""
    own = runs[runs["branch"] == name]
    return f"{name}\n{int(own['arrived'].sum())} of {len(own)} arrived"


def _bars(ax: Axes, own: pd.DataFrame, place: Mapping[str, int], aside: float, colour: str, label: str) -> None:
    known = own[own["value"].notna()]
    y = np.array([place[name] + aside for name in known["branch"]])
    error = np.nan_to_num([known["value"] - known["low"], known["high"] - known["value"]])
    style: dict[str, Any] = {"fmt": "o", "color": colour, "elinewidth": 1.2, "label": label}
    style |= {} if colour == COLOUR else {"fillstyle": "none", "alpha": 0.8}
    if len(known):
        ax.errorbar(known["value"], y, xerr=error, **style)


def _trunks(ax: Axes, runs: pd.DataFrame, statistic: str, place: Mapping[str, int]) -> None:
    """The difference on each trunk on which both arrived."""
    base = runs[(runs["branch"] == AGAINST) & runs["arrived"]].set_index("distillation_seed")[statistic]
    own = runs[runs["arrived"] & (runs["branch"] != AGAINST)]
    apart = own[statistic].to_numpy(float) - base.reindex(own["distillation_seed"]).to_numpy(float)
    y = [place[name] + 0.3 for name in own["branch"]]
    ax.plot(apart, y, ".", color=COLOUR, markersize=3.5, alpha=0.6, label="one trunk")


TOPIC = Topic(
    anchor="branches",
    title="Is what was learned in another way more fragile?",
    text=("Students of one trunk that went on from it in different ways, paired by trunk."),
    captions={
        "branches": (
            "Students that branch from one trunk, less the off-policy branch of the same trunk. Small points: trunks "
            "on which both arrived; bars: 95%, Student's t over trunks; shaded: within .25 of no difference. Open: as "
            "made, whatever skill the branch reached."
        ),
    },
    tables=_tables,
    drawn=drawn,
    said=_said,
)
