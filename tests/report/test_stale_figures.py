"""The script that finds figures without commit or command finds those that are planted, and no others."""

from __future__ import annotations

import json
import runpy
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "validation" / "stale_figures.py"


def commit(root: Path, text: str) -> str:
    """Commit all of a folder, and give the hash."""
    own = ["git", "-C", str(root), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*own, "add", "-A"], check=True)
    subprocess.run([*own, "commit", "-q", "-m", text], check=True)
    return subprocess.run([*own, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A history in which the version of results was raised once."""
    root = tmp_path / "clone"
    for place in ("docs", "forgetting", "results/old-1", "results/new-2", "results/speed"):
        (root / place).mkdir(parents=True)
    subprocess.run(["git", "init", "-q", str(root)], check=True)
    (root / "forgetting" / "v.py").write_text("RESULTS_VERSION = 1\nSTUDENTS_VERSION = 1\nWORLD_VERSION = 1\n")
    first = commit(root, "first")
    (root / "forgetting" / "v.py").write_text("RESULTS_VERSION = 2\nSTUDENTS_VERSION = 1\nWORLD_VERSION = 1\n")
    second = commit(root, "second")
    for name, made in (("old-1", first), ("new-2", f"{first}, {second}")):
        (root / "results" / name / "record.json").write_text(json.dumps({"commit": made}))
        (root / "results" / name / "a.png").touch()
    (root / "results" / "speed" / "step.json").write_text('{"ratio": 2}')
    good = "![a](results/new-2/a.png)\n\n*Made by `forgetting sweep sweeps/a.yaml`.*\n"
    bad = "\n" * 12 + "![b](results/new-2/a.png)\n\nNo more is known of it.\n" + "\n" * 12 + "![c](gone.png)\n"
    (root / "README.md").write_text(good + bad)
    (root / "docs" / "a.png").touch()
    (root / "docs" / "page.md").write_text("![d](a.png)\n\n`python validation/screenshots.py`\n")
    commit(root, "results")
    return root


def test_what_is_planted_is_found_and_nothing_else(clone: Path) -> None:
    found = list(runpy.run_path(str(SCRIPT))["findings"](clone))
    assert len(found) == 5
    old, second = (line for line in found if line.startswith("results/"))
    assert "results/old-1: made at" in old and "RESULTS_VERSION 1, which is 2 now" in old
    assert second == "results/speed/step.json: names neither a commit nor the command that makes it again"
    assert [line.split(": ")[1] for line in found if not line.startswith("results/")] == [
        "results/new-2/a.png has no command below it",
        "gone.png does not exist",
        "a.png has no commit below it, and lies in no study's folder",
    ]
