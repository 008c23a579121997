"""Sequences of tasks as heat maps: what is known of every skill and every task after each phase, a panel a student."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from forgetting.analysis.study_folder import ArmCurves, StudyFolder
from forgetting.analysis.transfer import transfer
from forgetting.report import drawing
from forgetting.report.topic import Topic

GROUPS = ("skills", "new")
CELL, LONGEST = 0.56, 10  # inches of a cell's width; characters of a name in it
COLOURS = "YlGnBu"


def kept_measures(study: StudyFolder) -> pd.DataFrame:
    """The measures of every sequence, found once for all views; empty where no arm is one."""
    if "transfer measures" not in study.kept:
        told = any(arm.get("phases") for arm in study.record.get("arms", []))
        study.kept["transfer measures"] = transfer(study).measures if told else pd.DataFrame()
    return study.kept["transfer measures"]


def _kept_matrices(study: StudyFolder) -> pd.DataFrame:
    if "transfer matrices" not in study.kept:
        study.kept["transfer matrices"] = transfer(study).matrices
    return study.kept["transfer matrices"]


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """The figure of every arm that is a sequence, by file name."""
    found = {f"transfer-{arm.name}": transfer_figure(study, arm) for arm in study.arms.values()}
    return {name: figure for name, figure in found.items() if figure is not None}


@drawing.styled
def transfer_figure(study: StudyFolder, arm: ArmCurves) -> Figure | None:
    """The matrix of each student in one arm, means over runs; None where the arm is no sequence.

    Rows are phases, columns skills (accuracy) and tasks (NLL of their probe, nats a token). A colour says how much is
    known: accuracy itself, and of a task the share of the fall of its NLL to the lowest in the study. A frame is about
    the task that the phase has just taught.
    """
    if not arm.settings.get("phases"):
        return None
    matrices = _kept_matrices(study)
    own = matrices[matrices["arm"] == arm.name]
    students = [student for student in drawing.students(study) if student in set(own["student"])]
    if not students:
        return None
    lowest = -matrices[matrices["group"] == "new"].groupby("task")["score"].max()
    tables = {student: _table(own[own["student"] == student]) for student in students}
    first = tables[students[0]]
    width, height = CELL * max(t.shape[1] for t in tables.values()), 0.3 * first.shape[0]
    left, right, gap, above, below = 1.0, 0.15, 0.35, 0.75, 0.6
    whole = left + len(students) * width + (len(students) - 1) * gap + right, above + height + below
    figure = Figure(figsize=(max(whole[0], 5.0), whole[1]), dpi=drawing.DOTS_PER_INCH)
    for number, student in enumerate(students):
        at = (left + number * (width + gap)) / max(whole[0], 5.0)
        ax = figure.add_axes((at, below / whole[1], width / max(whole[0], 5.0), height / whole[1]))
        _draw(ax, tables[student], lowest)
        ax.set_title(student)
        if number:
            ax.set_yticklabels([])
    title = f"After each phase: accuracy of skills, NLL of tasks\n{arm.title}"
    figure.suptitle(title, x=0.01, y=1 - 0.06 / whole[1], ha="left", va="top", fontsize=9)
    return figure


def _table(own: pd.DataFrame) -> pd.DataFrame:
    """Means over runs: a row a phase, columns (group, task), skills first."""
    found = own.pivot_table(index=["after", "phase"], columns=["group", "task"], values="score", sort=False)
    return found.sort_index()[[key for group in GROUPS for key in found.columns if key[0] == group]]


def _draw(ax: Axes, table: pd.DataFrame, lowest: pd.Series) -> None:
    values = table.to_numpy(float)
    shown, known = np.empty(values.shape, object), np.empty(values.shape)
    keys = [(str(key[0]), str(key[1])) for key in table.columns.to_list()]
    for column, (group, task) in enumerate(keys):
        own = values[:, column]
        if group == "skills":
            known[:, column] = own
            shown[:, column] = ["1.0" if value >= 0.995 else f"{value:.2f}".lstrip("0") for value in own]
        else:
            fall = -own[0] - float(lowest[task])
            known[:, column] = (own - own[0]) / fall if fall > 0 else 0.0
            shown[:, column] = [f"{-value:.1f}" for value in own]
    ax.imshow(known, cmap=COLOURS, vmin=0, vmax=1, aspect="auto")
    ax.grid(visible=False)
    for (row, column), text in np.ndenumerate(shown):
        colour = "white" if known[row, column] > 0.6 else "black"
        ax.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    names, phases = [task for _, task in keys], [str(key[1]) for key in table.index.to_list()]
    for row, phase in enumerate(phases):
        for column in (place for place, name in enumerate(names) if row and name == phase):
            ax.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, edgecolor="#d55e00", linewidth=1.4))
    skills = sum(group == "skills" for group, _ in keys)
    ax.axvline(skills - 0.5, color="white", linewidth=3)
    ax.set_xticks(range(len(names)), [_short(name) for name in names], rotation=40, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(table)), ["start", *(f"{row} {_short(phase)}" for row, phase in enumerate(phases) if row)])
    ax.tick_params(length=0, labelsize=7.5)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    return {"Measures of every sequence": kept_measures(study)}


TOPIC = Topic(
    anchor="transfer",
    title="Sequences of tasks",
    text=(
        "Of skills accuracy, of new tasks the log-likelihood of their probe, nats a token: more is better. Average: "
        "after the last phase. Backward transfer: since a task was first learned; negative is forgetting. Forward: "
        "before its first phase, against the student of dose 0; positive is help. Forgetting: from the best phase. "
        "Low and high: 95%, Student's t over students."
    ),
    captions={
        "transfer": (
            "A row a phase. Figures: accuracy of skills, NLL of tasks (nats a token). Colours: accuracy, and the "
            "share of a task's fall of NLL to the lowest in this study; the darker, the more is known. Frames: what "
            "was just taught."
        ),
    },
    tables=_tables,
    drawn=drawn,
)
