"""Treated minus control on the synthetic study: against the curves, and what is left out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.differences import differences
from forgetting.analysis.study_folder import StudyFolder, open_study


@pytest.fixture(scope="module")
def study(study_folder: Path) -> StudyFolder:
    """The synthetic study with its noise arm named as the control on the original distribution."""
    study = open_study(study_folder)
    arms = [dict(arm) for arm in study.record["arms"]]
    next(arm for arm in arms if arm["name"] == "noise")["contamination"] = {"name": "original"}
    return StudyFolder(study_folder, study.record | {"arms": arms}, study.ledger)


def test_it_is_the_difference_of_the_curves_at_the_last_dose(study: StudyFolder) -> None:
    frame = differences(study)
    assert set(frame["control"]) == {"noise"} and set(frame["dose"]) == {1280} and set(frame["seeds"]) == {2}
    for row in frame.to_dict("records"):
        treated, control = (study.arm(row[name]).curves[row["student"]][row["skill"]] for name in ("arm", "control"))
        assert row["difference"] == pytest.approx(treated.retention[-1] - control.retention[-1], abs=1e-9)
        assert row["low"] <= row["difference"] <= row["high"]
    maths = frame[(frame["arm"] == "dialogue") & (frame["student"] == "100k") & (frame["skill"] == "maths")].iloc[0]
    assert maths["high"] < 0  # dialogue takes more than noise does, by the formula


def test_only_arms_that_differ_in_nothing_else_and_skills_that_were_learned(study: StudyFolder) -> None:
    frame = differences(study)
    assert set(frame["arm"]) == {"dialogue", "altered_syntax"}  # not those of other rates
    assert set(frame.loc[frame["skill"] == "maths", "student"]) == {"34k", "100k"}  # 10k has not learned it


def test_runs_of_one_arm_only_are_left_out(study: StudyFolder) -> None:
    ledger = study.ledger
    assert ledger is not None
    fewer = ledger[(ledger["arm"] != "noise") | (ledger["seed"] == 0)]
    frame = differences(StudyFolder(study.folder, study.record, fewer))
    assert set(frame["seeds"]) == {1}


def test_without_a_control_there_is_none(study_folder: Path) -> None:
    assert differences(open_study(study_folder)).empty


def test_without_a_ledger_it_comes_from_the_record(study: StudyFolder, tmp_path: Path) -> None:
    kept = differences(study)
    record = study.record | {"differences": kept.to_dict("records")}
    pd.testing.assert_frame_equal(differences(StudyFolder(tmp_path, record)), kept)
    assert np.isfinite(kept["low"]).all()
