"""Tasks on long-lived worker processes of one torch thread each, by default as many as there are cores."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import IO

from forgetting.contracts import Report
from forgetting.errors import UsageError, require
from forgetting.executors.child_environment import child_environment
from forgetting.executors.contract import Executor, Task

# glibc gives memory back to the system that the next step asks for again: 40,000 page faults a run of a small student
# (speed/memory.py). These keep up to 256 MiB; blocks of 32 MiB and more, which large students have, go back as before.
KEEPING_MEMORY = {
    "MALLOC_MMAP_THRESHOLD_": str(32 * 2**20),
    "MALLOC_TRIM_THRESHOLD_": str(256 * 2**20),
    "MALLOC_TOP_PAD_": str(16 * 2**20),
}


class WorkerDied(RuntimeError):
    """A worker process ended in the middle of a task."""


class WorkerProcess:
    """One worker process and the pipe to it; ``more`` is added to its environment."""

    def __init__(self, **more: str) -> None:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        environment = {
            **KEEPING_MEMORY,
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            **child_environment(),
            **more,
        }
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "forgetting.executors.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
        )  # fmt: skip

    def run(self, task: Task, report: Report) -> None:
        """Carry one task out; ``UsageError`` for what the user can mend, else ``RuntimeError`` with the traceback."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
            for line in self.process.stdout:
                message = json.loads(line)
                if "outcome" not in message:
                    report(message["done"], message["total"])
                elif message["outcome"] == "done":
                    return
                elif message["outcome"] == "usage":
                    raise UsageError(message["message"])
                else:
                    raise RuntimeError(message["message"])
        except (OSError, json.JSONDecodeError):  # a pipe without its other end, half a line
            pass
        raise WorkerDied(self._death())

    def _death(self) -> str:
        self.process.wait()
        self.log.seek(0)
        said = self.log.read()[-2000:].decode(errors="replace")
        return f"a worker process died (status {self.process.returncode}): {said}"

    def stop(self) -> None:
        """End the process at once; whatever it was doing resumes from its last checkpoint."""
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError, ValueError):  # what was not yet sent to a process that is dead
                    pipe.close()


@dataclass
class _Pool:
    """The processes of one use of the executor, and the threads that talk to them."""

    threads: ThreadPoolExecutor
    free: SimpleQueue[WorkerProcess] = field(default_factory=SimpleQueue)
    all: list[WorkerProcess] = field(default_factory=list)
    closed: bool = False


@dataclass(frozen=True)
class Processes(Executor):
    """Worker processes on this machine.

    Args:
        workers: processes side by side; 0: as many as this process may use cores
        retries: how often a task is tried again whose worker died
    """

    workers: int = 0
    retries: int = 3
    _pools: list[_Pool] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require(type(self.workers) is int and self.workers >= 0, "workers", "0 or more", self.workers)
        require(type(self.retries) is int and self.retries >= 0, "retries", "0 or more", self.retries)

    @property
    def slots(self) -> int:
        """As many as workers."""
        return self.workers or cores()

    @property
    def processes(self) -> list[int]:
        """Process numbers of the workers that were started and not stopped."""
        return [p.process.pid for pool in self._pools for p in pool.all]

    def submit(self, task: Task, report: Report) -> Future[None]:
        """Have the task carried out by the next free worker; workers are started when they are needed."""
        if not self._pools:
            self._pools.append(_Pool(ThreadPoolExecutor(self.slots)))
        return self._pools[0].threads.submit(self._one, self._pools[0], task, report)

    def stop(self) -> None:
        """Kill the workers."""
        for pool in self._pools:
            pool.closed = True
            for process in pool.all:
                process.stop()
            pool.threads.shutdown(wait=True, cancel_futures=True)
            for process in pool.all:
                process.log.close()
        self._pools.clear()

    def _one(self, pool: _Pool, task: Task, report: Report) -> None:
        for attempt in range(self.retries + 1):
            if pool.closed:
                raise RuntimeError("the executor was stopped")
            try:
                process = pool.free.get_nowait()
            except Empty:
                process = WorkerProcess()
                pool.all.append(process)
            try:
                process.run(task, report)
            except WorkerDied:
                pool.all.remove(process)
                process.stop()
                if attempt == self.retries or pool.closed:
                    raise
                continue
            except BaseException:
                pool.free.put(process)
                raise
            pool.free.put(process)
            return


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
