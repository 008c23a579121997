"""``compare`` on folders: studies as ``Result.compare`` has them, and single runs of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetting import compare, load


def test_studies_and_runs(study_folder: Path) -> None:
    whole = compare(study_folder, study_folder, arm="noise", other_arm="dialogue")
    expected = load(study_folder).compare(study_folder, arm="noise", other_arm="dialogue")
    assert whole.rows == expected.rows
    runs = [study_folder / "runs" / name for name in ("100k-noise-d0-s0", "100k-dialogue-d0-s1")]
    for run in runs:
        run.mkdir(parents=True, exist_ok=True)
    rows = {row.name.split()[-1]: row for row in compare(*runs).rows}
    ledger = load(study_folder).ledger
    assert ledger is not None
    last = ledger[(ledger["dose"] == 1280) & (ledger["student"] == "100k") & (ledger["benchmark"] == "code")]
    accuracies = [
        (own["verdict"] == "right").mean()
        for own in (last[(last["arm"] == "noise") & (last["seed"] == 0)],
                    last[(last["arm"] == "dialogue") & (last["seed"] == 1)])
    ]  # fmt: skip
    assert rows["code"].accuracy_first == pytest.approx(accuracies[0])
    assert rows["code"].accuracy_second == pytest.approx(accuracies[1]) and rows["code"].runs == 1
