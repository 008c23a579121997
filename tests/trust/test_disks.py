"""Disks that are full or read only: a line with the path, nothing half-written or left over; what is finished is shown.

Each disk is a small file system in memory, which only root can mount; as another user these tests are skipped.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forgetting import load
from forgetting.cli import main
from forgetting.record.files import write_atomically
from forgetting.record.store import Store
from forgetting.report import build
from tests.report.conftest import write_study
from tests.trust.conftest import SMALL, run

KIB = 1024
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a file system")


class Disk:
    """A file system of its own in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def mounted(self, *words: str) -> None:
        """Mount it, or mount it again with other options."""
        done = subprocess.run(
            ["mount", "-t", "tmpfs", *words, "none", self.folder], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(f"no file system can be mounted: {done.stderr.strip().rpartition(': ')[2]}")

    def filled(self, left: int) -> None:
        """Leave so many bytes free."""
        free = shutil.disk_usage(self.folder).free
        with open(self.folder / "filling", "wb") as file:
            file.write(bytes(max(free - left, 0)))


@pytest.fixture(name="disk")
def _disk(tmp_path: Path) -> Iterator[Disk]:
    folder = tmp_path / "disk"
    folder.mkdir()
    disk = Disk(folder)
    disk.mounted("-o", "size=8m")
    try:
        yield disk
    finally:
        subprocess.run(["umount", folder], check=True)


def one_line(told: str, place: Path, rule: str) -> None:
    assert told.startswith("forgetting: error: ") and told.count("\n") == 1
    assert str(place) in told and rule in told


def hidden(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob(".*"))


@pytest.mark.parametrize("left", [0, 4 * KIB, 12 * KIB, 24 * KIB])
def test_a_report_on_a_full_disk(
    disk: Disk, ledger: pd.DataFrame, capsys: pytest.CaptureFixture[str], left: int
) -> None:
    study = write_study(disk.folder / "study", ledger)
    before = {path: path.read_bytes() for path in study.iterdir() if path.is_file()}
    disk.filled(left)
    assert main(["report", str(study)]) == 2
    one_line(capsys.readouterr().err, study, "no space left")
    assert hidden(study) == []
    assert {path: path.read_bytes() for path in before} == before
    (disk.folder / "filling").unlink()
    assert main(["report", str(study)]) == 0


def test_a_file_and_an_entry_of_the_store_are_whole_or_not_there(disk: Disk) -> None:
    write_atomically(disk.folder / "file", "old")
    store = Store(disk.folder / "store")
    disk.filled(8 * KIB)

    def fill(folder: Path) -> dict[str, Any]:
        (folder / "weights").write_bytes(bytes(100 * KIB))
        return {"role": "teacher"}

    with pytest.raises(OSError, match="No space") as told:
        write_atomically(disk.folder / "file", "new" * 100 * KIB)
    assert told.value.filename == str(disk.folder / "file")
    with pytest.raises(OSError, match="No space"):
        store.add("0123", fill)
    assert (disk.folder / "file").read_text() == "old"
    assert sorted(path.name for path in disk.folder.rglob("*")) == ["file", "filling", "store"]


def test_what_is_finished_is_shown_from_a_disk_that_is_read_only(
    disk: Disk, ledger: pd.DataFrame, capsys: pytest.CaptureFixture[str]
) -> None:
    study = write_study(disk.folder / "study", ledger)
    build.build_views(study, ["curves"])
    disk.mounted("-o", "remount,ro")
    assert len(load(study).to_frame()) and load(study).summary()
    assert main(["claims", str(study)]) == 0
    capsys.readouterr()
    for words in (["report", str(study)], ["report", "--index", str(disk.folder)], ["resume", str(study)]):
        assert main(words) == 2
        one_line(capsys.readouterr().err, disk.folder, "read-only file system")
    assert main(["distil", "--store", str(disk.folder / "store"), "--workers", "0"]) == 2
    one_line(capsys.readouterr().err, disk.folder, "read-only file system")
    assert sorted(path.name for path in disk.folder.iterdir()) == ["study"]


@pytest.mark.slow
def test_a_study_on_such_disks(disk: Disk, program: Path, tmp_path: Path) -> None:
    """A full disk names the place, the same command goes on when there is room, and a finished study is shown."""
    words = ["simulate", *SMALL, "--output", str(disk.folder / "runs"), "--store", "store", "--workers", "0"]
    disk.filled(300 * KIB)
    done = run(program, tmp_path, *words, "--quiet")
    assert done.returncode == 2
    one_line(done.stderr, disk.folder, "no space left")
    (disk.folder / "filling").unlink()
    done = run(program, tmp_path, *words, "--quiet")
    assert done.returncode == 0, done.stderr
    (study,) = (disk.folder / "runs").iterdir()
    assert hidden(study) == []
    disk.mounted("-o", "remount,ro")
    done = run(program, tmp_path, *words)
    assert done.returncode == 0 and "Retention" in done.stdout, done.stderr
