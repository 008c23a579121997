"""A Ray cluster of three nodes on this machine: one goes away in the middle, and every task is done all the same."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from forgetting import worker
from forgetting.executors import executor_of
from forgetting.executors.ray import remotely
from forgetting.sandbox import policy
from tests.executors.tasks import home, teacher

SEEDS = range(8)


@pytest.mark.parametrize(("before", "given"), [("strict", None), (None, "bubblewrap"), ("strict", "bubblewrap")])
def test_a_worker_of_a_running_cluster_obeys_the_sandbox_that_was_asked_for_at_home(
    before: str | None, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delenv(policy.VARIABLE, raising=False)
    if before:
        monkeypatch.setenv(policy.VARIABLE, before)
    seen: list[str | None] = []
    monkeypatch.setattr(worker, "carry_out", lambda task, report: seen.append(os.environ.get(policy.VARIABLE)))
    assert remotely({}, given) == ("done", "")
    assert seen == [given]


@pytest.mark.slow
def test_a_node_that_goes_away_takes_no_task_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed (an extra)")
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 by default: starved on a machine that does other things too
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        with executor_of({"name": "ray", "address": cluster.address}) as executor:
            assert executor.slots == 3
            futures = [executor.submit(teacher(tmp_path, seed), lambda done, total: None) for seed in SEEDS]
            threading.Thread(target=lambda: (time.sleep(2.0), cluster.remove_node(second))).start()
            for future in futures:
                future.result(timeout=300)
        assert all(home(tmp_path, seed) for seed in SEEDS)
        assert len([p for p in tmp_path.iterdir() if (p / "manifest.json").is_file()]) == len(SEEDS)
    finally:
        cluster.shutdown()
