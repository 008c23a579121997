"""The record's files: written whole or not at all, plain JSON without NaN, doses in order."""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import typing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.record.files import RunFolder, jsonl, write_atomically, write_json
from forgetting.record.schema import LEDGER_COLUMNS, RUN_KEY, ScoreRow

plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(), inner, max_size=3)),
    max_leaves=8,
)


@settings(max_examples=50)
@given(plain)
def test_plain_values_come_back(tmp_path: Path, value: Any) -> None:
    write_json(tmp_path / "value.json", value)
    assert json.loads((tmp_path / "value.json").read_text()) == value


def test_equal_values_give_equal_files(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 1, "a": [1.5, None]})
    write_json(tmp_path / "b.json", {"a": [1.5, None], "b": 1})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), [1, {"a": float("-inf")}]])
def test_numbers_that_are_none_are_refused(tmp_path: Path, value: Any) -> None:
    (tmp_path / "value.json").write_text("before")
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "value.json", value)
    with pytest.raises(ValueError, match="not JSON compliant"):
        jsonl([{"value": value}])
    assert (tmp_path / "value.json").read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["value.json"]


def test_rows_are_lines(tmp_path: Path) -> None:
    rows = [{"b": 1, "a": "x\ny"}, {"b": None, "a": ""}]
    text = jsonl(rows)
    assert [json.loads(line) for line in text.splitlines()] == rows
    assert text.endswith("\n") and [*json.loads(text.splitlines()[0])] == ["b", "a"]
    assert jsonl([]) == ""


def test_text_and_bytes_and_new_folders(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a" / "b" / "text", "grün")
    write_atomically(tmp_path / "a" / "b" / "bytes", b"\x00\xff")
    assert (tmp_path / "a/b/text").read_text(encoding="utf-8") == "grün"
    assert (tmp_path / "a/b/bytes").read_bytes() == b"\x00\xff"
    write_atomically(tmp_path / "a" / "b" / "text", "")
    assert (tmp_path / "a/b/text").read_text() == ""


@pytest.mark.parametrize("step", ["open", "fsync", "replace"])
@pytest.mark.parametrize("existed", [True, False])
def test_a_write_that_fails_anywhere_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, existed: bool
) -> None:
    path = tmp_path / "file"
    if existed:
        path.write_text("before")

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("builtins.open" if step == "open" else f"os.{step}", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "after")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == (["file"] if existed else [])
    assert not existed or path.read_text() == "before"


def test_the_new_file_is_on_disk_before_it_takes_the_old_ones_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    sync, replace = os.fsync, os.replace
    monkeypatch.setattr("os.fsync", lambda fd: (order.append("fsync"), sync(fd)))
    monkeypatch.setattr("os.replace", lambda a, b: (order.append("replace"), replace(a, b)))
    write_atomically(tmp_path / "file", "text")
    assert order == ["fsync", "replace"]


def test_doses_of_a_run_are_numbers_in_order(tmp_path: Path) -> None:
    run = RunFolder(tmp_path / "runs" / "key")
    assert run.doses() == []
    for dose in (1280, 0, 20, 50_000):
        write_atomically(run.ledger_part(dose), b"")
    (run.ledger / ".dose-00000099.parquet.1.tmp").touch()
    assert run.doses() == [0, 20, 1280, 50_000]
    assert [run.ledger_part(d).name for d in run.doses()] == sorted(p.name for p in run.ledger.glob("dose*"))


def test_the_key_of_a_run_is_in_rows_of_both_kinds() -> None:
    hints = typing.get_type_hints(ScoreRow)
    assert set(RUN_KEY) <= set(LEDGER_COLUMNS)
    assert [f.name for f in dataclasses.fields(ScoreRow)][:6] == [
        "student",
        "capacity",
        "arm",
        "distillation_seed",
        "seed",
        "dose",
    ]
    kinds = {"string": str, "int64": int, "float64": float}
    shared = set(hints) & set(LEDGER_COLUMNS) - {"depth"}
    assert {n: kinds[LEDGER_COLUMNS[n]] for n in shared} == {n: hints[n] for n in shared}
