"""The executor: tasks here or on worker processes give the same files, and every failure can be read."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forgetting.errors import UsageError
from forgetting.executors.processes import Executor, Task
from forgetting.store import Store, manifest
from forgetting.study import construct, fingerprint
from tests.contracts.small import spec

Heard = list[tuple[int, int, int]]


def teacher(store: Path, seed: int = 0) -> Task:
    """A task of half a second."""
    plan = spec(ladder=dataclasses.replace(spec().ladder, seed=seed))
    return {
        "make": "teacher",
        "spec": json.loads(json.dumps(dataclasses.asdict(plan))),
        "store": str(store),
        "shipped": False,
    }


def home(store: Path, seed: int = 0) -> Path | None:
    """Where that task leaves its teacher."""
    study = construct(spec(ladder=dataclasses.replace(spec().ladder, seed=seed)))
    return Store(store, reference=None).find(fingerprint(study.teacher_form()))


def bad(store: Path, **changes: Any) -> Task:
    """A task whose spec cannot be."""
    task = teacher(store)
    return {**task, "spec": {**task["spec"], **changes}}


@pytest.fixture(scope="module")
def worker() -> Iterator[Executor]:
    """One worker process for the tests of this file; an error ends it, and the next task starts another."""
    with Executor(1) as executor:
        yield executor


def run(executor: Executor, tasks: list[Task]) -> Heard:
    heard: Heard = []
    executor.run(tasks, lambda *what: heard.append(what))
    return heard


def test_no_tasks() -> None:
    for executor in (Executor(0), Executor(2)):
        with executor:
            assert run(executor, []) == []
            assert executor._processes == []


def test_tasks_in_this_process_are_done_in_order(tmp_path: Path) -> None:
    heard = run(Executor(0), [teacher(tmp_path, 0), teacher(tmp_path, 1)])
    numbers = [number for number, _, _ in heard]
    assert numbers == sorted(numbers)
    assert [h for h in heard if h[2] == 1] == [(0, 1, 1), (1, 1, 1)]
    assert home(tmp_path, 0) and home(tmp_path, 1)


def test_a_worker_process_gives_the_same_files(worker: Executor, tmp_path: Path) -> None:
    heard = run(worker, [teacher(tmp_path / "worker", seed) for seed in (0, 1)])
    assert sorted(h for h in heard if h[2] == 1) == [(0, 1, 1), (1, 1, 1)]
    assert all(0 <= done <= total for _, done, total in heard)
    run(Executor(0), [teacher(tmp_path / "here", seed) for seed in (0, 1)])
    for seed in (0, 1):
        one, other = home(tmp_path / "worker", seed), home(tmp_path / "here", seed)
        assert one and other
        assert manifest(one)["files"] == manifest(other)["files"]


@pytest.mark.parametrize("where", ["here", "worker"])
def test_a_mistake_of_the_user_is_told_as_one(where: str, worker: Executor, tmp_path: Path) -> None:
    executor = worker if where == "worker" else Executor(0)
    with pytest.raises(UsageError, match="did you mean 'dialogue'"):
        run(executor, [bad(tmp_path, contaminations=["dialoge"])])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_store_that_cannot_be_written_is_told_as_the_users(worker: Executor, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(UsageError, match="file"):
        run(worker, [teacher(tmp_path / "file")])
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


@pytest.mark.slow
def test_a_mistake_of_ours_comes_with_the_workers_traceback(worker: Executor, tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)StopIteration.*Traceback.*carry_out"):
        run(worker, [{**teacher(tmp_path), "make": "student", "student": "nobody", "distillation_seed": 0}])


@pytest.mark.slow
def test_a_worker_that_dies_is_an_error_and_others_take_its_place(tmp_path: Path) -> None:
    with Executor(2) as workers:
        run(workers, [teacher(tmp_path, 5), teacher(tmp_path, 6)])
        processes = list(workers._processes)
        assert len(processes) == 2
        os.kill(processes[0].process.pid, signal.SIGKILL)
        processes[0].process.wait()
        with pytest.raises(RuntimeError, match=r"a worker process died \(status -9\)"):
            run(workers, [teacher(tmp_path, 7), teacher(tmp_path, 8)])
        assert workers._processes == []
        assert all(p.process.poll() is not None for p in processes)
        run(workers, [teacher(tmp_path, 9)])
        assert home(tmp_path, 9)


@pytest.mark.slow
def test_processes_are_used_again_and_end_with_the_context(tmp_path: Path) -> None:
    with Executor(1) as executor:
        run(executor, [teacher(tmp_path, 0)])
        (process,) = executor._processes
        run(executor, [teacher(tmp_path, 1), teacher(tmp_path, 2)])
        assert executor._processes == [process]
        assert process.process.poll() is None
    assert process.process.poll() is not None


ORPHAN = """
import json, sys
from forgetting.executors.processes import Executor
executor = Executor(1)
tell = lambda *_: print(executor._processes[0].process.pid, flush=True)
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
