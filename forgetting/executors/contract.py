"""The contract of executors: a context that is given tasks and answers with futures.

A task is a plain value that ``forgetting.executors.worker.carry_out`` understands. It writes a folder with a
completion marker and resumes from its last checkpoint, so trying it again is always safe, and free where it was done.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, wait
from functools import partial
from typing import Any, ClassVar, TypeVar

from forgetting.contracts import Report

Task = dict[str, Any]
Watch = Callable[[int, int, int], None]  # task number, done, total
E = TypeVar("E", bound="Executor")


class Executor(ABC):
    """Carries out tasks, ``slots`` at a time. Leaving the context stops what runs; it resumes when it is asked again.

    Laws: a task that was submitted ends done, or its future raises: ``UsageError`` for what the user can mend, else
    ``RuntimeError``. A worker that dies is replaced, and its task tried again ``retries`` times. No worker outlives
    the context or its parent.
    """

    retries: int
    elsewhere: ClassVar[bool] = False  # whether tasks may be carried out on other machines than this one

    @property
    @abstractmethod
    def slots(self) -> int:
        """How many tasks run at once."""

    @abstractmethod
    def submit(self, task: Task, report: Report) -> Future[None]:
        """Have a task carried out; ``report`` may be called from any thread."""

    @abstractmethod
    def stop(self) -> None:
        """End what runs, at once, and forget what waits. The executor may be used again."""

    def run(self, tasks: Sequence[Task], watch: Watch) -> None:
        """Carry out all tasks, in any order, up to the first error, which stops the others."""
        futures = []
        try:
            for number, task in enumerate(tasks):
                future = self.submit(task, partial(watch, number))
                future.add_done_callback(partial(_told, watch, number))
                futures.append(future)
            wait(futures, return_when=FIRST_EXCEPTION)
            for future in futures:
                if future.done():
                    future.result()
        except BaseException:
            self.stop()
            raise

    def __enter__(self: E) -> E:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _told(watch: Watch, number: int, future: Future[None]) -> None:
    if not future.cancelled() and future.exception() is None:
        watch(number, 1, 1)
