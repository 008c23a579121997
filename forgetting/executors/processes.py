"""Runs tasks on long-lived worker processes, as many as cores, one thread each; or in this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import IO, Any

from forgetting.errors import UsageError, require
from forgetting.worker import carry_out

Task = dict[str, Any]
Watch = Callable[[int, int, int], None]


class _Process:
    """One worker process and the pipe to it."""

    def __init__(self) -> None:
        self.log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 (closed by stop)
        environment = {
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "MKL_NUM_THREADS": "1",
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "forgetting.worker"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=environment,
        )  # fmt: skip

    def run(self, task: Task, report: Callable[[int, int], None]) -> None:
        """Carry one task out; ``UsageError`` for what the user can mend, else ``RuntimeError`` with the traceback."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(json.dumps(task) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise RuntimeError(self._death()) from None
        for line in self.process.stdout:
            message = json.loads(line)
            if "outcome" not in message:
                report(message["done"], message["total"])
            elif message["outcome"] == "done":
                return
            elif message["outcome"] == "usage":
                raise UsageError(message["message"])
            else:
                raise RuntimeError(f"{message['message']}\n{message['traceback']}")
        raise RuntimeError(self._death())

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
                with suppress(OSError):  # what was not yet sent to a process that is dead
                    pipe.close()
        self.log.close()


class Executor:
    """A context in which batches of tasks are run. ``workers`` 0 means: in this process, one after another."""

    def __init__(self, workers: int) -> None:
        require(workers >= 0, "workers", "0 (in this process) or more", workers)
        self.workers = workers
        self._processes: list[_Process] = []

    def __enter__(self) -> Executor:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.stop()
        self._processes.clear()

    def run(self, tasks: Sequence[Task], watch: Watch) -> None:
        """Carry out all tasks, in any order, up to the first error; ``watch(task number, done, total)`` hears of it."""
        if self.workers == 0:
            for number, task in enumerate(tasks):
                carry_out(task, partial(watch, number))
                watch(number, 1, 1)
            return
        while len(self._processes) < min(self.workers, len(tasks)):
            self._processes.append(_Process())
        free: SimpleQueue[_Process] = SimpleQueue()
        for process in self._processes:
            free.put(process)

        def one(number: int) -> None:
            process = free.get()
            try:
                process.run(tasks[number], partial(watch, number))
                watch(number, 1, 1)
            finally:
                free.put(process)

        with ThreadPoolExecutor(max(len(self._processes), 1)) as threads:
            futures = [threads.submit(one, number) for number in range(len(tasks))]
            try:
                _first_error(futures)
            except BaseException:
                for future in futures:
                    future.cancel()
                self.__exit__()
                raise


def _first_error(futures: Sequence[Future[None]]) -> None:
    pending = set(futures)
    while pending:
        done, pending = wait(pending, return_when=FIRST_COMPLETED)
        for future in done:
            future.result()
