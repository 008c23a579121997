"""``locate_threshold`` end to end on shipped students, and what it says to arguments that cannot be."""

from __future__ import annotations

import dataclasses
import inspect
import json
from typing import Any

import pytest

import forgetting
from forgetting import Threshold, locate_threshold
from forgetting.errors import UsageError
from forgetting.spec import Doses
from forgetting.sweep.locate import Located
from forgetting.sweep.sweep_spec import SweepSpec, Target

BENCHMARKS = [{"name": "maths", "items_per_depth": 10}]


@pytest.fixture(scope="module")
def arguments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Arguments of a sweep of a few seconds."""
    folder = tmp_path_factory.mktemp("located")
    return {
        "students": ["10k", "20k", "34k"], "contamination": "dialogue", "dose": 320, "level": [0.9, 0.5], "seeds": 2,
        "doses": Doses(dose=320, first=20, ratio=4.0), "benchmarks": BENCHMARKS, "runs": 8, "width_decades": 0.0,
        "output": folder, "store": folder / "store", "workers": 0, "quiet": True,
    }  # fmt: skip


@pytest.fixture(scope="module")
def found(arguments: dict[str, Any]) -> Located:
    return locate_threshold(**arguments)


def test_the_threshold_is_what_the_sweeps_file_says(found: Located) -> None:
    held = json.loads((found.folder / "sweep.json").read_text())["targets"][0]
    assert [t["level"] for t in held["thresholds"]] == [0.9, 0.5]
    for one in held["thresholds"]:
        threshold = found.at(1.0, one["level"])
        assert isinstance(threshold, Threshold)
        assert (threshold.axis, threshold.status) == ("capacity", one["status"])
        if threshold.located:
            assert threshold.value == one["value"] and threshold.low == one["low"]
    assert found.threshold == found.at(1.0, 0.9)
    assert str(found.threshold) in str(found)


def test_every_point_has_its_seeds_and_no_more(found: Located) -> None:
    assert found.runs == 6 and found.ended == "every point has all its seeds"
    scores = found.result.to_frame()
    assert scores.groupby("student")["seed"].nunique().to_dict() == {"10k": 2, "20k": 2, "34k": 2}
    assert sorted(scores["dose"].unique()) == [0, 20, 80, 320]


def test_the_dose_axis_is_read_from_the_same_runs(found: Located) -> None:
    for student in ("10k", "34k"):
        threshold = found.dose(student, 0.5)
        assert threshold.axis == "dose" and threshold.level == 0.5
        if threshold.located:
            assert 20 <= threshold.value <= 320


def test_the_table_has_a_remedy_where_there_is_no_number(found: Located) -> None:
    frame = found.to_frame()
    assert list(frame["level"]) == ["0.9", "0.5"] and set(frame["runs"]) == {6}
    assert frame["remedy"].str.len().gt(0).all()
    assert (found.folder / "report.html").read_text().count("Thresholds")


def test_the_same_call_gives_it_back_without_a_run(found: Located, arguments: dict[str, Any]) -> None:
    before = {p: p.stat().st_mtime_ns for p in (found.folder / "runs").rglob("complete.json")}
    again = locate_threshold(**arguments)
    assert again.threshold == found.threshold and again.folder == found.folder
    assert {p: p.stat().st_mtime_ns for p in (found.folder / "runs").rglob("complete.json")} == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"level": 1.0}, "level: must be above 0 and below 1"),
        ({"skill": "algebra"}, "skill"),
        ({"axis": "width"}, "axis: unknown name 'width'"),
        ({"dose": 33}, "dose: must be one of the study's doses"),
        ({"dose": 0.5, "doses": None}, "dose: must be a whole number"),
        ({"students": ["10k"]}, "at least two points"),
        ({"students": "10k"}, "axis"),
        ({"workers": -1}, "workers: must be 0"),
        ({"executor": "inline"}, "workers: must be left out"),
        ({"method": "annealing"}, "method: unknown name 'annealing'"),
        ({"spec": 3}, "spec: must be a SweepSpec"),
        ({"width_decades": 0.0, "runs": 0}, "stop: must be a width or a budget"),
        ({"spec": SweepSpec(targets=(Target(), Target(axis="shift")))}, "spec.targets: must be one"),
        ({"shift": 1.5}, "shift: must be above 0 and at most 1, got 1.5"),
        ({"level": 1}, "level: must be above 0 and below 1, got 1"),
        ({"level": (0.5, "x")}, "level: must be a number, got 'x'"),
        ({"contamination": "dialog"}, "contamination: unknown name 'dialog'; did you mean 'dialogue'"),
    ],
)
def test_wrong_arguments_are_one_line(arguments: dict[str, Any], change: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=r".") as caught:
        locate_threshold(**{**arguments, **change})
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_places_that_were_not_searched_are_named(found: Located) -> None:
    with pytest.raises(UsageError, match=r"place, level: must be one of 1\.0 with level 0\.9"):
        found.at(0.5)
    with pytest.raises(UsageError, match="student: must be one of"):
        found.dose("1m")


def test_every_argument_is_explained() -> None:
    text = str(locate_threshold.__doc__)
    assert {"students", "dose", "keep", "level"} <= set(inspect.signature(locate_threshold).parameters)
    for name in inspect.signature(locate_threshold).parameters:
        assert f"        {name}: " in text, name
    assert "locate_threshold" in forgetting.__all__ and "Threshold" in dir(forgetting)
    assert dataclasses.is_dataclass(Located)


@pytest.mark.slow
def test_another_skill_of_the_same_study_is_answered_for_itself(found: Located, arguments: dict[str, Any]) -> None:
    deeper = locate_threshold(**{**arguments, "skill": "maths:3"})
    assert deeper.folder == found.folder
    held = json.loads((found.folder / "sweep.json").read_text())
    assert [t["target"]["skill"] for t in held["targets"]] == ["maths:3"]
    again = locate_threshold(**arguments)
    assert again.threshold == found.threshold
    assert "maths3" not in again.sweep.targets[0].name
