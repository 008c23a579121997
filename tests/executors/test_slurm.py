"""Jobs of submitit, on its local executor: one that is killed without a result is submitted again, a few times."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from forgetting.executors import executor_of
from forgetting.executors.slurm import Slurm
from tests.executors.tasks import home, teacher

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def slurm(folder: Path, retries: int) -> Slurm:
    """An executor of one local job at a time."""
    pytest.importorskip("submitit", reason="submitit is not installed (an extra)")
    settings = {"cluster": "local", "folder": str(folder / "jobs"), "poll_seconds": 0.1, "retries": retries}
    made = executor_of({"name": "slurm", **settings})
    assert isinstance(made, Slurm)
    return made


def kill_jobs(executor: Slurm, most: int) -> list[str]:
    """Kill the processes of the first jobs as they appear; gives their numbers."""
    killed: list[str] = []

    def watch() -> None:
        until = time.monotonic() + 300
        while len(killed) < most and time.monotonic() < until:
            for job in list(executor._jobs):
                if job.job_id not in killed:
                    killed.append(job.job_id)
                    os.kill(int(job.job_id), signal.SIGKILL)  # a local job's number is its process's
            time.sleep(0.05)

    threading.Thread(target=watch, daemon=True).start()
    return killed


def test_a_job_that_is_killed_is_submitted_again(tmp_path: Path) -> None:
    with slurm(tmp_path, retries=2) as executor:
        killed = kill_jobs(executor, most=2)
        executor.submit(teacher(tmp_path / "store"), lambda done, total: None).result(timeout=300)
    assert len(killed) == 2
    assert home(tmp_path / "store")


def test_a_task_whose_jobs_all_die_is_given_up(tmp_path: Path) -> None:
    with slurm(tmp_path, retries=1) as executor:
        killed = kill_jobs(executor, most=9)
        with pytest.raises(RuntimeError, match="job "):
            executor.submit(teacher(tmp_path / "store"), lambda done, total: None).result(timeout=300)
        assert len(killed) == 2
