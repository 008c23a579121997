"""Looped students, drawn: accuracy by passes, passes by depth of the items, retention beside unlooped twins."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from forgetting.analysis.looped_students import GREEDY, OPERATIONS, PARAMETERS, looped_twins, passes_by_depth
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.topic import Topic

COLOURS = {"entropy": "#0072b2", "change": "#e69f00"}
TWIN_COLOURS = {"looped": "#009e73", PARAMETERS: "#5a5a5a", OPERATIONS: "#cc79a7"}
FIXED, EVERY = "written tokens, fixed", "prompt and answer, fixed"


def kept_passes(study: StudyFolder) -> pd.DataFrame:
    """Accuracy and passes by depth of the items, made once for all views."""
    if "passes" not in study.kept:
        study.kept["passes"] = passes_by_depth(study)
    return study.kept["passes"]


def kept_twins(study: StudyFolder) -> pd.DataFrame:
    """Looped students beside their twins, made once for all views."""
    if "looped twins" not in study.kept:
        study.kept["looped twins"] = looped_twins(study)
    return study.kept["looped twins"]


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """A figure for each arm and benchmark with answers by passes."""
    passes, twins = kept_passes(study), kept_twins(study)
    found = {}
    for (arm, benchmark), own in passes.groupby(["arm", "benchmark"], sort=False):
        beside = twins[(twins["arm"] == arm) & (twins["benchmark"] == benchmark)]
        found[f"looped-{benchmark}-{arm}"] = looped_figure(study.arm(str(arm)).title, own, beside)
    return found


@drawing.styled
def looped_figure(title: str, own: pd.DataFrame, twins: pd.DataFrame) -> Figure:
    """A row a size: accuracy against passes before and after, passes against depth before and after, retention."""
    sizes = list(dict.fromkeys(own.sort_values("capacity")["student"]))
    about = f"Looped students: {own['benchmark'].iloc[0]}\n{title}"
    figure, axes = drawing.grid(3 * len(sizes), 3, about, foot=0.85, below=0.55, sharey="row")
    for row, student in zip(axes, sizes, strict=True):
        some = own[own["student"] == student]
        _accuracy(row[0], some[some["depth"] == 0])
        _retention(row[1], twins[twins["student"] == student])
        _allocation(row[2], some)
        for ax, what in zip(row, ("accuracy by passes", "retention", "share of passes by depth"), strict=True):
            ax.set_title(f"{student}: {what}")
    drawing.legend(figure, axes, [], 3)
    return figure


def _family(way: str) -> str:
    if "halt=" in way:
        return f"halting on {way.partition('halt=')[2].split()[0]}"
    return EVERY if "loops=" in way else FIXED


def _accuracy(ax: Axes, some: pd.DataFrame) -> None:
    for dose, fill, line in _looks(some):
        look = some[some["dose"] == dose]
        for family, rows in look.groupby(look["answering"].map(_family), sort=False):
            if family in (FIXED, EVERY):
                rows = pd.concat([rows, look[look["answering"] == GREEDY]]).drop_duplicates("answering")
            rows = rows.sort_values("passes")
            colour = {FIXED: "black", EVERY: "#a0a0a0"}.get(str(family)) or COLOURS[str(family).split()[-1]]
            error = np.clip([rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]], 0, None)
            ax.errorbar(
                rows["passes"], rows["accuracy"], error, marker="o", color=colour, fillstyle=fill, linestyle=line,
                linewidth=1, elinewidth=0.6, label=f"{family}, dose {dose:,}",
            )  # fmt: skip
    ax.set_xlabel("passes a written token")
    ax.set_ylim(-0.03, 1.03)
    ax.set_ylabel("accuracy, retention")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _retention(ax: Axes, twins: pd.DataFrame) -> None:
    lines = {"looped": (twins[twins["against"] == twins["against"].iloc[0]], "retention")} if len(twins) else {}
    lines |= {str(a): (own, "twin_retention") for a, own in twins.groupby("against", sort=False)}
    for name, (own, column) in lines.items():
        own = own[own["dose"] > 0].sort_values("dose")
        label = name if name == "looped" else f"unlooped, {name}"
        ax.plot(own["dose"], own[column], marker="s", color=TWIN_COLOURS[name], label=label)
    doses = sorted({int(dose) for dose in twins["dose"] if dose > 0})
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(FixedLocator(doses))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([f"{dose:,}" for dose in doses])
    ax.set_xlabel("dose")


def _allocation(ax: Axes, some: pd.DataFrame) -> None:
    """As shares of all passes, which greedy decoding takes; a threshold stands at the end of its line."""
    whole = float(some.loc[some["answering"] == GREEDY, "passes"].max())
    own = some[(some["depth"] > 0) & some["answering"].str.contains("halt=")]
    for dose, fill, line in _looks(own):
        for way, rows in own[own["dose"] == dose].groupby("answering", sort=False):
            rows = rows.sort_values("depth")
            colour = COLOURS[_family(str(way)).split()[-1]]
            ax.plot(rows["depth"], rows["passes"] / whole, marker="o", color=colour, fillstyle=fill, linestyle=line)
            end = rows.iloc[-1]
            if line == "-":
                place = (float(end["depth"]), float(end["passes"]) / whole)
                text = f" {str(way).partition('threshold=')[2]}"
                ax.annotate(text, place, fontsize=7, color=colour, va="center", annotation_clip=False)
    if len(own):
        ax.set_xlim(own["depth"].min() - 0.15, own["depth"].max() + 0.45)  # thresholds stand there
    ax.set_xlabel("depth of the item")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def _looks(some: pd.DataFrame) -> list[tuple[int, str, str]]:
    """Dose 0 hollow and dotted, the last dose full."""
    return [(0, "none", ":"), (int(some["dose"].max()), "full", "-")] if len(some) else []


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    return {"Accuracy and passes": kept_passes(study), "Beside unlooped students": kept_twins(study)}


TOPIC = Topic(
    anchor="looped",
    title="Looped students",
    text=(
        "Students whose layers are passed through several times with the same weights. Passes are those for a written "
        "token; depth 0 is all items. Over fixed: accuracy minus that of as many passes for every written token. Twins "
        "are equal in parameters, or in operations of training; difference: retention of the looped minus the twin's. "
        "Low and high bound at 95%, Student's t over students."
    ),
    captions={
        "looped": (
            "Hollow, dotted: before the contamination; full: after it. Grey: so many passes for prompt and answer; "
            "black: for written tokens alone. Right: the share of all passes that halting gives items of more steps, "
            "with its thresholds."
        ),
    },
    tables=_tables,
    drawn=drawn,
)
