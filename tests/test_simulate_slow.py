"""The main job killed while it works and resumed, and run twice: the record is the same, bit for bit.

Here interpreters and workers are killed as users start them; ``tests/trust/test_damage.py`` kills forked ones, at
moments of the clock and before acts on the disk.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.conftest import at_work

KILLS = 8
OPTIONS = [
    "--ladder.students", "[10k]", "--contaminations", "[dialogue, noise]", "--doses.dose", "320", "--doses.first", "20",
    "--evaluation.benchmarks", "[{name: maths, items_per_depth: 20}, lookup]", "--evaluation.probe_items", "20",
    "--quiet",
]  # fmt: skip


def _command(output: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "forgetting", "simulate", "--output", str(output), "--workers", "2", *OPTIONS, *words]


def _record(output: Path) -> tuple[str, list[dict[str, object]]]:
    (folder,) = output.iterdir()
    return (folder / "scores.jsonl").read_text(), pq.read_table(folder / "ledger.parquet").to_pylist()


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_killed_at_its_work_and_resumed_the_record_is_the_uninterrupted_one(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(_command(whole), check=True)
    expected = _record(whole)

    chance, kills, clean = random.Random(0), 0, 0
    while kills < KILLS:
        process = subprocess.Popen(_command(broken))
        if at_work(process, broken, chance):
            process.kill()  # the parent alone: its workers must die by themselves
            process.wait()
            kills += 1
        else:
            clean += 1
            assert process.returncode == 0
            assert _record(broken) == expected
            for file in sorted(broken.rglob("*"), reverse=True):
                file.unlink() if file.is_file() else file.rmdir()
    subprocess.run(_command(broken), check=True)
    assert _record(broken) == expected
    looks = [
        tuple(r[name] for name in ("student", "arm", "dose", "benchmark", "variant", "depth"))
        for r in map(json.loads, expected[0].splitlines())
    ]
    assert len(looks) == len(set(looks))
    print(f"{kills} kills, {clean} complete runs in between")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_same_spec_twice_gives_the_same_record_with_any_number_of_workers(tmp_path: Path) -> None:
    subprocess.run(_command(tmp_path / "two"), check=True)
    subprocess.run(_command(tmp_path / "one", "--workers", "1"), check=True)
    assert _record(tmp_path / "two") == _record(tmp_path / "one")
