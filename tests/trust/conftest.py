"""Studies to be attacked: a synthetic one by formula, and the command line as it is installed, in a folder of traps.

No case may take ten seconds of the processor, those marked slow apart; one that waits without working is stopped too.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

import forgetting
from tests.report.conftest import _rows as rows_of

ROOT = Path(forgetting.__file__).parents[1]
SECONDS = 10.0  # of the processor: others' work beside the tests makes none of them fail
WAITING = 120  # seconds of the clock
SMALL = (
    "--ladder.students=[34k]", "--contaminations=[dialogue]", "--doses.dose=80", "--doses.first=40",
    "--evaluation.benchmarks=[{name: maths, items_per_depth: 4}]", "--evaluation.probe_items=4", "--name=small",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A case that hangs is stopped."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent) and not item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(WAITING))


@pytest.fixture(autouse=True)
def _at_most_ten_seconds(request: pytest.FixtureRequest) -> Iterator[None]:
    begin = processor_seconds()
    yield
    took = processor_seconds() - begin
    request.node.user_properties.append(("processor_seconds", round(took, 2)))
    assert took < SECONDS or request.node.get_closest_marker("slow")


def processor_seconds() -> float:
    """Of this process, and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(own.ru_utime + own.ru_stime for own in used)


@pytest.fixture(scope="session", name="ledger")
def _ledger() -> pd.DataFrame:
    """The smallest study that has something in every view: one student, one arm, two looks."""
    rows = [row for dose in (0, 1280) for row in rows_of("34k", "dialogue", 0, dose)]
    return pd.DataFrame(rows)


@pytest.fixture(scope="session")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What ``pip`` puts on the path: a script in a folder of its own."""
    path = tmp_path_factory.mktemp("bin") / "forgetting"
    path.write_text("import sys\n\nfrom forgetting.cli import main\n\nsys.exit(main())\n")
    return path


def run(
    program: Path, folder: Path, *argv: str, seconds: float = 120, **variables: str
) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own, in a working folder."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1", **variables}
    environment.setdefault("XDG_STATE_HOME", str(folder / ".state"))
    return subprocess.run(
        [sys.executable, str(program), *argv],
        cwd=folder, env=environment, capture_output=True, text=True, timeout=seconds, check=False, errors="replace",
    )  # fmt: skip
