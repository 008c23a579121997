"""How wrong answers failed, drawn: a study in, a figure for each arm and benchmark out, with its control beside it."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forgetting.analysis.failures import SHARES, composition, counts_of
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.report import drawing, tables
from forgetting.world.failures import CLASSES

COLOURS = {
    "empty": "#d9d9d9",
    "loop": "#b0b0b0",
    "truncated": "#858585",
    "intrusion": "#4a4a4a",
    "malformed": "#b39ddb",
    "shortcut": "#fdd835",
    "symbol_error": "#f28e2b",
    "inconsistent_path": "#2a9d8f",
    "camouflage": "#c62828",
    "wrong_start": "#ef9a9a",
    "unfaithful": "#8d6e63",
    "undecided": "#e3e9ee",
    "right_by_wrong_steps": "#a5d6a7",
}
FEWEST_WRONG = 10  # answers of which a mix is drawn
MOST_LABELS = 6
LABELS = {"per_item": "", "given_wrong": ", of the wrong ones"}


def drawn(study: StudyFolder, arm: ArmCurves) -> dict[str, Figure]:
    """The figures of one arm by name: one a benchmark whose answers were classed."""
    counts = counts_of(study)
    benchmarks = dict.fromkeys(counts.loc[counts["arm"] == arm.name, "benchmark"])
    return {f"failures-{name}-{arm.name}": failures(study, arm, str(name)) for name in benchmarks}


@drawing.styled
def failures(study: StudyFolder, arm: ArmCurves, benchmark: str) -> Figure:
    """Classes of failure by dose, stacked: a row a student; per item and given wrong, the control arm beside each."""
    table = kept_composition(study)
    table = table[table["benchmark"] == benchmark]
    control = control_of(study, arm)
    arms = [arm.name, *([control] if control else [])]
    counts = counts_of(study)
    asked = counts[(counts["arm"] == arm.name) & (counts["benchmark"] == benchmark)]
    students = dict.fromkeys(asked.sort_values(["capacity", "student"])["student"])
    panels = [(student, share, name) for student in students for share in SHARES for name in arms]
    title = f"How answers to {benchmark} failed\n{arm.title}"
    figure, axes = drawing.grid(max(len(panels), 1), len(SHARES) * len(arms), title, foot=0.55 if control else 0.95)
    for ax, (student, share, name) in zip(axes.flat, panels, strict=False):
        looks = counts[(counts["student"] == student) & (counts["arm"] == name) & (counts["benchmark"] == benchmark)]
        own = table[(table["student"] == student) & (table["arm"] == name)]
        _stack(ax, own, share, sorted(looks["dose"].unique()))
        ax.set_title(f"{student}, {name}{LABELS[share]}")
    for row in axes:
        row[0].set_ylabel("share of answers")
    drawing.legend(figure, axes, [name.replace("_", " ") for name in CLASSES], columns=5 if control else 3)
    return figure


def kept_composition(study: StudyFolder) -> pd.DataFrame:
    """The composition of a study's failures, made once for all views."""
    if "composition" not in study.kept:
        study.kept["composition"] = composition(counts_of(study))
    return study.kept["composition"]


def control_of(study: StudyFolder, arm: ArmCurves) -> str:
    """The arm that shows what would have failed anyway: more of the original, else the sham of the contamination."""
    ran = {control.name: control.arms for control in tables.controls(study)}
    source = {str(own["name"]): part_name(own.get("contamination")) for own in study.record.get("arms", [])}
    shams = [name for name in ran["sham"] if source[name] == arm.contamination]
    return next((name for name in (*ran["original"], *shams) if name != arm.name), "")


def _stack(ax: Axes, own: pd.DataFrame, share: str, doses: list[int]) -> None:
    """One panel: a column a dose; a mix of few wrong answers is left out."""
    edges, bottom = np.arange(len(doses) + 1) - 0.5, np.zeros(len(doses))
    about = own.drop_duplicates("dose").set_index("dose").reindex(doses)
    wrong = (about["items"] * about["students"] * (1 - about["accuracy"])).to_numpy(float)
    shown = np.ones(len(doses), bool) if share == "per_item" else np.nan_to_num(wrong) >= FEWEST_WRONG
    by_class = own.pivot(index="dose", columns="failure", values=share).reindex(doses)
    for name in (name for name in CLASSES if name in by_class):
        top = bottom + by_class[name].fillna(0.0).to_numpy(float)
        if (top > bottom).any():
            column, label = np.where(shown, top, np.nan), name.replace("_", " ")
            ax.stairs(column, edges, baseline=bottom, fill=True, color=COLOURS[name], linewidth=0, label=label)
        bottom = top
    keep = range(0, len(doses), -(-len(doses) // MOST_LABELS))
    ax.set_xticks(list(keep), [tables.short_dose(doses[place]) for place in keep])
    ax.set_xlim(-0.5, len(doses) - 0.5)
    ax.set_ylim(0, 1)
    drawing.place_label(ax.xaxis)
    drawing.place_label(ax.yaxis)
    ax.set_xlabel("dose (contaminating samples)")
    if not shown.any():
        ax.annotate(f"fewer than {FEWEST_WRONG} wrong", (0.03, 0.9), xycoords="axes fraction", fontsize=7.5)
