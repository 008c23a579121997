"""What a sweep's views show of the synthetic sweep: figures, tables, zones, page, terminal, TensorBoard."""

from __future__ import annotations

import io
import json
import math
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text as PlotText
from rich.console import Console
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from forgetting.analysis.level_set.calibration import SHARES
from forgetting.analysis.study_folder import open_study
from forgetting.analysis.thresholds.shapes import judge_shape
from forgetting.analysis.thresholds.threshold import Threshold, told
from forgetting.analysis.thresholds.zones import ZONES
from forgetting.report import terminal
from forgetting.report.build import build_views
from forgetting.report.sweeps import fits, sweep_figures, sweep_tables, threshold_evidence, views
from forgetting.report.sweeps.read import SweepFolder, read_sweep


@pytest.fixture(scope="module")
def sweep(sweep_folder: Path) -> SweepFolder:
    found = read_sweep(open_study(sweep_folder))
    assert found is not None
    return found


@pytest.fixture(scope="module")
def built(sweep_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built") / "synthetic_sweep"
    shutil.copytree(sweep_folder, folder)
    build_views(folder)
    return folder


def words(figure: Figure) -> str:
    """All text of a figure."""
    return "\n".join(t.get_text() for t in figure.findobj(PlotText) if isinstance(t, PlotText))


def test_the_level_line_of_the_surface_is_where_the_truth_has_it(sweep: SweepFolder) -> None:
    target = sweep.families[0]
    figure = sweep_figures.surface(sweep, target, 1.0)
    assert figure is not None
    for said in ("retention 0.9", "retention 0.5", "rate policy constant", "shift 1", "dose (contaminating samples)"):
        assert said in words(figure)
    rows = sweep.every_dose(target)
    rows = rows[rows["shift"] == 1.0]
    points = np.stack([np.log10(rows["capacity"].to_numpy(float)), np.log10(rows["dose"].to_numpy(float))], axis=1)
    fit = fits.fitted(points, rows)
    assert fit is not None
    at_truth, _, _ = fit.band(np.array([[np.log10(30_000), np.log10(1280)], [np.log10(18_470), np.log10(320)]]))
    assert at_truth == pytest.approx([0.5, 0.5], abs=0.08)


def test_retention_by_capacity_has_a_panel_a_shift_with_its_threshold(sweep: SweepFolder) -> None:
    target = sweep.families[0]
    figure = sweep_figures.retention_by_capacity(sweep, target)
    assert figure is not None
    titles = [ax.get_title() for ax in figure.axes if ax.get_visible()]
    assert titles == ["shift 1, 35 runs", "shift 0.5, 35 runs", "shift 0.05, 35 runs"]
    assert "0.9: below all measured" in words(figure) and "0.5: below all measured" in words(figure)
    value = next(p.threshold.value for p in target.thresholds if (p.place, p.threshold.level) == (1.0, 0.5))
    diamonds = [line for line in figure.axes[0].lines if line.get_marker() == "D"]
    assert any(float(np.ravel(line.get_xdata())[0]) == value for line in diamonds)


def test_a_shape_that_cannot_be_judged_is_said_to_need_more_sizes() -> None:
    """With four sizes, three are left when one is taken out, which a logistic cannot be fitted to."""
    found = judge_shape(np.repeat([1e4, 2e4, 4e4, 8e4], 2), [0.1, 0.2, 0.3, 0.3, 0.7, 0.8, 0.9, 1.0])
    assert math.isnan(found.leave_one_size_out["logistic"])
    said = threshold_evidence._evidence(found)
    assert "nan" not in said
    assert "(logist.: too few sizes)" in said and "leave one size out: const. 0." in said


def test_the_shape_figure_gives_the_verdict_and_its_evidence(sweep: SweepFolder) -> None:
    figure = threshold_evidence.shape(sweep, sweep.families[0])
    assert figure is not None
    said = words(figure)
    assert "shift 1: trend" in said and "shift 0.05: constant" in said
    assert "rung spacing 0.15; 7 sizes × 5 seeds or more" in said and "BIC above the best" in said
    table = sweep_tables.shape_table(sweep)
    assert list(table["shape"][:3]) == ["trend", "trend", "constant"]


def test_policies_are_compared_where_there_are_two(sweep: SweepFolder) -> None:
    figure = threshold_evidence.policies(sweep, 1.0)
    assert figure is not None
    assert "constant, 1× rate" in words(figure) and "inverse width, 1× rate" in words(figure)
    assert threshold_evidence.policies(sweep, 0.5) is None


def test_calibration_is_near_nominal_on_a_truth_that_the_model_can_hold(sweep: SweepFolder) -> None:
    found = threshold_evidence.calibrated(sweep, sweep.targets[0])
    assert found is not None and len(found.observed_T) == 25
    for share, held in found.coverage(SHARES).items():
        assert abs(held - share) < 3 * np.sqrt(share * (1 - share) / 25)
    figure = threshold_evidence.calibrations(sweep)
    assert figure is not None and "all 32 held-out runs" in words(figure)


def test_cost_has_a_bar_a_trial(sweep: SweepFolder) -> None:
    figure = threshold_evidence.costs(sweep)
    assert figure is not None
    assert [len(ax.patches) for ax in figure.axes] == [105, 35]
    heights = [patch.get_height() for patch in figure.axes[0].patches]  # type: ignore[attr-defined]
    assert sum(heights) == pytest.approx(sweep.targets[0].trials["flops"].sum() / 1e12)


def test_zones_are_those_of_the_truth_with_probabilities_that_sum_to_one(sweep: SweepFolder) -> None:
    (target, short, by_capacity), *others = sweep_tables.zone_tables(sweep)
    assert not others and target.rate_policy == "constant"
    zones = dict(zip(by_capacity["student"], by_capacity["zone"], strict=True))
    assert zones["10k"] == zones["14k"] == zones["20k"] == "vulnerable"
    assert zones["50k"] == zones["70k"] == zones["100k"] == "retained"
    assert by_capacity[[f"p_{zone}" for zone in ZONES]].sum(axis=1).to_numpy() == pytest.approx(1)
    assert list(short["zone"]) == ["retained", "vulnerable"]
    assert short.loc[1, "students"] == "10k, 14k, 20k"


def test_a_shift_that_was_not_measured_leaves_zones_unknown(sweep_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "half"
    shutil.copytree(sweep_folder, folder)
    rows = [line for line in (folder / "scores.jsonl").read_text().splitlines() if "shift0.05" not in line]
    (folder / "scores.jsonl").write_text("\n".join(rows) + "\n")
    found = read_sweep(open_study(folder))
    assert found is not None
    by_capacity = sweep_tables.zone_tables(found)[0][2].set_index("student")
    assert by_capacity.loc["10k", "zone"] == "unknown" and by_capacity.loc["100k", "zone"] == "retained"
    assert by_capacity["retention_0.05"].isna().all()


def test_a_search_that_was_never_begun_is_said_and_not_drawn(sweep_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "begun"
    shutil.copytree(sweep_folder, folder)
    held = json.loads((folder / "sweep.json").read_text())
    absent = json.loads(json.dumps(held["targets"][0]))
    absent["target"]["rate_multiple"] = 4.0
    arms = [{"shift": arm["shift"], "name": f"{arm['name']}-rate4"} for arm in absent["arms"]]
    absent |= {"name": "later", "trials": [], "ended": "budget: 1 hours", "arms": arms}
    for one in absent["thresholds"]:
        one |= {"status": "too_little_data", "value": None, "low": None, "high": None}
    held["targets"].append(absent)
    (folder / "sweep.json").write_text(json.dumps(held))
    found = read_sweep(open_study(folder))
    assert found is not None and len(found.families) == 3
    assert not [name for name in views.drawn(found) if "rate4" in name]
    assert "4× rate" not in words(threshold_evidence.policies(found, 1.0) or Figure())
    table = sweep_tables.thresholds(found)
    assert (table.loc[table["rate"] == "4×", "verdict"] == "too little data").all()
    assert sweep_tables.searches(found)["ended"].iloc[-1] == "budget: 1 hours"
    console = Console(file=io.StringIO(), width=100)
    console.print(terminal.summary(open_study(folder)))
    assert "1 of 3 searches were not begun" in console.file.getvalue()  # type: ignore[attr-defined]


def test_the_table_of_thresholds_has_value_and_interval_or_verdict_and_remedy(sweep: SweepFolder) -> None:
    table = sweep_tables.thresholds(sweep)
    assert len(table) == 8 and set(table["runs"]) == {35}
    located = table[table["verdict"] == "located"]
    assert not (located[["threshold", "low", "high"]] == "–").any().any()
    beyond = table[table["place"] == "shift 0.05"]
    assert set(beyond["verdict"]) == {"below all measured"} and set(beyond["threshold"]) == {"–"}
    assert beyond["remedy"].str.contains("measure smaller values").all()


def test_the_page_shows_all_of_it_and_is_whole(built: Path) -> None:
    text = (built / "report.html").read_text()
    found = {path.stem for path in (built / "figures").glob("*.svg")}
    kinds = {name.split("-")[1] for name in found if name.startswith("sweep-")}
    assert kinds == {"surface", "capacity", "shape", "policies", "calibration", "cost"} == set(views.CAPTIONS)
    assert text.count("<svg view") == len(found) and "Left out of this page" not in text
    assert text.index("Maths after 1,280 samples of dialogue. Shift") < text.index("<svg view") < text.index("<h2")
    for said in ("Zones of section 4.2", "4B to 14B", "Thresholds on the dose axis", "every point has all its seeds"):
        assert said in text, said
    assert "http://" not in text and text.count("<script") == 1


def test_one_question_has_one_answer_in_figure_table_json_and_terminal(sweep: SweepFolder, built: Path) -> None:
    target = sweep.families[0]
    table = sweep_tables.thresholds(sweep)
    own = table[(table["rate_policy"] == "constant") & (table["axis"] == "capacity")]
    figure = sweep_figures.retention_by_capacity(sweep, target)
    assert figure is not None and len(own) == len(target.thresholds) == len(
        {(p, v) for p, v in own[["place", "level"]].to_numpy()}
    )
    held = json.loads((built / "sweep.json").read_text())["targets"][0]["thresholds"]
    console = Console(file=io.StringIO(), width=80, color_system=None)
    console.print(terminal.summary(open_study(built)))
    said = " ".join(console.file.getvalue().split())  # type: ignore[attr-defined]
    page = (built / "report.html").read_text()
    for placed, kept in zip(target.thresholds, held, strict=True):
        row = own[(own["place"] == f"shift {placed.place:g}") & (own["level"] == f"{placed.threshold.level:g}")].iloc[0]
        words_of_it = told(placed.threshold)
        panel = next(ax for ax in figure.axes if ax.get_title().startswith(f"shift {placed.place:g},"))
        assert f"{placed.threshold.level:g}: {words_of_it}" in [text.get_text() for text in panel.texts]
        assert (kept["value"] is None) == (row["threshold"] == "–")
        if placed.threshold.located:
            assert row["threshold"] == f"{kept['value']:,.0f}" and words_of_it.startswith(str(row["threshold"]))
            assert words_of_it in said and words_of_it in page
            assert f"{row['threshold']} │ {row['low']} to {row['high']}" in said.replace("  ", " ")


def test_two_searches_of_one_question_give_one_answer(sweep_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "twice"
    shutil.copytree(sweep_folder, folder)
    held = json.loads((folder / "sweep.json").read_text())
    again = json.loads(json.dumps(held["targets"][0])) | {"name": "again"}
    again["trials"] = again["trials"][:4]
    for one in again["thresholds"]:
        one |= {"value": 12_345.0, "low": 10_000.0, "high": 20_000.0, "status": "located"}
    held["targets"].insert(0, again)
    (folder / "sweep.json").write_text(json.dumps(held))
    found = read_sweep(open_study(folder))
    assert found is not None
    assert "12,345" not in set(sweep_tables.thresholds(found)["threshold"])  # of the search that asked for fewer runs
    assert len(found.families[0].thresholds) == len(held["targets"][1]["thresholds"])


def test_an_interval_with_an_open_end_is_not_located() -> None:
    below = Threshold("capacity", 0.9, "located", 10_294.0, 0.0, 20_171.0)
    above = Threshold("shift", 0.5, "located", 0.4, 0.2, math.inf)
    assert (below.verdict, above.verdict) == ("open_below", "open_above")
    assert told(below) == "about 10,294, no lower end (open to 20,171)" and "no upper end" in told(above)
    assert "measure smaller values" in below.remedy and below.to_dict()["verdict"] == "open_below"
    assert str(below).startswith("capacity threshold at level 0.9: open below, about 10,294")


def test_the_terminal_says_it_in_short(sweep_folder: Path) -> None:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(terminal.summary(open_study(sweep_folder)))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for said in ("Thresholds · dialogue", "below all measured", "35 runs of the grid's 35", "Zones", "vulnerable",
                 "Step or trend", "measure smaller values", "each distils a fresh student"):  # fmt: skip
        assert said in " ".join(text.split()), said
    assert len(text.splitlines()) < 80


def experiments(folder: Path) -> Iterator[plugin_data_pb2.HParamsPluginData]:
    """Every HPARAMS experiment in the event files under a folder."""
    for path in folder.rglob("*tfevents*"):
        for event in EventFileLoader(str(path)).Load():
            for value in event.summary.value:
                if value.tag == metadata.EXPERIMENT_TAG:
                    held = plugin_data_pb2.HParamsPluginData()
                    held.ParseFromString(value.metadata.plugin_data.content)
                    yield held


def test_hparams_are_written_once_for_the_whole_sweep(built: Path) -> None:
    build_views(built, ("tensorboard",))
    (held,) = experiments(built / "tensorboard")
    settings = {
        info.name: [v.string_value for v in info.domain_discrete.values] for info in held.experiment.hparam_infos
    }
    assert settings["student"] == ["100k", "10k", "14k", "20k", "34k", "50k", "70k"]
    assert settings["rate_policy"] == ["constant", "inverse_width"]
    runs = [path for path in (built / "tensorboard").iterdir() if path.is_dir()]
    assert len(runs) == 140 + 1  # and what is of the study


@pytest.mark.slow
def test_the_report_is_rebuilt_without_torch(built: Path) -> None:
    before = (built / "report.html").read_bytes()
    script = (
        "import sys; from forgetting.report.build import build_views; "
        f"build_views({str(built)!r}, ('html',)); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    assert (built / "report.html").read_bytes() == before
    assert json.loads((built / "sweep.json").read_text())["runs"] == 140
