"""Tasks as remote functions of Ray Core (an extra), on a running cluster or one started here.

Every node must see the same files (the sweep's folder and the store) at the same paths.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import forgetting
from forgetting.contracts import Report
from forgetting.errors import UsageError, require
from forgetting.executors.contract import Executor, Task
from forgetting.sandbox import policy

if TYPE_CHECKING:
    from forgetting.evaluation.bench import Bench


@dataclass(frozen=True)
class Ray(Executor):
    """Remote functions on a Ray cluster; a task whose node or worker is lost is tried again elsewhere.

    Args:
        address: of a running cluster, ``auto`` to find one; empty: start one on this machine
        cpus: cores that a task holds
        gpus: graphics processors that a task holds
        retries: how often a task is tried again whose worker or node was lost
    """

    elsewhere: ClassVar[bool] = True

    address: str = ""
    cpus: float = 1.0
    gpus: float = 0.0
    retries: int = 3
    _running: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)
    _started: list[bool] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        require(isinstance(self.address, str), "address", "text", self.address)
        for name in ("cpus", "gpus"):
            value = getattr(self, name)
            require(isinstance(value, int | float) and value >= 0, name, "a number, 0 or more", value)
        require(self.cpus > 0, "cpus", "above 0", self.cpus)
        require(type(self.retries) is int and self.retries >= 0, "retries", "0 or more", self.retries)
        if importlib.util.find_spec("ray") is None:
            raise UsageError("executor: ray is not installed; pip install 'forgetting[ray]'")

    @property
    def slots(self) -> int:
        """As many as the cluster's cores and processors allow now."""
        ray = self._connected()
        held = ray.cluster_resources()
        counts = [held.get("CPU", 0.0) / self.cpus] + ([held.get("GPU", 0.0) / self.gpus] if self.gpus else [])
        return max(int(min(counts)), 1)

    def submit(self, task: Task, report: Report) -> Future[None]:
        """Have the task carried out somewhere in the cluster; progress within a task is not reported."""
        ray = self._connected()
        options = {"num_cpus": self.cpus, "num_gpus": self.gpus, "max_retries": self.retries}
        carried = ray.remote(**options)(_from_safe_path())
        reference = carried.remote(task, os.environ.get(policy.VARIABLE))
        self._running.append(reference)
        answered, future = reference.future(), Future[None]()
        answered.add_done_callback(lambda done: _settle(done, future))
        return future

    def stop(self) -> None:
        """Cancel what runs, and shut down a cluster that was started here."""
        if not self._started:
            return
        ray = importlib.import_module("ray")
        for reference in self._running:
            ray.cancel(reference, force=True)
        self._running.clear()
        self._started.clear()
        ray.shutdown()

    def _connected(self) -> Any:
        ray = importlib.import_module("ray")
        if not self._started:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            quiet: dict[str, Any] = {"include_dashboard": False} if not self.address else {}
            try:
                ray.init(address=self.address or "local", logging_level="ERROR", log_to_driver=False, **quiet)
            except (ConnectionError, RuntimeError, ValueError) as error:
                first = str(error).strip().splitlines()[0]
                raise UsageError(f"executor.address: no cluster at {self.address!r}: {first}") from error
            self._started.append(True)
        return ray


def _from_safe_path() -> Callable[[Task, str | None], tuple[str, str]]:
    """``remotely`` for a worker of Ray, which looks into this process's working folder first unless it is told not to.

    A function inside a function is sent as it is, so that it is the first of ours that the worker runs.
    """
    here = os.getcwd()
    unsafe = [] if Path(forgetting.__file__).parents[1] == Path(here) else [here, ""]

    def started(task: Task, sandbox: str | None) -> tuple[str, str]:
        import sys

        sys.path[:] = [place for place in sys.path if place not in unsafe]
        from forgetting.executors.ray import remotely

        return remotely(task, sandbox)

    return started


def remotely(task: Task, sandbox: str | None) -> tuple[str, str]:
    """Carry a task out on a node; gives what to raise at home, so that only lost nodes count as failures to Ray.

    ``sandbox`` are the words of ``--sandbox`` at home: the workers of a running cluster do not have its environment.
    Where home has none, those of the node hold.
    """
    os.environ["OMP_NUM_THREADS"] = "1"
    own = _of_node()
    words = sandbox or own
    if words is None:
        os.environ.pop(policy.VARIABLE, None)
    else:
        os.environ[policy.VARIABLE] = words
    from forgetting.executors.worker import carry_out, outcome

    return outcome(lambda: carry_out(task, lambda done, total: None, _bench_of_node()))


@cache
def _of_node() -> str | None:
    """The node's own words, as they were before the first task of this process: workers are used again."""
    return os.environ.get(policy.VARIABLE)


@cache
def _bench_of_node() -> Bench:
    """What this process keeps from task to task: it is Ray's, and nobody but the task itself could hand it in."""
    from forgetting.evaluation.bench import Bench

    return Bench()


def _settle(done: Any, future: Future[None]) -> None:
    if (lost := done.exception()) is not None:
        future.set_exception(RuntimeError(f"{type(lost).__name__}: {str(lost).strip().splitlines()[0]}"))
        return
    kind, message = done.result()
    if kind == "done":
        future.set_result(None)
    else:
        future.set_exception(UsageError(message) if kind == "usage" else RuntimeError(message))
