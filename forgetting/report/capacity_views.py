"""What every size keeps, read in three ways at equal dose and at equal learning, as one figure an arm.

Accuracy, accuracy given a well-formed answer, and the likelihood of the gold answer stand side by side against
parameters, so that a step which is only one of form, or only one of the metric, is seen as such.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from forgetting.analysis.capacity_readings import Place, arm_looks, places
from forgetting.analysis.curves import skill_names
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import LEVELS
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing

SKILL, FEWEST_SIZES = "maths", 3
COLOURS = ("#56b4e9", "#0072b2", "#009e73", "#d55e00", "#000000")
KINDS, TOLD = ("dose", "probe"), ("at equal dose", "at equal learning")
TITLES = {
    "retention": "retention of {skill}",
    "given well-formed": "retention given well-formed",
    "gold likelihood": "gold likelihood kept, exp(-ΔNLL)",
}


@drawing.styled
def capacity_figure(
    study: StudyFolder, arm: str, skill: str = SKILL, thresholds: pd.DataFrame | None = None
) -> Figure | None:
    """What is kept against parameters: a column a reading; above at equal dose, below at equal learning.

    Lines are means over students with Student's t bands at 95%; dotted, the share of well-formed answers at each dose.
    ``thresholds``, as ``capacity_thresholds`` gives them, are drawn as bars under the lines they belong to.
    """
    if skill not in skill_names(study.scores).values():
        return None
    looks = arm_looks(study, arm, skill)
    if looks["capacity"].nunique() < FEWEST_SIZES:
        return None
    doses = sorted(int(d) for d in looks["dose"].unique() if d)
    found = places(study, arm, looks, doses)
    readings = list(dict.fromkeys(place[2] for place in found))
    rows = [names for kind in KINDS if (names := [n for n in dict.fromkeys(p[0] for p in found) if n.startswith(kind)])]
    sizes = (float(looks["capacity"].min()), float(looks["capacity"].max()))
    counts = looks.groupby("student")["distillation_seed"].nunique()
    many = f"{counts.min()}" if counts.min() == counts.max() else f"{counts.min()} to {counts.max()}"
    students = "1 student" if many == "1" else f"{many} students"
    title = f"What each size keeps of {skill}, {students} a size\n{study.arm(arm).title}"
    figure, axes = drawing.grid(len(readings) * len(rows), len(readings), title, below=0.6, above=0.45, foot=0.05)
    for number, row in enumerate(rows):
        for column, reading in enumerate(readings):
            ax, kind = axes.reshape(len(rows), len(readings))[number, column], KINDS[number]
            shown = row[-len(COLOURS) :]
            for name, colour in zip(shown, COLOURS[-len(shown) :], strict=True):
                for place in [p for p in found if p[0] == name and p[2] == reading]:
                    _line(ax, place, name.removeprefix(kind), colour)
            _levels(ax, sizes)
            ax.set_title(f"{TITLES[reading].format(skill=skill)}\n{TOLD[number]}")
            if thresholds is not None:
                _bars(ax, thresholds, arm, reading, kind)
            ax.set_xlabel("parameters")
            if column == len(readings) - 1:
                ax.legend(fontsize=6, title=kind if number == 0 else "learned", title_fontsize=6)
    return figure


def _line(ax: Axes, place: Place, label: str, colour: str) -> None:
    """Means over students by size, with their band; and the rate of well-formed answers where the place is a dose."""
    own = place[3].groupby(["capacity", "distillation_seed"])["kept"].mean().reset_index()
    sizes = np.unique(own["capacity"].to_numpy(float))
    means = [mean_interval(own.loc[own["capacity"] == size, "kept"].to_numpy(float)) for size in sizes]
    mean, low, high = np.array(means).T
    ax.plot(sizes, mean, marker="o", markersize=3, color=colour, label=label, linewidth=1.1)
    ax.fill_between(sizes, low, high, color=colour, alpha=0.13, linewidth=0)
    if place[2] == "given well-formed" and place[0].startswith(KINDS[0]):
        rate = place[3].groupby("capacity")["well_formed"].mean()
        ax.plot(rate.index.to_numpy(float), rate.to_numpy(float), color=colour, linestyle=":", linewidth=0.9)


def _levels(ax: Axes, sizes: tuple[float, float]) -> None:
    for level in LEVELS:
        ax.axhline(level, color="0.6", linewidth=0.6, linestyle=(0, (4, 3)))
    ax.set_ylim(-0.05, 1.15)
    ax.set_xscale("log")
    low, high = sizes[0] / 1.15, sizes[1] * 1.15
    ax.set_xlim(low, high)
    ticks = [m * 10.0**k for k in range(3, 12) for m in (1, 2, 5) if low <= m * 10.0**k <= high]
    ax.xaxis.set_major_locator(FixedLocator(ticks))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(FuncFormatter(lambda size, _: drawing.short(size)))


def _bars(ax: Axes, thresholds: pd.DataFrame, arm: str, reading: str, kind: str) -> None:
    """Located thresholds as a point with its 90% interval, at the height of their level."""
    own = thresholds[(thresholds["arm"] == arm) & (thresholds["reading"] == reading)]
    own = own[own["at"].str.startswith(kind) & (own["status"] == "located")]
    for value, low, high, level in own[["value", "low", "high", "level"]].to_numpy(float):
        ax.plot([max(low, 1.0), min(high, 1e13)], [level, level], color="black", linewidth=2.4, alpha=0.5)
        ax.plot([value], [level], color="black", marker="|", markersize=8)
