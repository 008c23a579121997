"""What a result answers when it is asked: compared with another one, and summed up in eighty columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from forgetting import load
from forgetting.errors import UsageError


def test_a_study_against_itself_has_no_change(study_folder: Path) -> None:
    frame = load(study_folder).compare(study_folder).to_frame()
    assert len(frame) == 3 * (5 * 3) and set(frame["mcnemar_p"]) == {1.0}
    assert (frame["lost"] + frame["gained"]).eq(0).all() and set(frame["runs"]) == {2}


def test_two_arms_are_compared_item_by_item(study_folder: Path) -> None:
    study = load(study_folder)
    frame = study.compare(study, arm="dialogue-rate0", other_arm="dialogue").to_frame()
    row = frame[frame["name"] == "100k dialogue-rate0 and dialogue at dose 1,280 code"].iloc[0]
    curves = [study.arm(arm).curves["100k"]["code"] for arm in ("dialogue-rate0", "dialogue")]
    assert row["difference"] == pytest.approx(curves[1].accuracy[-1] - curves[0].accuracy[-1])
    assert row["high"] < 0 and row["mcnemar_p"] < 0.001 and row["lost"] > row["gained"]
    assert "at dose 80" in str(study.compare(study, arm="dialogue", dose=80))


def test_runs_without_a_partner_and_settings_that_differ_are_told(study_folder: Path, small_folder: Path) -> None:
    whole, small = load(study_folder), load(small_folder)
    told = small.compare(whole)
    assert (told.runs, told.runs_left_out, told.differing) == ((12, 30), (0, 18), {})
    assert "without a partner at this dose: 0 of 12 runs of A and 18 of 30 runs of B\n" in str(told)
    arms = whole.compare(whole, arm="noise", other_arm="dialogue-rate0.25")
    assert arms.differing == {"contamination.name": ("noise", "dialogue"), "rate_multiple": (1.0, 0.25)}
    assert (
        arms.runs == (6, 6)
        and "partner" not in str(arms)
        and "rate_multiple 1.0 and 0.25" in " ".join(str(arms).split())
    )
    whole.record["canonical"] = {"seeds": 2, "teacher": {"seed": 3}}  # how many seeds is not how a run was made
    assert json.loads(small.compare(whole).to_json())["differing"] == {"teacher.seed": [None, 3]}


def test_what_cannot_be_compared_is_one_line(study_folder: Path) -> None:
    study = load(study_folder)
    with pytest.raises(UsageError, match="did you mean 'dialogue'"):
        study.compare(study, arm="dialoge")
    with pytest.raises(UsageError, match="share no answers at dose 7"):
        study.compare(study, dose=7)
    with pytest.raises(UsageError, match="no such folder"):
        study.compare("nowhere")


def test_the_summary_is_text_of_eighty_columns(study_folder: Path) -> None:
    text = str(load(study_folder).summary())
    assert "Retention at dose 1,280" in text and "Noise floor" in text and "\x1b" not in text
    assert max(map(len, text.splitlines())) <= 80
