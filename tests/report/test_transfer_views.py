"""The matrix of a sequence as a heat map, its table in the report, and its tasks in TensorBoard."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from forgetting.analysis.study_folder import ArmCurves
from forgetting.evaluation.events import EventsWriter, scalar_values
from forgetting.report import transfer_views
from tests.analysis.test_transfer import study

PHASES = ("dialogue", "a_task_with_a_long_name", "dialogue")


def values(arm: str, student: int, row: int) -> tuple[float, dict[str, float]]:
    return [1.0, 0.75, 0.5, 0.25][row], {PHASES[0]: [8.0, 4.0, 6.0, 2.0][row], PHASES[1]: [9.0, 9.0, 3.0, 5.0][row]}


def shown(**settings: Any) -> tuple[Any, ArmCurves]:
    """A study of one sequence, and its arm."""
    found = study({"x": PHASES}, values)
    curves: Any = {"s": {"maths": SimpleNamespace(capacity=100)}}
    arm = ArmCurves("x", {**found.record["arms"][0], **settings}, curves)
    found.__dict__["arms"] = {"x": arm}
    return found, arm


def test_the_cells_are_accuracy_and_nll_and_the_frames_are_what_was_just_taught() -> None:
    found, arm = shown()
    figure = transfer_views.transfer_figure(found, arm)
    assert figure is not None
    (ax,) = figure.axes
    cells = [text.get_text() for text in ax.texts]
    assert cells == ["1.0", "8.0", "9.0", ".75", "4.0", "9.0", ".50", "6.0", "3.0", ".25", "2.0", "5.0"]
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [(p.get_x() + 0.5, p.get_y() + 0.5) for p in frames] == [(1, 1), (2, 2), (1, 3)]
    known = ax.images[0].get_array()
    assert known is not None
    assert known[:, 1].tolist() == pytest.approx([0, 4 / 6, 2 / 6, 1])  # of the fall from 8 to 2
    assert known[:, 0].tolist() == [1.0, 0.75, 0.5, 0.25]


def test_no_text_of_the_figure_leaves_it() -> None:
    found, arm = shown()
    figure = transfer_views.transfer_figure(found, arm)
    assert figure is not None
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    for text in figure.findobj(Text):
        if isinstance(text, Text) and text.get_text() and text.get_visible():
            box = text.get_window_extent(renderer)
            assert box.x0 >= 0 and box.y0 >= 0 and box.y1 <= figure.bbox.y1, text.get_text()


def test_an_arm_that_is_no_sequence_has_no_figure() -> None:
    found, arm = shown(phases=[])
    assert transfer_views.transfer_figure(found, arm) is None


def test_the_measures_are_found_once() -> None:
    found, _ = shown()
    table = transfer_views.kept_measures(found)
    assert {"backward", "forward", "average", "forgetting"} == set(table["measure"])
    assert transfer_views.kept_measures(found) is table


def test_every_task_has_its_own_scalars_and_the_whole_is_the_new_one() -> None:
    rows = [
        {"benchmark": "probe", "variant": name, "dose": 40, "nll": nll, "kl": 0.5, "delta_nll": -nll}
        for name, nll in (("sequence", 3.0), ("dialogue", 2.0), ("pipe", 4.0))
    ]
    found = scalar_values(rows, "sequence")[40]
    assert found["new/nll"] == 3.0 and found["plasticity"] == 3.0
    assert found["task/dialogue/nll"] == 2.0 and found["task/pipe/nll"] == 4.0


def test_a_single_probe_is_the_new_one_whatever_its_name() -> None:
    row = {"benchmark": "probe", "variant": "dialogue", "dose": 40, "nll": 2.0, "kl": 0.5, "delta_nll": -1.0}
    assert set(scalar_values([row], "dialogue")[40]) == set(scalar_values([row], "new")[40])


def test_the_tasks_have_charts(tmp_path: Path) -> None:
    writer = EventsWriter(tmp_path)
    writer.layout(["maths"], ["new/nll"], ["dialogue", "pipe"])
    writer.close()
    (events,) = tmp_path.glob("*tfevents*")
    assert b"task/pipe/nll" in events.read_bytes()
