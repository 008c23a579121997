"""Tasks in this process, one after another, when they are submitted."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass

from forgetting.contracts import Report
from forgetting.executors.contract import Executor, Task
from forgetting.executors.worker import carry_out


@dataclass(frozen=True)
class Inline(Executor):
    """In this process, one after another; nothing is started."""

    retries: int = 0

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, task: Task, report: Report) -> Future[None]:
        """Carry the task out before returning; an interruption is raised at once."""
        future: Future[None] = Future()
        try:
            carry_out(task, report)
        except Exception as error:  # noqa: BLE001 (whatever it was is the future's to raise)
            future.set_exception(error if isinstance(error, ValueError | RuntimeError) else _wrapped(error))
        else:
            future.set_result(None)
        return future

    def stop(self) -> None:
        """Nothing runs between two submissions."""


def _wrapped(error: Exception) -> Exception:
    if isinstance(error, OSError):
        return error
    wrapped = RuntimeError(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
