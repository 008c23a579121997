"""Are values copied less surely from far back? Counts of copies in; figures by arm and benchmark, and tables, out."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.value_distance import counts_of, distance_slopes, value_distances
from forgetting.report import drawing
from forgetting.report.topic import Topic

COLOURS = {"before": "#8a8a8a", "after": "#d55e00"}
MARKERS = {"prompt": "o", "answer": "s"}
NAMES = {"prompt": "from the prompt", "answer": "from the answer"}
CAPTIONS = {
    "distance": (
        "Values that a written-out answer copies, by how many words back they stand: the share of copies that is right "
        "where the answer is gold up to there, at dose 0 (grey) and at the last dose; bars: 95%, Student's t over "
        "students. Copies from the prompt are farther the later the step; what distance alone does is the slope within "
        "cells, in the table."
    )
}


def drawn(study: StudyFolder) -> dict[str, Figure]:
    """One figure for each arm and benchmark whose copies were counted beside the record."""
    if study.distances.empty:
        return {}
    table = value_distances(counts_of(study))
    found = table.groupby(["arm", "benchmark"], sort=False, observed=True)
    return {f"distance-{arm}-{benchmark}": distance_figure(own) for (arm, benchmark), own in found}


@drawing.styled
def distance_figure(table: pd.DataFrame) -> Figure:
    """Right copies by distance of one arm and benchmark, a panel a size, as ``value_distances`` gives them."""
    first = table.iloc[0]
    sizes = list(table.sort_values("capacity").groupby("student", sort=False, observed=True))
    title = f"Copies of values by distance: {first['benchmark']}, {first['arm']}, by students"
    figure, axes = drawing.grid(len(sizes), min(3, len(sizes)), title, sharey="row", foot=0.5)
    for ax, (student, own) in zip(axes.flat, sizes, strict=False):
        last = own["dose"].max()
        for when, dose in (("before", 0), ("after", last)):
            for source, marker in MARKERS.items():
                some = own[(own["dose"] == dose) & (own["source"] == source)].sort_values("distance")
                reach = np.nan_to_num([some["right"] - some["low"], some["high"] - some["right"]]).clip(min=0)
                ax.errorbar(
                    some["distance"], some["right"], yerr=reach, marker=marker, color=COLOURS[when], elinewidth=0.9,
                    linestyle="-" if source == "prompt" else "none", label=f"{NAMES[source]}, {when}",
                    fillstyle="full" if source == "prompt" else "none",
                )  # fmt: skip
        ax.set_ylim(0, 1.04)
        ax.set_xlabel("words back")
        ax.set_title(f"{student}, dose {last:,}")
    for ax in axes[:, 0]:
        ax.set_ylabel("right copies")
    drawing.legend(figure, axes, [f"{NAMES[s]}, {when}" for s in MARKERS for when in COLOURS], columns=2)
    return figure


def _tables(study: StudyFolder) -> dict[str, pd.DataFrame]:
    if study.distances.empty:
        return {}
    counts = counts_of(study)
    ends = counts[(counts["dose"] == 0) | (counts["dose"] == counts["dose"].max())]
    return {"Slopes within cells, for ten words": distance_slopes(counts), "Right copies": value_distances(ends)}


TOPIC = Topic(
    anchor="distance",
    title="Are values lost that stand far back?",
    text="What answers copy, by the distance between a value and its use (docs/probes.md).",
    captions=CAPTIONS,
    tables=_tables,
    drawn=drawn,
)
