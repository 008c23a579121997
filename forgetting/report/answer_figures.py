"""The figures of a report's first screen: retention of one skill against dose in one panel, its control dashed."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.first_screen import control_arm, instead, learned, main_arm, skills_of

PANEL = (4.7, 3.3)  # inches: a figure that can be read on a phone has one panel


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
        ax.plot(curve.dose, curve.retention, color=shade, linestyle=(0, (4, 2)), linewidth=0.9, zorder=2)
    drawing.dose_axis(ax, curves)
    drawing.say_what_is_missing(ax, [own[skill] for own in arm.curves.values() if skill in own])
    drawing.retention_axes(axes)
    policy = str(arm.settings.get("rate_policy", "unknown")).replace("_", " ")
    figure.suptitle(
        f"Retention of {skill} after {arm.contamination}\n"
        f"shift {float(arm.settings.get('shift', 1)):g}, rate policy {policy}", x=0.02, ha="left", fontsize=10,
    )  # fmt: skip
    entries = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    names = [name for name in drawing.students(study) if name in entries]
    handles = [entries[name] for name in names]
    columns = max(2, min(5, int(PANEL[0] / (0.55 + 0.075 * max(map(len, names), default=1)))))
    rows = -(-len(names) // columns) + (1 if beside else 0)
    bottom = 0.5 + 0.17 * rows
    figure.subplots_adjust(left=0.12, right=0.98, top=0.86, bottom=bottom / PANEL[1])
    style: Any = {"fontsize": 7.5, "columnspacing": 1.2, "loc": "lower center"}
    if beside and control is not None:
        dashed = Line2D([], [], color="#555555", linestyle=(0, (4, 2)), linewidth=0.9)
        figure.legend([dashed], [f"dashed: {instead(control)} instead"], **style)
    figure.legend(handles, names, ncols=columns, bbox_to_anchor=(0.5, 0.17 / PANEL[1] if beside else 0), **style)
    return figure


def drawn(study: StudyFolder) -> dict[str, Figure | None]:
    """The first figures of a study, by file name: of the first two skills that its main arm has."""
    if not study.arm_names:
        return {}
    arm = main_arm(study)
    some = [skill for skill in skills_of(study, arm) if learned(arm, skill)][:2]
    return {f"answer-{skill}": answer_figure(study, skill) for skill in some}
