"""What all tests share: no network, no display, one thread a process, and the command line run in this process."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MPLBACKEND", "Agg")
# Processes that share cores wait for each other's threads, and sums on several may differ in a bit; children inherit.
os.environ.update(OMP_NUM_THREADS="1", MKL_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="forgetting-state-")  # not the key of whoever runs the tests

import pytest
from hypothesis import HealthCheck, settings

from forgetting.cli import main

# Examples are the same at every run, so that many of them are paid for each time and find something once.
settings.register_profile(
    "default",
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
settings.load_profile("default")


# Six thousand tests and the packages they import are millions of objects that stay: to look through them again and
# again takes a fourth of collection, and time of every test after it.
def pytest_sessionstart() -> None:
    gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


# Whether the studies of the test under way draw their figures; tests marked ``drawn`` and tests/report look at them.
drawing = [False]


def pytest_runtest_setup(item: pytest.Item) -> None:
    drawing[0] = item.get_closest_marker("drawn") is not None or Path(__file__).parent / "report" in item.path.parents


# Folders whose files take seconds at most; files of all others may train something, and go first.
QUICK = set("analysis answering benchmarks claims contamination natural record study world".split())


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that no process is left alone with one in the end."""
    items.sort(key=lambda item: bool(QUICK.intersection(item.nodeid.split("/")[1:2])))


@pytest.fixture(scope="session", autouse=True)
def _undrawn() -> Iterator[None]:
    """Studies leave their figures out, which take longer than a small study itself."""
    from forgetting.report import figures

    drawn = figures.figures
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(figures, "figures", lambda study: drawn(study) if drawing[0] else {})
        yield


@pytest.fixture(scope="session", autouse=True)
def _unsynced() -> Iterator[None]:
    """Writers of this process do not wait for the disk; that they ask it to is held by tests/record."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "fsync", lambda number: None)
        yield


def cases(every: Iterable[Any], *fast: Any) -> list[Any]:
    """Cases of one law: those named are in the fast set, the others in the slow one."""
    found = list(every)
    assert [case for case in fast if case not in found] == []
    return [pytest.param(case, marks=() if case in fast else pytest.mark.slow) for case in found]


def at_work(process: subprocess.Popen[Any], folder: Path, chance: random.Random) -> bool:
    """Wait until a command has written one to three files more, and up to half a second; whether it runs still.

    A process takes seconds to start, in which there is nothing to lose: a kill by the clock would mostly fall there.
    """

    def written() -> int:  # folders come and go meanwhile, which os.walk passes over
        return sum("." in name for _, _, files in os.walk(folder) for name in files)

    before, more = written(), chance.randint(1, 3)
    while process.poll() is None and written() < before + more:
        time.sleep(0.02)
    time.sleep(chance.uniform(0, 0.5))
    return process.poll() is None


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    status: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def command(here: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run ``forgetting`` in this process, inside an empty folder."""

    def run(*argv: str) -> Outcome:
        capsys.readouterr()
        status = main(argv)
        captured = capsys.readouterr()
        return Outcome(status, captured.out, captured.err)

    return run
