"""Figures of retention at equal learning: the fronts of a study in; a line a method, or of many a panel a method, out.

Of a few methods every line has its colour and band. Of more, the best are in colour beside plain tuning and named where
they end, the others are grey, and each is in a small panel of its own in a figure for each size and skill.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from forgetting.analysis.learning_paths import PLAIN
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.drawing import COLUMNS, MARKERS
from forgetting.report.front_answer import kept_fronts, remedies

LEGEND_COLUMNS = (2, 4, 6)  # beside one, two and more panels
FEW, BEST = 7, 5  # methods whose lines can be told apart in a panel; remedies in colour where there are more
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito: for all colour vision
GREY = "#b4b4b4"
VERDICTS = {  # of the interval of a method's area, with its colour
    "keeps more than plain tuning (95%)": "#0072B2", "keeps less": "#D55E00", "not told apart": "#767676",
}  # fmt: skip
NAME_SIZE = 7.5  # points
APART = 0.075  # of the retention axis: names that stand below each other
SMALL, SMALL_COLUMNS = (1.32, 0.8), (5, 4)  # inches of a small panel; small panels in a row
CHARACTER = 0.56 / 72  # inches that a character of one point takes across
XLABEL = "NLL of the new task, falling to the right"


@drawing.styled
def front(study: StudyFolder, arms: str) -> Figure | None:
    """Retention against learning in one set of arms: a panel for each size and skill, a line a method."""
    found = kept_fronts(study)
    lines, levels, areas = (own[own["arms"] == arms] for own in (found.lines, found.levels, found.areas))
    panels = list(dict.fromkeys(lines[["student", "skill"]].itertuples(index=False, name=None)))
    if not panels:
        return None
    methods, grey, band = list(dict.fromkeys(levels["method"])), "", 0.08
    title = f"Retention against learning (NLL in nats a token)\n{arms} · {_students(levels)}"
    if len(methods) <= FEW:
        columns, best = LEGEND_COLUMNS[min(len(panels), 3) - 1], methods
        foot = 0.3 + 0.19 * (-(-len(methods) // columns) - 1)
        figure, axes = drawing.grid(len(panels), COLUMNS, title, foot=foot)
    else:
        best = [PLAIN, *_best(areas)]
        grey, band = _others(methods, best), 0.16
        beside = max(drawing.inches(best)) * NAME_SIZE / drawing.STYLE["font.size"]
        figure, axes = drawing.grid(len(panels), 2, title, beside=beside)
    for ax, cell in zip(axes.flat, panels, strict=False):
        own = lines[(lines[["student", "skill"]] == cell).all(axis=1)]
        for name in methods:
            line = own[own["method"] == name]
            if len(line) and name in best:
                _in_colour(ax, line, name, _style(name, best), float(lines["learning"].max()), band)
            elif len(line):
                ax.plot(line["learning"], line["retention"], color=GREY, linewidth=0.8, zorder=2, label=grey)
        level_axis(ax, levels)
        ax.set_title(", ".join(cell))
        ax.set_xlabel(XLABEL)
    drawing.retention_axes(axes)
    if len(methods) <= FEW:
        drawing.legend(figure, axes, methods, columns)
    else:
        for ax in axes.flat[: len(panels)]:
            _name_ends(ax, best)
        drawing.legend(figure, axes, [grey])
    return figure


def _others(methods: Sequence[str], best: Sequence[str]) -> str:
    return f"the {len(set(methods) - set(best))} others, each in a small panel of its own in the figures that follow"


def _best(areas: pd.DataFrame) -> list[str]:
    """The remedies that keep most over sizes and skills, by the mean of their areas, where they keep more at all."""
    mean = areas[areas["method"].isin(remedies(areas["method"]))].groupby("method", sort=False)["area"].mean()
    return [str(name) for name in mean[mean > 0].sort_values(ascending=False, kind="stable").index[:BEST]]


def _in_colour(ax: Axes, line: pd.DataFrame, name: str, style: dict[str, Any], end: float, band: float) -> None:
    """A method's line with its band of that opacity, and a cross where it ends before others do."""
    ax.plot(line["learning"], line["retention"], label=name, markevery=5, **style)
    ax.fill_between(line["learning"], line["low"], line["high"], color=style["color"], alpha=band, linewidth=0)
    if line["learning"].iloc[-1] < end:
        cross = {"marker": "x", "color": style["color"], "markersize": 6, "linestyle": "none", "zorder": 5}
        ax.plot(line["learning"].iloc[-1:], line["retention"].iloc[-1:], **cross)


def _style(name: str, methods: Sequence[str]) -> dict[str, Any]:
    """Plain tuning in black; the others by colour and marker together."""
    if name == PLAIN:
        return {"color": "black", "linewidth": 2.2, "zorder": 4}
    number = [other for other in methods if other != PLAIN].index(name)
    return {"color": COLOURS[number], "marker": MARKERS[number], "zorder": 3}


def level_axis(ax: Axes, levels: pd.DataFrame, size: float = drawing.STYLE["font.size"]) -> None:
    """Levels of learning as NLL, those labelled whose labels have room: the first, the last, then from the left."""
    start, end = ax.get_xlim()
    ticks = levels[levels["learning"].between(start, end)].drop_duplicates("nll").sort_values("learning")
    places, labels = ticks["learning"].tolist(), [f"{nll:.3g}" for nll in ticks["nll"]]
    across = ax.bbox.width / ax.figure.dpi
    inches = [(place - start) / (end - start) * across for place in places]
    kept = list[int]()
    for number in sorted(range(len(labels)), key=lambda one: one not in (0, len(labels) - 1)):
        needed = {other: (len(labels[number] + labels[other]) + 1) / 2 * CHARACTER * size for other in kept}
        if all(abs(inches[number] - inches[other]) >= least for other, least in needed.items()):
            kept.append(number)
    floor = float(levels["nll"].iloc[0]) - math.exp(-float(levels["learning"].iloc[0])) if len(levels) else 0.0
    ax.fmt_xdata = lambda learned: f"{floor + math.exp(-learned):.3g}"
    ax.xaxis.set_major_locator(FixedLocator(places))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_xticklabels([label if number in kept else "" for number, label in enumerate(labels)])


def _name_ends(ax: Axes, order: Sequence[str]) -> None:
    """Names of a panel's lines at its right, each at the height where its line ends, moved apart where they meet."""
    named = {str(line.get_label()): line for line in ax.lines if str(line.get_label()) in order}
    low, high = ax.get_ylim()
    room, top = APART * (high - low), high
    by_height = sorted(named, key=lambda name: -float(np.asarray(named[name].get_ydata())[-1]))
    for number, name in enumerate(by_height):
        least = low + room * (len(by_height) - number - 0.5)  # for those that are still to come below
        place = max(min(float(np.asarray(named[name].get_ydata())[-1]), top), least)
        top = place - room
        marker = "_" if name == PLAIN else named[name].get_marker()
        style: Any = {"color": named[name].get_color(), "marker": marker, "markersize": 5, "linestyle": "none"}
        across = ax.get_yaxis_transform()
        ax.plot([1.04], [place], transform=across, clip_on=False, **style)
        ax.text(1.07, place, name, transform=across, va="center", fontsize=NAME_SIZE)


@drawing.styled
def each(study: StudyFolder, arms: str, student: str, skill: str) -> Figure:
    """One size and skill with a small panel a method beside plain tuning, in the order of their areas."""
    found = kept_fronts(study)
    levels, areas, lines = (
        frame[(frame[["arms", "student", "skill"]] == (arms, student, skill)).all(axis=1)]
        for frame in (found.levels, found.areas, found.lines)
    )
    areas = areas[areas["method"] != PLAIN].sort_values("area", ascending=False, kind="stable")
    title = f"Retention of {skill} against learning, a panel a method beside plain tuning (black)\n"
    title += f"{arms} · {student} · {_students(levels)} · mean difference from plain tuning"
    columns = min(SMALL_COLUMNS, key=lambda count: -len(areas) % count)
    figure, axes = drawing.grid(len(areas), columns, title, panel=SMALL, above=0.36, below=0.22, beside=0.1, foot=0.5)
    least = min(0.0, float(lines["retention"].min()))
    plain = lines[lines["method"] == PLAIN]
    for number, (ax, row) in enumerate(zip(axes.flat, areas.to_dict("records"), strict=False)):
        line, colour = lines[lines["method"] == row["method"]], _verdict(row["low"], row["high"])
        ax.plot(plain["learning"], plain["retention"], color="black", linewidth=1.0)
        ax.plot(line["learning"], line["retention"], color=colour, linewidth=1.6)
        ax.fill_between(line["learning"], line["low"], line["high"], color=colour, alpha=0.18, linewidth=0)
        ax.set_title(f"{row['method']}\n{_area(row)}", fontsize=7, color=colour)
        ax.set_xlim(float(lines["learning"].min()), float(lines["learning"].max()))
        ax.set_ylim(least - 0.05, 1.08)
        ax.set_yticks([0.0, 0.5, 1.0], ["0", ".5", "1"])
        level_axis(ax, levels, 6.5)
        ax.tick_params(labelsize=6.5, length=2, labelbottom=number + columns >= len(areas))
    figure.text(0.5, 0.33 / figure.get_figheight(), XLABEL, ha="center", fontsize=8)
    handles = [Line2D([], [], color=colour, linewidth=1.6) for colour in VERDICTS.values()]
    figure.legend(handles, list(VERDICTS), loc="lower center", ncols=len(VERDICTS), fontsize=8)
    return figure


def _verdict(low: float, high: float) -> str:
    """The colour of an interval that lies above 0, below 0 or neither."""
    more, less, open_ = VERDICTS.values()
    return more if low > 0 else less if high < 0 else open_


def _area(row: dict[Any, Any]) -> str:
    if not row["compared"]:
        return str(row["status"])
    interval = f" ({row['low']:.2f} to {row['high']:.2f})" if row["low"] == row["low"] else ""
    return f"{row['area']:+.2f}{interval}"


def _students(levels: pd.DataFrame) -> str:
    """What the bands are of."""
    fewest, most = int(levels["students"].min()), int(levels["students"].max())
    if most == 1:
        return "1 student a size, so no bands"
    return f"{fewest} students a size, 95%" if fewest == most else f"{fewest} to {most} students a size, 95%"


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """``front`` of every set of arms and, of many methods, ``fronts`` of each of its sizes and skills, by file name."""
    found, figures = kept_fronts(study), dict[str, Figure | None]()
    for arms, areas in found.areas.groupby("arms", sort=False):
        figures[f"front-{arms}"] = front(study, str(arms))
        if areas["method"].nunique() > FEW:
            for student, skill in dict.fromkeys(areas[["student", "skill"]].itertuples(index=False, name=None)):
                figures[f"fronts-{arms}-{student}-{skill}"] = each(study, str(arms), student, skill)
    return {name: figure for name, figure in figures.items() if figure is not None}
