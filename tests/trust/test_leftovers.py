"""What killed processes leave in a folder goes at the next start, if nobody works there; what the living hold stays."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pandas as pd
import pytest

from forgetting.cli import main
from forgetting.record.files import write_atomically
from forgetting.record.places import clear, held
from forgetting.record.store import Store
from tests.report.conftest import write_study

DEAD = 4194304000  # no process has that number


@pytest.fixture(name="study")
def _study(tmp_path: Path, ledger: pd.DataFrame) -> Path:
    folder = write_study(tmp_path / "study", ledger)
    (folder / "figures").mkdir()
    (folder / "figures" / f".retention.svg.{DEAD}.tmp").touch()
    (folder / f".record.json.{DEAD}.tmp").touch()
    (folder / f".record.json.{os.getppid()}.tmp").touch()  # of one that lives
    (folder / ".lock").touch()
    (folder / ".of_the_user").touch()
    return folder


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


LIVING = [".of_the_user", f".record.json.{os.getppid()}.tmp"]


def test_report_clears_what_a_killed_one_left(study: Path) -> None:
    assert main(["report", str(study)]) == 0
    assert hidden(study) == LIVING


def test_a_folder_that_is_worked_on_is_left_alone(study: Path) -> None:
    before = hidden(study)
    with held(study / ".lock", wait=False) as mine:
        assert mine
        assert main(["report", str(study)]) == 0
        assert hidden(study) == before


def test_where_nothing_is_left_no_lock_is_made(study: Path) -> None:
    clear(study)
    assert hidden(study) == LIVING
    changed = study.stat().st_mtime_ns
    (study / LIVING[1]).unlink()
    os.utime(study, ns=(0, 0))
    clear(study)
    assert study.stat().st_mtime_ns == 0 != changed


def test_a_lock_that_is_a_link_is_not_followed(study: Path, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("precious")
    (study / ".lock").unlink()
    (study / ".lock").symlink_to(tmp_path / "precious")
    clear(study)
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_file_that_another_machine_writes_is_left(study: Path) -> None:
    """A process of another machine that shares the disk has a number that nobody has here, but it holds its file."""
    theirs = study / f".scores.jsonl.{DEAD}.tmp"
    with open(theirs, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        clear(study)
        assert theirs.exists()
    clear(study)
    assert hidden(study) == LIVING


def test_writers_hold_what_they_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def synced(number: int) -> None:
        (temporary,) = tmp_path.glob(".*.tmp")
        with open(temporary, "rb") as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        held_while_written.append(number)

    held_while_written: list[int] = []
    monkeypatch.setattr("forgetting.record.files.os.fsync", synced)
    write_atomically(tmp_path / "file", "text")
    assert held_while_written and [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("place", ["answers", "machine", "unfinished/0123"])
def test_a_store_clears_what_killed_makers_left(tmp_path: Path, place: str) -> None:
    folder = tmp_path / place
    folder.mkdir(parents=True)
    (folder / f".weights.safetensors.{DEAD}.tmp").touch()
    (folder / f".weights.safetensors.{os.getppid()}.tmp").touch()
    (folder / "weights.safetensors").touch()
    Store(tmp_path).clean()
    assert sorted(p.name for p in folder.iterdir()) == [
        f".weights.safetensors.{os.getppid()}.tmp", "weights.safetensors"
    ]  # fmt: skip
