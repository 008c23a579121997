"""Thirty flipped bits and a few kills, as scripts in ``validation/`` make by the hundred: none gives other numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.trust.damage import counts
from validation import flips, kills


@pytest.mark.slow
def test_thirty_flips(tmp_path: Path) -> None:
    found = [flip for own in flips.flips(tmp_path, 30, seed=14).values() for flip in own]
    assert len(found) == 30
    bad = [flip for flip in found if flip.found in ("unclear", "silent")]
    assert not bad
    assert counts(found)["noticed"] >= 3  # the test can tell


@pytest.mark.slow
def test_kills(tmp_path: Path) -> None:
    tally = kills.Tally()
    kills.killed(tmp_path, tally, kills=8, each=4, seconds=600)
    assert tally.kills >= 4
    assert (tally.lost, tally.doubled, tally.leftovers, tally.failures) == (0, 0, 0, [])
