"""The tables behind the views, against the formulas of the synthetic study."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder, open_study
from forgetting.report import tables


@pytest.fixture(scope="module")
def study(study_folder: Path) -> StudyFolder:
    return open_study(study_folder)


def test_plasticity_by_formula(study: StudyFolder) -> None:
    frame = tables.plasticity(study).set_index(["arm", "student", "dose"])
    nll = {dose: 3 / (1 + dose / 100) for dose in (0, 20, 80, 320, 1280)}
    for dose, value in nll.items():
        row = frame.loc[("dialogue", "34k", dose)]
        assert row["nll"] == pytest.approx(value)
        assert row["plasticity"] == pytest.approx(3 - value)
        assert row["share"] == pytest.approx((3 - value) / (3 - nll[1280]))
        assert (row["kl_new"], row["kl_original"]) == pytest.approx((dose / 10_000,) * 2)


def test_last_dose_table_has_every_student_and_skill(study: StudyFolder) -> None:
    frame = tables.at_last_dose(study)
    assert len(frame) == 5 * 3 * 3 and set(frame["dose"]) == {1280}
    row = frame[(frame["arm"] == "dialogue") & (frame["student"] == "34k") & (frame["skill"] == "maths")].iloc[0]
    curve = study.curves["34k"]["maths"]
    assert (row["retention"], row["low"], row["high"]) == (curve.retention[-1], curve.low[-1], curve.high[-1])


def test_controls_say_what_ran_and_what_did_not(study: StudyFolder) -> None:
    ran = {control.name: control.arms for control in tables.controls(study)}
    assert ran["sham"] == ("dialogue-rate0",) and ran["rate_quarter"] == ("dialogue-rate0.25",)
    assert ran["noise"] == ("noise",) and ran["joint"] == () == ran["original"]
    assert [arm.name for arm in study.arms.values() if tables.is_control(arm)] == ["noise", "dialogue-rate0"]


def test_statuses_carry_their_remedy(study: StudyFolder) -> None:
    frame = tables.statuses(study)
    learned = frame[(frame["status"] == "not_learned") & (frame["where"] == "10k, maths")].iloc[0]
    assert learned["arm"].startswith("dialogue, altered_syntax") and "take an easier benchmark" in learned["remedy"]
    assert "raise the cap" in frame[frame["status"] == "not_reached"].iloc[0]["remedy"]
    kept = StudyFolder(study.folder, study.record | {"statuses": frame.to_dict("records")}, study.ledger)
    assert tables.statuses(kept).equals(frame)  # what the record keeps is not counted twice


def test_doses_beyond_the_cap_are_statuses(study: StudyFolder, study_folder: Path) -> None:
    arms = [dict(arm) for arm in study.record["arms"]]
    arms[0]["not_reached"] = [5120, 20480]
    frame = tables.statuses(StudyFolder(study_folder, study.record | {"arms": arms}))
    assert frame[frame["status"] == "not_reached"]["where"].tolist() == ["dose 5,120", "dose 20,480"]


def test_sentences_about_seeds(study: StudyFolder, study_folder: Path) -> None:
    assert "same distilled student" in tables.seeds_text(study)
    fresh = study.record | {"seeds": {"contamination": [0], "shared_students": False}}
    text = tables.seeds_text(StudyFolder(study_folder, fresh))
    assert "fresh student" in text and "items only" in text


def test_noise_floor_has_both_ends_of_every_cell(study: StudyFolder) -> None:
    floor = study.noise_floor
    assert len(floor) == 3 * 5 * 3 * 2 and set(floor["dose"]) == {0, 1280} and set(floor["items"]) == {30}
    assert (floor["standard_error"] > 0).all() and floor["seed_spread"].notna().all()


def test_kl_on_original_inputs_comes_from_the_benchmarks_where_there_is_no_probe(study: StudyFolder) -> None:
    ledger = study.ledger
    assert ledger is not None
    bare = ledger[(ledger["benchmark"] != "probe") | (ledger["variant"] != "original")]
    study = StudyFolder(study.folder, study.record, bare)
    frame = tables.plasticity(study).set_index(["arm", "student", "dose"])
    rows = study.scores[(study.scores["variant"] == "original") & study.scores["depth"].isna()]
    own = rows[(rows["arm"] == "noise") & (rows["student"] == "34k") & (rows["dose"] == 80)]
    assert frame.loc[("noise", "34k", 80), "kl_original"] == pytest.approx(own["kl"].mean())


def test_a_new_task_that_got_worse_is_told(study_folder: Path) -> None:
    study = open_study(study_folder)
    assert tables.risen_lines(study) == []
    arm = study.arm("dialogue")
    own = (study.scores["arm"] == arm.name) & (study.scores["benchmark"] == PROBE) & (study.scores["student"] == "34k")
    last = own & (study.scores["dose"] == study.scores.loc[own, "dose"].max())
    study.scores.loc[last, "nll"] = 9.0
    (line,) = tables.risen_lines(study)
    assert line.startswith("34k in dialogue") and "to 9.00 nats a token, as it does at too high a learning rate" in line
