"""Tasks as SLURM jobs through submitit (an extra); pre-empted jobs go back into the queue and resume."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, ClassVar

from forgetting.contracts import Report
from forgetting.errors import UsageError, require
from forgetting.executors.child_environment import for_children
from forgetting.executors.contract import Executor, Task
from forgetting.executors.ray import remotely
from forgetting.sandbox import policy


@dataclass(frozen=True)
class Slurm(Executor):
    """One job a task. The nodes must see the same files at the same paths.

    Args:
        partition: SLURM's partition; empty: its default
        timeout_minutes: longest time of a job
        cpus: cores of a job
        gpus: graphics processors of a job
        memory_gb: memory of a job, gigabytes
        jobs: jobs in the queue or running at once
        folder: where submitit keeps its files
        cluster: ``slurm``, or ``local`` to try the same thing on this machine
        retries: how often a task is tried again whose job was lost
        poll_seconds: how often the queue is asked
    """

    elsewhere: ClassVar[bool] = True

    partition: str = ""
    timeout_minutes: int = 240
    cpus: int = 1
    gpus: int = 0
    memory_gb: int = 8
    jobs: int = 32
    folder: str = "submitit"
    cluster: str = "slurm"
    retries: int = 3
    poll_seconds: float = 5.0
    _jobs: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("timeout_minutes", "cpus", "memory_gb", "jobs"):
            value = getattr(self, name)
            require(type(value) is int and value >= 1, name, "a whole number, at least 1", value)
        for name in ("gpus", "retries"):
            value = getattr(self, name)
            require(type(value) is int and value >= 0, name, "a whole number, 0 or more", value)
        require(self.cluster in ("slurm", "local"), "cluster", "slurm or local", self.cluster)
        if importlib.util.find_spec("submitit") is None:
            raise UsageError("executor: submitit is not installed; pip install 'forgetting[slurm]'")

    @property
    def slots(self) -> int:
        """As many as jobs."""
        return self.jobs

    def submit(self, task: Task, report: Report) -> Future[None]:
        """Put a job in the queue; progress within a task is not reported."""
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()
        job = self._submitted(task)
        threading.Thread(target=self._follow, args=(job, task, future), daemon=True).start()
        return future

    def stop(self) -> None:
        """Cancel the jobs."""
        jobs = list(self._jobs)
        self._jobs.clear()
        for job in jobs:
            if not job.done():
                job.cancel(check=False)

    def _submitted(self, task: Task) -> Any:
        with for_children():
            job = self._executor().submit(remotely, task, os.environ.get(policy.VARIABLE))
        self._jobs.append(job)
        return job

    def _executor(self) -> Any:
        submitit = importlib.import_module("submitit")
        safe = {f"{self.cluster}_python": f"{shlex.quote(sys.executable)} -P"}
        executor = submitit.AutoExecutor(folder=self.folder, cluster=self.cluster, **safe)
        settings: dict[str, Any] = {"timeout_min": self.timeout_minutes, "cpus_per_task": self.cpus}
        settings |= {"gpus_per_node": self.gpus, "mem_gb": self.memory_gb, "name": "forgetting"}
        if self.cluster == "slurm" and self.partition:
            settings["slurm_partition"] = self.partition
        executor.update_parameters(**settings)
        return executor

    def _follow(self, job: Any, task: Task, future: Future[None]) -> None:
        """Wait for a job; one that was lost without a result is submitted again."""
        for attempt in range(self.retries + 1):
            while not job.done():
                time.sleep(self.poll_seconds)
            if job not in self._jobs:
                future.set_exception(RuntimeError("the executor was stopped"))
                return
            try:
                kind, message = job.result()
            except Exception as error:  # noqa: BLE001 (submitit raises many kinds for a job that gave no result)
                if attempt == self.retries:
                    first = (str(error).strip() or type(error).__name__).splitlines()[0]
                    future.set_exception(RuntimeError(f"job {job.job_id}: {first}"))
                    return
                job = self._submitted(task)
                continue
            if kind == "done":
                future.set_result(None)
            else:
                future.set_exception(UsageError(message) if kind == "usage" else RuntimeError(message))
            return
