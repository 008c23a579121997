"""A sweep whose runs are jobs of submitit, on its local executor: the same as in this process."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from forgetting.executors import executor_of
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_spec import Stop
from tests.sweep.driving import disturbed_spec, essence, in_storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


def test_jobs_give_the_same_sweep(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="submitit is not installed (an extra)")
    plain = dataclasses.replace(disturbed_spec(executor="inline"), stop=Stop(0.0, runs=4))
    run_sweep(plain, executor=executor_of("inline"), output=tmp_path / "whole", quiet=True)
    jobs = {"name": "slurm", "cluster": "local", "folder": str(tmp_path / "jobs"), "poll_seconds": 0.2, "jobs": 2}
    spec = dataclasses.replace(plain, executor=jobs)
    run_sweep(spec, executor=executor_of(jobs), output=tmp_path / "jobs_sweep", quiet=True)
    assert essence(spec, tmp_path / "jobs_sweep") == essence(plain, tmp_path / "whole")
    assert in_storage(spec, tmp_path / "jobs_sweep") == in_storage(plain, tmp_path / "whole")
