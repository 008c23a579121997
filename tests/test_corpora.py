"""Rows from every local form, and one line for what cannot be read."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import datasets
import pytest

from forgetting.corpora import rows
from forgetting.errors import UsageError

ROWS = [{"text": "a", "number": 1}, {"text": "ä b", "number": 2}]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    lines = "".join(json.dumps(row) + "\n" for row in ROWS)
    (tmp_path / "r.jsonl").write_text(lines)
    (tmp_path / "r-test.json").write_text(lines)
    with gzip.open(tmp_path / "r.jsonl.gz", "wt") as file:
        file.write(lines)
    made = datasets.Dataset.from_list(ROWS)
    made.to_parquet(tmp_path / "r.parquet")
    made.to_csv(tmp_path / "r.csv")
    made.save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"test": made}).save_to_disk(tmp_path / "split")
    return tmp_path


@pytest.mark.parametrize("name", ["r.jsonl", "r-{split}.json", "r.jsonl.gz", "r.parquet", "r.csv", "one", "split"])
def test_local_forms(files: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert list(rows(str(files / name), split="test")) == ROWS


def test_what_cannot_be_read(files: Path) -> None:
    (files / "bad.jsonl.gz").write_bytes(gzip.compress(b"{"))
    (files / "notes.txt").write_text("x")
    for name, message in [
        ("bad.jsonl.gz", "cannot read"),
        ("notes.txt", "must end with one of .jsonl"),
        ("missing.jsonl", "there is no file or folder"),
        ("split", "cannot read"),
    ]:
        with pytest.raises(UsageError, match=f"^gsm8k.source: {message}") as caught:
            list(rows(str(files / name), split="train" if name == "split" else "test", field="gsm8k.source"))
        assert "\n" not in str(caught.value)
