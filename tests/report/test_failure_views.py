"""The figure of failures: a row a student, shares that add up, the control beside; none where nothing is known."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forgetting.analysis.failures import COUNTS
from forgetting.analysis.study_folder import StudyFolder, open_study
from forgetting.errors import UsageError
from forgetting.report import failure_views
from forgetting.report.result import Result
from forgetting.world.failures import CLASSES


def _counts() -> list[dict[str, Any]]:
    """At dose 0 one in ten is a slip; at 1280 half intrudes in treated arms, and nothing changes in the sham."""
    rows = []
    for student, capacity in (("10k", 10_016), ("34k", 34_240)):
        for arm in ("dialogue", "dialogue-rate0"):
            for dose in (0, 1280):
                lost = 60 if dose and arm == "dialogue" else 0
                for failure, answers in (("", 108 - lost), ("symbol_error", 12), ("intrusion", lost)):
                    cell = (student, capacity, arm, "maths", dose, 0, 0, failure, "", answers)
                    rows += [dict(zip(COUNTS, cell, strict=True))] if answers else []
    return rows


@pytest.fixture
def study(study_folder: Path) -> StudyFolder:
    found = open_study(study_folder)
    found.__dict__["failure_counts"] = pd.DataFrame(_counts())
    return found


def test_the_control_stands_beside_and_columns_end_at_the_share_of_failures(study: StudyFolder) -> None:
    drawn = failure_views.drawn(study, study.arm("dialogue"))
    assert list(drawn) == ["failures-maths-dialogue"]
    panels = {ax.get_title(): ax for ax in drawn["failures-maths-dialogue"].axes if ax.get_visible()}
    wrong = ", of the wrong ones"
    assert list(panels)[:4] == [
        "10k, dialogue",
        "10k, dialogue-rate0",
        f"10k, dialogue{wrong}",
        f"10k, dialogue-rate0{wrong}",
    ]
    assert len(panels) == 8

    def top(title: str) -> list[float]:
        return [float(value) for value in panels[title].patches[-1].get_data().values]

    assert top("34k, dialogue") == pytest.approx([0.1, 0.6])
    assert top("34k, dialogue-rate0") == pytest.approx([0.1, 0.1])
    assert top("34k, dialogue, of the wrong ones") == pytest.approx([1, 1])


def test_every_class_has_a_colour() -> None:
    assert set(failure_views.COLOURS) == set(CLASSES)


def test_where_nothing_is_known_there_is_no_figure_and_a_line(study_folder: Path) -> None:
    study = open_study(study_folder)  # its items are of no benchmark
    assert failure_views.drawn(study, study.arm("dialogue")) == {}
    with pytest.raises(UsageError, match=r"^failures: needs answers to maths"):
        Result(study_folder, study.record).failures()


@pytest.mark.parametrize(
    ("name", "value"),
    [("arm", "../x"), ("benchmark", "a/b"), ("answers", "many"), ("dose", -1), ("failure", "\x1b[31m")],
)
def test_a_damaged_count_is_a_line(study_folder: Path, tmp_path: Path, name: str, value: Any) -> None:
    shutil.copytree(study_folder, tmp_path / "s")
    rows = _counts()
    rows[3][name] = value
    pd.DataFrame(rows).to_csv(tmp_path / "s" / "failures.csv", index=False)
    with pytest.raises(UsageError, match=f"failures.csv.*{name}"):
        failure_views.kept_composition(open_study(tmp_path / "s"))
