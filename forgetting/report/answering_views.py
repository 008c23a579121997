"""Accuracy against generated tokens, drawn: a line a way of answering, before the contamination and after it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.analysis.ways_compared import GREEDY, MAJORITY, ways_compared
from forgetting.report import drawing
from forgetting.report.topic import Topic

TICKS = (2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)
COLOURS = ("#1f77b4", "#d62728", "#2ca02c", "#9467bd", "#ff7f0e", "#8c564b", "#e377c2", "#17becf")
CONTROLS = ("filler", "random", "shuffled")  # settings that make a way a control: drawn hollow
LOOKS = {"before": ("tokens_before", "before the contamination"), "after": ("tokens", "after it")}


def kept_ways(study: StudyFolder) -> pd.DataFrame:
    """The ways of answering of a study side by side, made once for all views; empty where there is only one."""
    if "ways" not in study.kept:
        study.kept["ways"] = ways_compared(study.other_ways)
    return study.kept["ways"]


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """A figure for each arm and benchmark with several ways of answering, by file name."""
    table, found = kept_ways(study), dict[str, Figure]()
    for (arm, benchmark), own in table.groupby(["arm", "benchmark"], sort=False):
        found[f"answering-{benchmark}-{arm}"] = answering_figure(study.arm(str(arm)), own)
    return found


@drawing.styled
def answering_figure(arm: ArmCurves, own: pd.DataFrame) -> Figure:
    """Accuracy against tokens an answer, of one arm and benchmark: a column a student, above before, below after."""
    students = list(dict.fromkeys(own.sort_values("capacity")["student"]))
    title = f"Accuracy of {own['benchmark'].iloc[0]} against generated tokens\n{arm.title} · dose {own['dose'].max():,}"
    figure, axes = drawing.grid(2 * len(students), len(students), title, foot=0.85)
    families = {str(way): _family(str(way)) for way in own["answering"]}
    coloured = [f for f in dict.fromkeys(families.values()) if f not in (GREEDY, MAJORITY)]
    places = [(name, student) for name in LOOKS for student in students]
    for ax, (look, student) in zip(axes.flat, places, strict=True):
        tokens, words = LOOKS[look]
        rows = own[own["student"] == student].assign(family=own["answering"].map(families)).sort_values(tokens)
        for family in (MAJORITY, *coloured):
            some = rows[rows["family"] == family]
            if family == MAJORITY:
                some = rows[rows["family"].isin((GREEDY, MAJORITY))]
            _line(ax, some, look, family, "black" if family == MAJORITY else _colour(coloured, family))
        ax.set_title(f"{student}, {words}")
        ax.set_xscale("log")
        ax.set_ylim(-0.03, 1.03)
    for row in axes:
        row[0].set_ylabel("accuracy")
    shown = own[["tokens", "tokens_before"]].to_numpy(float)
    low, high = np.nanmin(shown) / 1.25, np.nanmax(shown) * 1.25
    for ax in axes.flat:
        ax.set_xlim(low, high)
        ax.xaxis.set_major_locator(FixedLocator([t for t in TICKS if low <= t <= high]))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_xticklabels([str(t) for t in TICKS if low <= t <= high])
        ax.set_xlabel("tokens an answer")
    drawing.legend(figure, axes, [], 4 if len(students) > 2 else 2)
    return figure


def _family(way: str) -> str:
    """A way without the settings that say how much of it: those become points of one line."""
    name, *settings = way.split()
    kept = [one for one in settings if one.partition("=")[0] not in ("budget", "unit", "samples", "most", "agree")]
    return " ".join([name, *(one.removesuffix("=True") for one in kept)])


def _colour(families: list[str], family: str) -> str:
    """A control has the colour of what it controls."""
    names = list(dict.fromkeys(map(_controlled, families)))
    return COLOURS[names.index(_controlled(family)) % len(COLOURS)]


def _controlled(family: str) -> str:
    return family.partition(" ")[0] if _is_control(family) else family


def _is_control(family: str) -> bool:
    return any(word in family for word in CONTROLS)


def _line(ax: Axes, some: pd.DataFrame, look: str, family: str, colour: str) -> None:
    """One way: its settings joined; error bars over students after the contamination, where the intervals are."""
    tokens = some[LOOKS[look][0]].to_numpy(float)
    value = some[look].to_numpy(float)
    label = f"{MAJORITY}, from {GREEDY}" if family == MAJORITY else family.replace("_", " ")
    style = {"fillstyle": "none", "linestyle": ":"} if _is_control(family) else {"fillstyle": "full", "linestyle": "-"}
    marker = "o" if family == MAJORITY else "s"
    ax.plot(tokens, value, marker=marker, color=colour, label=label, linewidth=1, **style)  # type: ignore[arg-type]
    if look == "after":
        error = np.clip([value - some["after_low"], some["after_high"] - value], 0, None)
        ax.errorbar(tokens, value, yerr=error, fmt="none", ecolor=colour, elinewidth=0.7, alpha=0.6)


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    return {"Ways of answering": kept_ways(study)}


TOPIC = Topic(
    anchor="answering",
    title="Ways of answering",
    text=(
        "Accuracy and tokens an answer, before the contamination and after it: means over students. Gain: over greedy "
        "decoding. Over majority: accuracy minus that of majority voting with as many tokens, after it; low and high "
        "bound it at 95%."
    ),
    captions={
        "answering": (
            "Tokens are all that was written, inserted or dropped for an answer. Black: greedy decoding, then "
            "majority voting over more and more drawn answers, the control of all others. Hollow: controls of the way "
            "of that colour. Bars: 95%, Student's t over students."
        ),
    },
    tables=_tables,
    drawn=drawn,
)
