"""Tasks in this process, one after another, when they are submitted."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from forgetting.contracts import Report
from forgetting.executors.contract import Executor, Task
from forgetting.executors.worker import carry_out

if TYPE_CHECKING:
    from forgetting.evaluation.bench import Bench


@dataclass(frozen=True)
class Inline(Executor):
    """In this process, one after another; nothing is started."""

    retries: int = 0
    _bench: list[Bench] = field(default_factory=list, init=False, repr=False, compare=False)  # none before it is needed

    @property
    def slots(self) -> int:
        """One."""
        return 1

    def submit(self, task: Task, report: Report) -> Future[None]:
        """Carry the task out before returning; an interruption is raised at once."""
        future: Future[None] = Future()
        try:
            if not self._bench:
                from forgetting.evaluation.bench import Bench

                self._bench.append(Bench())
            carry_out(task, report, self._bench[0])
        except Exception as error:  # noqa: BLE001 (whatever it was is the future's to raise)
            future.set_exception(error if isinstance(error, ValueError | RuntimeError) else _wrapped(error))
        else:
            future.set_result(None)
        return future

    def stop(self) -> None:
        """Nothing runs between two submissions; what was known of the last base is forgotten."""
        while self._bench:
            self._bench.pop().stop()


def _wrapped(error: Exception) -> Exception:
    if isinstance(error, OSError):
        return error
    wrapped = RuntimeError(f"{type(error).__name__}: {error}")
    wrapped.__cause__ = error
    return wrapped
