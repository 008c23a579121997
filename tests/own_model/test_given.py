"""What is made of what a user names, where it is not all there."""

from __future__ import annotations

import shutil
from pathlib import Path

from forgetting.own_model.given import shown_how
from tests.contracts.members import DATA


def test_without_training_rows_gsm8k_is_asked_without_worked_problems(tmp_path: Path) -> None:
    shutil.copy(DATA / "gsm8k-test.jsonl", tmp_path)
    asked = [{"name": "humaneval"}, {"name": "gsm8k", "source": f"{tmp_path}/gsm8k-{{split}}.jsonl"}]
    found, notes = shown_how(asked, 4)
    assert found == asked and len(notes) == 1 and "training rows" in notes[0]
    shutil.copy(DATA / "gsm8k-train.jsonl", tmp_path)
    assert shown_how(asked, 4) == ([asked[0], {**asked[1], "shots": 4}], [])
