"""Figures of the synthetic study: what is drawn in them, and that drawing leaves no trace."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from forgetting.analysis.study_folder import StudyFolder, open_study
from forgetting.report import capacity_views, drawing, figures


@pytest.fixture(scope="module")
def study(study_folder: Path) -> StudyFolder:
    return open_study(study_folder)


@pytest.fixture(scope="module")
def drawn(study: StudyFolder) -> dict[str, Figure]:
    return figures.figures(study)


def _lines(figure: Figure, title: str) -> dict[str, np.ndarray]:
    ax = next(ax for ax in figure.axes if ax.get_title() == title)
    return {
        str(line.get_label()): np.asarray(line.get_ydata())
        for line in ax.lines
        if line.get_marker() not in ("", "None")
    }


def test_the_study_gets_the_figures_that_it_has_data_for(drawn: dict[str, Figure]) -> None:
    kinds = {name.removesuffix("-altered_syntax") for name in drawn if name.endswith("-altered_syntax")}
    own = {"retention", "likelihood", "depth-maths", "depth-code", "coverage", "perturbation", "plasticity", "readings"}
    own |= {"robustness"}
    assert kinds == own
    assert {name for name in drawn if "noise" in name} == {"retention-noise", "likelihood-noise"}  # a control
    rate = {name for name in drawn if "rate0.25" in name}  # which is in the overlay of rates
    assert rate == {"retention-dialogue-rate0.25", "likelihood-dialogue-rate0.25"}
    assert {name for name in drawn if name.startswith("rates-")} == {"rates-maths-dialogue", "rates-code-dialogue"}


def test_lines_are_the_curves(study: StudyFolder, drawn: dict[str, Figure]) -> None:
    lines = _lines(drawn["retention-dialogue"], "code")
    assert list(lines) == ["10k", "34k", "100k"]
    for student, values in lines.items():
        assert values == pytest.approx(study.curves[student]["code"].retention)
    assert list(_lines(drawn["retention-dialogue"], "maths")) == ["34k", "100k"]  # 10k has not learned it
    assert _lines(drawn["depth-maths-dialogue"], "maths, depth 2")["34k"] == pytest.approx(
        study.curves["34k"]["maths:2"].retention
    )


def test_rates_overlay_in_order(drawn: dict[str, Figure]) -> None:
    assert list(_lines(drawn["rates-maths-dialogue"], "34k")) == ["0× rate", "0.25× rate", "1× rate"]


def test_titles_name_arm_and_rate_policy_and_axes_their_units(drawn: dict[str, Figure]) -> None:
    for name, figure in drawn.items():
        title = figure.get_suptitle()
        assert "rate policy constant" in title and (
            "dialogue" in title or "altered_syntax" in title or "noise" in title
        )
        labels = {ax.get_xlabel() for ax in figure.axes if ax.get_visible()} | {ax.get_ylabel() for ax in figure.axes}
        if name.startswith(("retention", "depth", "coverage", "rates")):
            assert {"dose (contaminating samples)", "retention"} <= labels


def test_levels_are_named_once(drawn: dict[str, Figure]) -> None:
    panels = [[text.get_text() for text in ax.texts] for ax in drawn["retention-altered_syntax"].axes]
    assert {"retained (.9)", "half lost (.5)"} <= set(panels[0])
    assert not any("retained" in text for panel in panels[1:] for text in panel)


def test_dose_0_is_on_the_axis(drawn: dict[str, Figure]) -> None:
    ax = drawn["retention-dialogue"].axes[0]
    assert ax.get_xscale() == "symlog" and ax.get_xlim()[0] < 0
    assert [label.get_text() for label in ax.get_xticklabels()] == ["0", "20", "80", "320", "1.3k"]


def test_colours_grow_darker_with_capacity(study: StudyFolder) -> None:
    shades = drawing.colours(study)
    light = [
        float(np.dot(matplotlib.colors.to_rgb(shades[s]), (0.2126, 0.7152, 0.0722))) for s in ("10k", "34k", "100k")
    ]
    assert light == sorted(light, reverse=True) and len(set(light)) == 3


def test_saving_gives_the_same_svg_again_and_png_where_asked_or_there_already(
    study: StudyFolder, drawn: dict[str, Figure], tmp_path: Path
) -> None:
    one = {"retention-dialogue": drawn["retention-dialogue"]}
    vector = drawing.vectors(one)
    assert [path.name for path in drawing.save(one, vector, tmp_path)] == ["retention-dialogue.svg"]
    paths = drawing.save(one, vector, tmp_path, pictures=True)
    assert [path.name for path in paths] == ["retention-dialogue.svg", "retention-dialogue.png"]
    assert paths[1].read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    paths[1].write_bytes(b"of an earlier day")
    assert drawing.save(one, vector, tmp_path) == paths and paths[1].read_bytes()[:4] == b"\x89PNG"
    again = figures.retention_by_skill(study, study.arm("dialogue"))
    assert again is not None and drawing.svg(again) == paths[0].read_text()


def test_a_study_of_one_dose_and_one_student_is_drawn_too(study: StudyFolder, study_folder: Path) -> None:
    ledger = study.ledger
    assert ledger is not None
    small = ledger[(ledger["student"] == "34k") & (ledger["dose"] == 0) & (ledger["arm"] == "dialogue")]
    made = figures.figures(StudyFolder(study_folder, study.record, small))
    assert drawing.vectors(made)


def test_drawing_leaves_matplotlib_as_it_was(study: StudyFolder) -> None:
    before = dict(matplotlib.rcParams)
    figure = figures.retention_by_skill(study, study.arm("noise"))
    assert figure is not None and drawing.svg(figure) and dict(matplotlib.rcParams) == before


BRANCHES = [f"width-32-{name}" for name in ("off_policy", "on_policy", "several_stages", "own_answers", "rewards")]


@pytest.mark.parametrize("names", [["10k", "34k"], BRANCHES, [f"{n}k" for n in range(10, 24)], ["a" * 90, "b"]])
@pytest.mark.parametrize("panels", [1, 3])
@drawing.styled
def test_no_name_in_a_legend_is_cut_and_none_lies_on_a_panel(names: list[str], panels: int) -> None:
    figure, axes = drawing.grid(panels, 3, "Title\nof two lines")
    height, at = figure.get_figheight(), axes[0, 0].get_position()
    for ax in axes.flat:
        ax.set_xlabel("dose")
        for name in names:
            ax.plot([0, 1], [0, 1], label=name)
    drawing.legend(figure, axes, [])
    FigureCanvasAgg(figure).draw()
    (found,) = figure.legends
    box, whole = found.get_window_extent(), figure.bbox
    assert [text.get_text() for text in found.get_texts()] == names
    assert whole.x0 <= box.x0 and box.x1 <= whole.x1 and whole.y0 <= box.y0
    assert box.y1 <= min(ax.get_tightbbox().y0 for ax in axes.flat)
    now, grown = axes[0, 0].get_position(), figure.get_figheight()
    assert now.height * grown == pytest.approx(at.height * height)  # the panel is as it was
    assert grown == height or names != ["10k", "34k"]  # which fit as they are
    assert figure.texts[0].get_window_extent().y1 <= whole.y1 or figure.get_suptitle() == ""


@drawing.styled
def test_titles_of_two_lines_keep_their_distance_from_that_of_the_figure(study: StudyFolder) -> None:
    figure = capacity_views.capacity_figure(study, "dialogue")
    assert figure is not None
    FigureCanvasAgg(figure).draw()
    title = figure.get_tightbbox()
    panels = max(ax.title.get_window_extent().y1 for ax in figure.axes)
    lowest = figure.bbox.y1 - figure.dpi * 0.08 - 2 * 1.2 * 10 / 72 * figure.dpi  # two lines of ten points
    assert title is not None and panels < lowest


def test_branches_of_one_size_are_no_sizes(study: StudyFolder) -> None:
    """Three students of one capacity would be one point: the mean over ways of being taught."""
    alike = StudyFolder(study.folder, study.record)
    alike.__dict__.update(scores=study.scores.assign(capacity=10_000), every_row=study.every_row, ledger=study.ledger)
    assert capacity_views.capacity_figure(alike, "dialogue") is None
