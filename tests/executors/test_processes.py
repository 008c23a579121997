"""Worker processes: the same files as here, every failure readable, dead workers replaced, no orphans."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from forgetting.executors import executor_of
from forgetting.executors.processes import Processes, WorkerProcess
from forgetting.record.store import manifest
from tests.contracts.small import spec
from tests.executors.tasks import home, run, teacher


@pytest.fixture(scope="module")
def worker() -> Iterator[Processes]:
    """One worker process for the tests of this file."""
    with Processes(1) as executor:
        yield executor


def test_tasks_in_this_process_are_done_in_order(tmp_path: Path) -> None:
    heard = run(executor_of("inline"), [teacher(tmp_path, 0), teacher(tmp_path, 1)])
    numbers = [number for number, _, _ in heard]
    assert numbers == sorted(numbers)
    assert [h for h in heard if h[2] == 1] == [(0, 1, 1), (1, 1, 1)]


def test_a_worker_process_gives_the_same_files(worker: Processes, tmp_path: Path) -> None:
    heard = run(worker, [teacher(tmp_path / "worker", seed) for seed in (0, 1)])
    assert sorted(h for h in heard if h[2] == 1) == [(0, 1, 1), (1, 1, 1)]
    assert all(0 <= done <= total for _, done, total in heard)
    run(executor_of("inline"), [teacher(tmp_path / "here", seed) for seed in (0, 1)])
    for seed in (0, 1):
        one, other = home(tmp_path / "worker", seed), home(tmp_path / "here", seed)
        assert one and other
        assert manifest(one)["files"] == manifest(other)["files"]


def test_a_worker_is_used_again(worker: Processes, tmp_path: Path) -> None:
    run(worker, [teacher(tmp_path, 0)])
    before = worker.processes
    run(worker, [teacher(tmp_path, 1), teacher(tmp_path, 2)])
    assert worker.processes == before
    assert len(before) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's environment from /proc")
def test_workers_keep_the_memory_that_steps_free_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MALLOC_TOP_PAD_", "4096")
    process = WorkerProcess()
    try:
        place, end = Path(f"/proc/{process.process.pid}/environ"), time.monotonic() + 30
        while not (text := place.read_text()) and time.monotonic() < end:  # empty until the program has begun
            time.sleep(0.01)
        environment = text.split("\0")
    finally:
        process.stop()
        process.log.close()
    assert "MALLOC_TOP_PAD_=4096" in environment
    assert "MALLOC_TRIM_THRESHOLD_=268435456" in environment


@pytest.mark.slow
def test_a_worker_that_is_killed_is_replaced_and_its_task_done(tmp_path: Path) -> None:
    with Processes(1) as executor:
        run(executor, [teacher(tmp_path, 5)])
        (first,) = executor.processes
        killed = threading.Event()

        def kill_once(done: int, total: int) -> None:
            if not killed.is_set():
                killed.set()
                os.kill(executor.processes[0], signal.SIGKILL)

        executor.submit(teacher(tmp_path, 6), kill_once).result()
        assert killed.is_set()
        assert executor.processes != [first]
    assert home(tmp_path, 6)


@pytest.mark.slow
def test_a_task_that_kills_every_worker_is_given_up(tmp_path: Path) -> None:
    with Processes(1, retries=1) as executor:
        deaths = []

        def kill(done: int, total: int) -> None:
            deaths.append(executor.processes[0])
            os.kill(executor.processes[0], signal.SIGKILL)

        with pytest.raises(RuntimeError, match=r"a worker process died \(status -9\)"):
            executor.submit(teacher(tmp_path, 7), kill).result()
        assert len(set(deaths)) == 2


@pytest.mark.slow
def test_processes_end_with_the_context(tmp_path: Path) -> None:
    with Processes(1) as executor:
        run(executor, [teacher(tmp_path, 0)])
        (number,) = executor.processes
        os.kill(number, 0)
    assert executor.processes == []
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


ORPHAN = """
import json, sys
from forgetting.executors.processes import Processes
executor = Processes(1)
tell = lambda *_: print(executor.processes[0], flush=True)
executor.run([json.load(open(sys.argv[1]))], tell)
"""


@pytest.mark.slow
def test_a_worker_dies_with_its_parent(tmp_path: Path) -> None:
    """An orphan would write beside its successor."""
    long = spec(
        ladder=dataclasses.replace(spec().ladder, teaching=dataclasses.replace(spec().ladder.teaching, samples=10**6))
    )
    task = {**teacher(tmp_path / "store"), "spec": dataclasses.asdict(long)}
    (tmp_path / "task.json").write_text(json.dumps(task))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, str(tmp_path / "task.json")], stdout=subprocess.PIPE, env=environment, text=True
    )
    assert parent.stdout
    worker = int(parent.stdout.readline())
    os.kill(worker, 0)
    parent.kill()
    parent.wait()
    until = time.monotonic() + 30
    while time.monotonic() < until and Path(f"/proc/{worker}/status").exists():
        if "State:\tZ" in Path(f"/proc/{worker}/status").read_text():
            break
        time.sleep(0.1)
    else:
        assert not Path(f"/proc/{worker}/status").exists()
