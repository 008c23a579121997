"""Figures of fronts: all lines of a few methods, the best of many in colour, and each of many in a panel of its own."""

from __future__ import annotations

import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from forgetting.analysis.study_folder import StudyFolder, open_study
from forgetting.report import front_figures
from forgetting.report.front_figures import BEST, COLOURS, FEW, GREY, VERDICTS
from forgetting.report.inline_svg import _told
from tests.analysis.test_fronts import study
from tests.report.conftest import write_remedied

LOST = {
    "replay": 0.05,
    "self_replay": 0.1,
    "ewc": 0.15,
    "l2_sp": 0.2,
    "trim": 0.25,
    "gate": 0.28,
    "lora": 0.4,
    "ema": 0.5,
}


def of(names: list[str]) -> StudyFolder:
    """Plain tuning loses .3 a nat of log NLL, each method what is said above."""
    arms: dict[str, tuple[Any, float, float]] = {"dialogue": ("none", 1.0, 0.3)}
    return study(arms | {name: ({"name": name}, 1.0, LOST[name]) for name in names}, 4, noise=0.01)


def named(ax: Axes) -> dict[str, Any]:
    """The lines of a panel by label, without those that are there for the eye."""
    return {str(line.get_label()): line for line in ax.lines if not str(line.get_label()).startswith("_")}


def figure_of(found: StudyFolder) -> Figure:
    figure = front_figures.front(found, "dialogue")
    assert figure is not None
    return figure


def test_a_line_ends_where_its_method_does(remedied_ledger: pd.DataFrame, tmp_path: Path) -> None:
    figure = figure_of(open_study(write_remedied(tmp_path / "synthetic", remedied_ledger)))
    ax = next(ax for ax in figure.axes if ax.get_title() == "34k, code")
    ends = {name: float(np.max(np.asarray(line.get_xdata(), float))) for name, line in named(ax).items()}
    assert list(ends) == ["plain", "one rate", "replay", "ewc"]
    assert ends["ewc"] < ends["one rate"] == ends["replay"] == ends["plain"]
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert np.asarray(cross.get_xdata(), float).tolist() == [ends["ewc"]]


def test_a_few_methods_have_a_colour_each_and_one_figure() -> None:
    found = of(list(LOST)[: FEW - 1])
    assert list(front_figures.drawn(found)) == ["front-dialogue"]
    lines = named(figure_of(found).axes[0])
    assert list(lines) == ["plain", *list(LOST)[: FEW - 1]]
    assert [line.get_color() for line in lines.values()] == ["black", *COLOURS]
    assert len({line.get_marker() for line in lines.values()}) == FEW


def test_of_many_the_best_are_in_colour_and_named_where_they_end() -> None:
    figure = figure_of(of(list(LOST)))
    ax = figure.axes[0]
    lines = named(ax)
    best = list(LOST)[:BEST]
    assert {name: line.get_color() for name, line in lines.items() if name in best} == dict(
        zip(best, COLOURS, strict=False)
    )
    grey = [line for line in ax.lines if line.get_color() == GREY]
    assert len(grey) == len(LOST) - BEST and all(line.get_zorder() < lines["plain"].get_zorder() for line in grey)
    texts = {text.get_text(): text.get_position() for text in ax.texts if text.get_text() in lines}
    assert set(texts) == {"plain", *best} and min(x for x, _ in texts.values()) > 1  # beside the panel, not over it
    heights = sorted(y for _, y in texts.values())
    assert min(np.diff(heights)) > 0.07 and heights[0] >= ax.get_ylim()[0] and heights[-1] <= ax.get_ylim()[1]
    assert sorted(texts, key=lambda name: -texts[name][1]) == [*best, "plain"]
    (entry,) = figure.legends[0].get_texts()
    assert entry.get_text().startswith(f"the {len(LOST) - BEST} others")


def test_of_many_each_has_a_panel_in_the_order_of_its_area_and_the_colour_of_its_interval() -> None:
    found = of(list(LOST))
    drawn = front_figures.drawn(found)
    assert list(drawn) == ["front-dialogue", "fronts-dialogue-34k-maths"]
    panels = [ax for ax in drawn["fronts-dialogue-34k-maths"].axes if ax.get_visible()]
    assert [ax.get_title().split("\n")[0] for ax in panels] == list(LOST)
    areas = found.kept["fronts against plain: areas"].set_index("method")
    more, less, _ = VERDICTS.values()
    for ax, name in zip(panels, LOST, strict=True):
        row = areas.loc[name]
        assert ax.get_title().endswith(f"\n{row['area']:+.2f} ({row['low']:.2f} to {row['high']:.2f})")
        plain, line = ax.lines
        assert plain.get_color() == "black" and to_hex(line.get_color()) == (more if row["low"] > 0 else less).lower()
    assert areas.loc["ema", "high"] < 0 < areas.loc["gate", "low"]
    assert len({ax.get_xlim() for ax in panels}) == len({ax.get_ylim() for ax in panels}) == 1


def test_a_point_is_told_in_nats_and_not_in_learning() -> None:
    ax = figure_of(of(["replay"])).axes[0]
    levels = pd.DataFrame({"nll": [4.5, 1.5], "learning": [-math.log(4.0), 0.0]})  # a floor of half a nat
    front_figures.level_axis(ax, levels)
    assert ax.fmt_xdata is not None and [ax.fmt_xdata(x) for x in (-math.log(4.0), 0.0)] == ["4.5", "1.5"]
    assert _told("plain", "NLL", "retention", np.array([0.0, 0.5]), ax) == "plain: retention 0.5, NLL 1.5"


@pytest.mark.parametrize(
    ("high", "low", "colour"), [(0.2, 0.1, 0), (-0.1, -0.2, 1), (0.1, -0.1, 2), (np.nan, np.nan, 2)]
)
def test_a_verdict_takes_the_whole_interval(high: float, low: float, colour: int) -> None:
    assert front_figures._verdict(low, high) == list(VERDICTS.values())[colour]


@pytest.mark.parametrize(
    ("levels", "labels"),
    [
        ([6, 4, 3, 2.5], ["6", "4", "", "2.5"]), ([10.7, 9.86, 9.12, 8.43], ["10.7", "", "", ""]),
        ([9, 3, 1, 0.3], ["9", "3", "1", "0.3"]),
    ],
)  # fmt: skip
def test_labels_of_levels_do_not_meet(levels: list[float], labels: list[str]) -> None:
    figure = Figure(figsize=(4, 3))
    ax = figure.subplots()
    ax.set_xlim(-np.log(20), -np.log(0.2))
    front_figures.level_axis(ax, pd.DataFrame({"nll": levels, "learning": -np.log(levels)}))
    assert [label.get_text() for label in ax.get_xticklabels()] == labels
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(boxes))
