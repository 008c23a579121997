"""A Ray cluster of three nodes on this machine: one goes away in the middle, and every task is done all the same."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from forgetting.executors import executor_of, worker
from forgetting.executors.ray import _of_node, remotely
from forgetting.sandbox import policy
from tests.executors.tasks import home, teacher

SEEDS = range(8)


@pytest.fixture(name="seen")
def _seen(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str | None]]:
    """The words that each task finds, in a worker that has had no task."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv(policy.VARIABLE, "")  # so that it is as it was afterwards
    monkeypatch.delenv(policy.VARIABLE)
    seen: list[str | None] = []
    monkeypatch.setattr(worker, "carry_out", lambda task, report, bench: seen.append(os.environ.get(policy.VARIABLE)))
    _of_node.cache_clear()
    yield seen
    _of_node.cache_clear()


@pytest.mark.parametrize(
    ("node", "given", "wanted"),
    [
        (None, "bubblewrap", "bubblewrap"),
        ("strict", "bubblewrap", "bubblewrap"),
        ("strict", None, "strict"),
        ("strict", "", "strict"),
        (None, None, None),
    ],
)
def test_a_worker_of_a_running_cluster_obeys_home_and_where_home_says_nothing_its_node(
    node: str | None, given: str | None, wanted: str | None, seen: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if node:
        monkeypatch.setenv(policy.VARIABLE, node)
    assert remotely({}, given) == ("done", "")
    assert seen == [wanted]


@pytest.mark.parametrize("node", ["strict", None])
def test_a_worker_that_is_used_again_has_its_nodes_words_again(
    node: str | None, seen: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    if node:
        monkeypatch.setenv(policy.VARIABLE, node)
    for given in ("bubblewrap", None, "container:a", None):
        remotely({}, given)
    assert seen == ["bubblewrap", node, "container:a", node]


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
