"""The figures of a report's first screen: retention of one skill against dose, and of the best remedy against learning.

Each is one panel with a line a student; dashed is what was done instead.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from forgetting.analysis.learning_paths import PLAIN
from forgetting.analysis.record_reading import data_name
from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.report import drawing, tables
from forgetting.report.first_screen import control_arm, instead, learned, least_kept, main_arm, skills_of
from forgetting.report.front_answer import front_answer, kept_fronts, sizes_named
from forgetting.report.front_figures import XLABEL, level_axis

PANEL = (4.7, 3.3)  # inches: a figure that can be read on a phone has one panel
DASHED: Any = (0, (4, 2))
LONGEST = 72  # characters of a row below the panel


@drawing.styled
def answer_figure(study: StudyFolder, skill: str) -> Figure | None:
    """Retention of one skill against dose in the main arm, a line a student; dashed: the control in its place."""
    arm, control = main_arm(study), control_arm(study)
    curves = learned(arm, skill)
    if not curves:
        return None
    figure = Figure(figsize=PANEL, dpi=drawing.DOTS_PER_INCH)
    axes = np.array([[figure.subplots()]])
    ax: Axes = axes[0, 0]
    for curve in curves:
        drawing.line(ax, study, curve, None)
    beside = control is not None and control.name != arm.name
    for curve in learned(control, skill) if control is not None and beside else []:
        shade = drawing.colours(study)[curve.student]
        ax.plot(curve.dose, curve.retention, color=shade, linestyle=DASHED, linewidth=0.9, zorder=2)
    drawing.dose_axis(ax, curves)
    drawing.say_what_is_missing(ax, [own[skill] for own in arm.curves.values() if skill in own])
    drawing.retention_axes(axes)
    policy = str(arm.settings.get("rate_policy", "unknown")).replace("_", " ")
    figure.suptitle(
        f"Retention of {skill} after {data_name(arm.settings)}\n"
        f"shift {float(arm.settings.get('shift', 1)):g}, rate policy {policy}", x=0.02, ha="left", fontsize=10,
    )  # fmt: skip
    _legends(figure, study, f"dashed: {instead(control)} instead" if beside and control is not None else "")
    return figure


def _legends(figure: Figure, study: StudyFolder, instead: str) -> None:
    """The students in the order of capacity, below them what is dashed, in as many rows as they take."""
    (ax,) = figure.axes
    entries = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    names = [name for name in drawing.students(study) if name in entries]
    handles = [entries[name] for name in names]
    columns = max(2, min(5, int(PANEL[0] / (0.55 + 0.075 * max(map(len, names), default=1)))))
    said = textwrap.wrap(instead, LONGEST)
    below = 0.17 * len(said)
    bottom = 0.5 + 0.17 * -(-len(names) // columns) + below
    figure.subplots_adjust(left=0.12, right=0.98, top=0.86, bottom=bottom / PANEL[1])
    style: Any = {"fontsize": 7.5, "columnspacing": 1.2, "loc": "lower center"}
    if said:
        dashed = Line2D([], [], color="#555555", linestyle=DASHED, linewidth=0.9)
        figure.legend([dashed], ["\n".join(said)], **style)
    figure.legend(handles, names, ncols=columns, bbox_to_anchor=(0.5, below / PANEL[1]), **style)


@drawing.styled
def remedy_figure(study: StudyFolder, arm: ArmCurves, skill: str) -> Figure | None:
    """Retention of one skill against learning, a line a size; dashed: the remedy that keeps most in its place."""
    answer = front_answer(study, arm.name, skill)
    if answer is None or not answer.shown:
        return None
    found = kept_fronts(study)
    lines, levels = (own[(own["arms"] == answer.arms) & (own["skill"] == skill)] for own in (found.lines, found.levels))
    figure = Figure(figsize=PANEL, dpi=drawing.DOTS_PER_INCH)
    axes = np.array([[figure.subplots()]])
    ax: Axes = axes[0, 0]
    for one in answer.shown:
        number, shade = drawing.students(study).index(one.size), drawing.colours(study)[one.size]
        own = lines[lines["student"] == one.size]
        solid = {"label": one.size, "marker": drawing.MARKERS[number % len(drawing.MARKERS)], "markevery": 4}
        for method, style in ((PLAIN, solid), (one.method, {"linestyle": DASHED})):
            line = own[own["method"] == method]
            ax.plot(line["learning"], line["retention"], color=shade, zorder=3, **style)
            ax.fill_between(line["learning"], line["low"], line["high"], color=shade, alpha=0.16, linewidth=0)
    level_axis(ax, levels)
    ax.set_xlabel(XLABEL)
    drawing.place_label(ax.xaxis)
    drawing.retention_axes(axes)
    among = f"the best of {answer.chosen_among} remedies" if answer.chosen_among > 1 else "the remedy"
    source = data_name(study.arm(answer.arms).settings)
    title = f"Retention of {skill} at equal learning of {source}\nplain tuning, and {among}"
    figure.suptitle(title, x=0.02, ha="left", fontsize=10)
    best = sizes_named({one.size: [one.method] for one in answer.shown})
    _legends(figure, study, f"dashed: {best}")
    return figure


def drawn(study: StudyFolder) -> dict[str, Figure | None]:
    """The first figures of a study, by file name: of the first two skills that its main arm has, and of remedies."""
    if not study.arm_names:
        return {}
    arm = main_arm(study)
    curves = {skill: found for skill in skills_of(study, arm) if (found := learned(arm, skill))}
    figures = {f"answer-{skill}": answer_figure(study, skill) for skill in [*curves][:2]}
    if curves and tables.has_remedies(study):
        figures["answer-remedies"] = remedy_figure(study, arm, least_kept(curves))
    return figures
