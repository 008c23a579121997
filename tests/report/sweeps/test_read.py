"""A sweep's folder read: targets, families, observations, thresholds on the dose axis, and files that are not right."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from forgetting.analysis.metrics import retention_variance
from forgetting.analysis.study_folder import open_study
from forgetting.analysis.thresholds.threshold import Threshold
from forgetting.errors import UsageError
from forgetting.report.sweeps import doses, views
from forgetting.report.sweeps.read import SweepFolder, _placed, read_sweep


@pytest.fixture(scope="module")
def sweep(sweep_folder: Path) -> SweepFolder:
    found = read_sweep(open_study(sweep_folder))
    assert found is not None
    return found


def test_targets_of_one_surface_are_one_family(sweep: SweepFolder) -> None:
    assert [t.rate_policy for t in sweep.families] == ["constant", "inverse_width"]
    assert list(sweep.families[0].arms) == [0.05, 0.5, 1.0]
    assert sweep.families[0].conditions == "dialogue · maths at dose 1,280 · rate policy constant"


def test_targets_under_a_mitigation_are_a_family_of_their_own(sweep: SweepFolder) -> None:
    first = sweep.families[0]
    under = dataclasses.replace(first, mitigation="self_replay given")
    both = dataclasses.replace(sweep, targets=(first, under))
    assert len(both.families) == 2 and views.name_of(first) != views.name_of(under)
    assert under.conditions.startswith("dialogue under self_replay given · maths")


def test_observations_are_the_runs_at_the_dose(sweep: SweepFolder) -> None:
    rows = sweep.observations(sweep.families[0])
    assert len(rows) == 7 * 3 * 5 and set(rows["dose"]) == {1280}
    one = rows[(rows["student"] == "34k") & (rows["shift"] == 1.0) & (rows["seed"] == 2)].iloc[0]
    scores = sweep.study.scores
    held = scores[
        (scores["student"] == "34k") & (scores["arm"] == "dialogue-constant") & (scores["seed"] == 2)
        & (scores["dose"] == 1280)
    ].iloc[0]  # fmt: skip
    assert one["retention"] == pytest.approx(held["accuracy"] / 0.96)
    assert one["variance"] == pytest.approx(retention_variance(held["accuracy"], 0.96, 500, 0.0))


def test_a_run_that_was_ended_early_counts_with_its_last_look(sweep_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "ended"
    shutil.copytree(sweep_folder, folder)
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    early = [r for r in rows if not (r["student"] == "10k" and r["seed"] == 0 and r["dose"] > 320)]
    (folder / "scores.jsonl").write_text("".join(json.dumps(r) + "\n" for r in early))
    found = read_sweep(open_study(folder))
    assert found is not None
    own = found.observations(found.families[0])
    assert len(own) == 7 * 3 * 5
    assert set(own.loc[(own["student"] == "10k") & (own["seed"] == 0), "dose"]) == {320}


def test_students_that_had_not_learned_are_left_out(sweep_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unlearned"
    shutil.copytree(sweep_folder, folder)
    rows = [json.loads(line) for line in (folder / "scores.jsonl").read_text().splitlines()]
    for row in rows:
        if row["student"] == "10k":
            row |= {"status": "not_learned", "retention": None}
    (folder / "scores.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = read_sweep(open_study(folder))
    assert found is not None and "10k" not in set(found.observations(found.families[0])["student"])


@pytest.mark.slow
def test_the_dose_threshold_is_near_the_true_one(sweep: SweepFolder) -> None:
    # Retention .5 at shift 1: log10 N = log10 30,000 + .35 log10(dose / 1,280).
    true = 1280 * (19_800 / 30_000) ** (1 / 0.35)
    found = doses.dose_threshold(sweep, sweep.families[0], "20k", 1.0, 0.5)
    assert found.located and found.axis == "dose"
    assert found.low < true < found.high and found.high / found.low < 3
    assert doses.dose_threshold(sweep, sweep.families[0], "100k", 1.0, 0.5).status == "above_range"
    table = doses.table(sweep)
    assert len(table) == 7 * 4 * 2 and set(table["runs"]) == {5} and set(table["verdict"]) <= {
        "located", "below all measured", "above all measured", "not monotone", "too little data", "no lower end",
        "no upper end",
    }  # fmt: skip
    assert table["remedy"].str.len().min() > 0


def test_a_study_is_no_sweep_and_one_that_has_not_ended_neither(study_folder: Path, tmp_path: Path) -> None:
    assert read_sweep(open_study(study_folder)) is None
    shutil.copytree(study_folder, tmp_path / "begun")
    (tmp_path / "begun" / "sweep.json").write_text('{"spec": {}, "hours": 0.1}')
    assert read_sweep(open_study(tmp_path / "begun")) is None


@pytest.mark.parametrize("text", ["{", '{"targets": [{}]}', '{"targets": [3]}', "[1]"])
def test_a_broken_file_is_one_line(study_folder: Path, tmp_path: Path, text: str) -> None:
    shutil.copytree(study_folder, tmp_path / "s")
    (tmp_path / "s" / "sweep.json").write_text(text)
    with pytest.raises(UsageError, match=r"sweep\.json: not readable as the file of a sweep"):
        read_sweep(open_study(tmp_path / "s"))


def test_what_is_not_finite_comes_back_from_the_file(sweep_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    shutil.copytree(sweep_folder, folder)
    held = json.loads((folder / "sweep.json").read_text())
    one = next(t for t in held["targets"][0]["thresholds"] if t["status"] == "located")
    one["high"] = None
    (folder / "sweep.json").write_text(json.dumps(held))
    found = read_sweep(open_study(folder))
    assert found is not None
    highs = [p.threshold.high for p in found.targets[0].thresholds if p.threshold.located]
    assert np.isinf(highs).sum() == 1
    absent = [p.threshold for p in found.targets[0].thresholds if not p.threshold.located]
    assert absent and all(np.isnan([t.value, t.low, t.high]).all() for t in absent)


@pytest.mark.parametrize("student_sd", [0.07, None])
def test_how_many_students_a_threshold_counts_is_kept(student_sd: float | None) -> None:
    found = Threshold("capacity", 0.9, "located", 3e4, 2e4, 4e4, students=56, student_sd=student_sd)
    assert _placed({"place": 1.0, **found.to_dict()}).threshold == found
    older = {name: value for name, value in found.to_dict().items() if not name.startswith("student")}
    assert _placed({"place": 1.0, **older}).threshold.of_students == ""
