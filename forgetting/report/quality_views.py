"""What branches of one trunk are like before the contamination, drawn: depth, effort, and differences by measure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from forgetting.analysis.branch_quality import (
    DEVICES,
    EQUAL_SKILL,
    MARGIN,
    REFERENCE,
    WHOLE,
    judged,
    quality_differences,
    readings,
)
from forgetting.analysis.branches import AGAINST, mean_with_interval
from forgetting.analysis.record_reading import is_branched
from forgetting.analysis.study_folder import StudyFolder
from forgetting.report import drawing
from forgetting.report.topic import Topic

COLOURS = ("#000000", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00")
PROFILES = {"accuracy": "accuracy", "steps": "written steps"}  # of steps only where answers were kept
NAMES = {
    ("drop", DEVICES): "drop, four devices",
    ("drop", REFERENCE): "drop, renumbered\n(reference)",
    ("worst", DEVICES): "right in all wordings",
    ("slope", WHOLE): "written steps\na step of depth",
    ("own_steps", WHOLE): "own number of steps",
}


def kept_quality(study: StudyFolder) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Readings and differences, made once; empty where nothing branches, or not from the usual branch."""
    if not is_branched(study.record) or AGAINST not in set((found := readings(study))["branch"]):
        return pd.DataFrame(), pd.DataFrame()
    if "quality_differences" not in study.kept:
        study.kept["quality_differences"] = quality_differences(found)
    return found, study.kept["quality_differences"]


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """A figure for each size of trunks, of the students at dose 0, with which every arm begins."""
    found, differences = kept_quality(study)
    if found.empty:
        return {}
    own, apart = (
        frame[(frame["arm"] == found["arm"].iloc[0]) & (frame["dose"] == 0)] for frame in (found, differences)
    )
    trunks = dict.fromkeys(map(str, own["trunk"]))
    return {f"quality-{t}": quality_figure(own[own["trunk"] == t], apart[apart["trunk"] == t]) for t in trunks}


@drawing.styled
def quality_figure(found: pd.DataFrame, differences: pd.DataFrame) -> Figure:
    """Accuracy and written steps against depth, a line a branch; and the differences of the measures as made."""
    branches = list(dict.fromkeys(map(str, found["branch"])))
    colours = dict(zip(branches, COLOURS * len(branches), strict=False))
    title = "Students of one trunk before the contamination,\nby how they went on from it"
    there = [measure for measure in PROFILES if (found["measure"] == measure).any()]
    figure, axes = drawing.grid(len(there) + 1, 1, title, foot=0.4, below=0.6, sharey="row")
    *profiles, apart = axes[:, 0]
    for ax, measure in zip(profiles, there, strict=True):
        _profile(ax, found, measure, colours)
        ax.set_ylabel(PROFILES[measure])
    _differences(apart, differences, colours)
    figure.subplots_adjust(left=0.33)
    drawing.legend(figure, axes, branches, 2)
    return figure


def _profile(ax: Axes, found: pd.DataFrame, measure: str, colours: Mapping[str, str]) -> None:
    """A measure by depth: means over trunks with 95%, branches beside each other."""
    own = found[(found["measure"] == measure) & (found["of"] != WHOLE)]
    depths = sorted(set(own["of"]), key=float)
    for place, (name, colour) in enumerate(colours.items()):
        runs = own[own["branch"] == name]
        values = [runs[runs["of"] == depth]["value"].to_numpy(float) for depth in depths]
        x = np.array(depths, float) + 0.06 * (place - (len(colours) - 1) / 2)
        _bars(ax, x, [mean_with_interval(of_depth) for of_depth in values], colour, name)
    ax.set_xticks([float(depth) for depth in depths], depths)
    ax.set_xlabel("steps of the problem")


def _differences(ax: Axes, differences: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """A row a measure, a bar a branch: less the off-policy branch of the same trunk, at equal skill, hollow as made."""
    rows = _rows(differences)
    ax.axvspan(-MARGIN, MARGIN, color="#efefef", zorder=0)
    ax.axvline(0, color=drawing.LEVEL_COLOUR, linewidth=0.9)
    others = [name for name in colours if name != AGAINST]
    for place, name in enumerate(others):
        own = differences[differences["branch"] == name]
        for number, (measure, of) in enumerate(rows):
            found = own[(own["measure"] == measure) & (own["of"] == of) & own["value"].notna()]
            equal = bool((found["skill"] == "equal").any())
            shown = found[found["skill"] == ("equal" if equal else "as made")]
            y = np.full(len(shown), number + 0.7 * ((place + 0.5) / len(others) - 0.5))
            reach = np.nan_to_num([shown["value"] - shown["low"], shown["high"] - shown["value"]])
            style: dict[str, Any] = {"color": colours[name], "fillstyle": "full" if equal else "none"}
            ax.errorbar(shown["value"], y, xerr=reach, fmt="o", elinewidth=0.9, markersize=3, **style)
    ax.set_yticks(range(len(rows)), [_name(*pair) for pair in rows], fontsize=8)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(f"less {AGAINST} of the same trunk")


def _rows(differences: pd.DataFrame) -> list[tuple[str, str]]:
    """Depths, then the measures, the reference behind the drop that it is one of; those that were measured."""
    there = set(zip(differences["measure"], differences["of"], strict=True))
    depths = sorted((of for measure, of in there if measure == "accuracy" and of != WHOLE), key=float)
    return [*(("accuracy", of) for of in depths), *(pair for pair in NAMES if pair in there)]


def _name(measure: str, of: str) -> str:
    return NAMES.get((measure, of), f"{measure}, depth {of}")


def _bars(ax: Axes, x: np.ndarray, ends: Sequence[tuple[float, float, float]], colour: str, label: str) -> None:
    mean, low, high = np.array(ends).T
    reach = np.nan_to_num([mean - low, high - mean])
    ax.errorbar(x, mean, yerr=reach, marker="o", color=colour, elinewidth=0.9, linewidth=1, label=label)


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    _, differences = kept_quality(study)
    if differences.empty:
        return {}
    main = judged(differences)
    return {"Before the contamination": main[main["arm"] == main["arm"].iloc[0]], "All measures and looks": differences}


def _said(study: StudyFolder) -> str:
    """Of each branch how many measures differ, are alike, are open, where both arrived; and if their skill is equal."""
    _, differences = kept_quality(study)
    both = differences[(differences["skill"] == "equal") & (differences["trunks"] > 1) & (differences["dose"] == 0)]
    both = both[both["arm"] == differences["arm"].iloc[0]] if len(both) else both
    told = []
    for branch, every in both.groupby("branch", sort=False):
        own = judged(every)
        counts = own["verdict"].value_counts()
        differ = own[own["verdict"] == "differs"][["measure", "of", "value"]].itertuples(index=False, name=None)
        named = ", ".join(f"{_name(measure, of)} {value:+.2f}".replace("\n", " ") for measure, of, value in differ)
        alike = f"alike within {MARGIN:g} in {counts.get('alike', 0)} and open in {counts.get('open', 0)}"
        apart = float(every[(every["measure"] == "accuracy") & (every["of"] == WHOLE)]["value"].iloc[0])
        unequal = f" (not at equal skill: {apart:+.3f})" if abs(apart) >= EQUAL_SKILL else ""
        told.append(f"{branch!s}{unequal} differs in {named or 'none'}, is {alike} of {len(own)} measures")
    return f"Where both arrived, beside {AGAINST}: {'; '.join(told)}." if told else ""


TOPIC = Topic(
    anchor="quality",
    title="Are students of one skill alike?",
    text=(
        "Skill by depth, what perturbed wordings cost, and how many steps are written, by branch and paired by trunk "
        "(docs/distillation.md)."
    ),
    captions={
        "quality": (
            "Before the contamination. Above: accuracy, and mean number of written steps, by the problem's; below: "
            "each branch less the off-policy one of the same trunk, full at equal skill (both arrived), hollow as "
            "made where none did. Bars: 95%, Student's t over trunks; shaded: within .05 of no difference."
        ),
    },
    tables=_tables,
    drawn=drawn,
    said=_said,
)
