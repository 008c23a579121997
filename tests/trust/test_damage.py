"""Thirty flipped bits and twenty kills, as scripts in ``validation/`` make by the hundred: none gives other numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.trust.conftest import ROOT
from tests.trust.damage import counts
from validation import flips


@pytest.mark.slow
def test_thirty_flips(tmp_path: Path) -> None:
    found = [flip for own in flips.flips(tmp_path, 30, seed=14).values() for flip in own]
    assert len(found) == 30
    bad = [flip for flip in found if flip.found in ("unclear", "silent")]
    assert not bad
    assert counts(found)["noticed"] >= 3  # the test can tell


@pytest.mark.slow
def test_twenty_kills(tmp_path: Path) -> None:
    """In a process of its own, which forks: this one has worked with torch, and its threads would be missed."""
    output = tmp_path / "kills.json"
    words = ["--kills", "20", "--each", "4", "--seed", "14", "--output", str(output)]
    command = [sys.executable, str(ROOT / "validation" / "kills.py"), *words]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    tally = json.loads(output.read_text())
    assert (tally["kills"], tally["lost"], tally["doubled"], tally["leftovers"], tally["failures"]) == (20, 0, 0, 0, [])
    assert {"study", "stack", "ladder", "sweep", "report"} == set(tally["by_command"])
