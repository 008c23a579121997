"""A sweep on a Ray cluster of three nodes on this machine, one of which goes away in the middle."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from forgetting.executors import executor_of
from forgetting.sweep.sweep import run_sweep
from tests.sweep.driving import ROOT, disturbed_spec, essence, folder_of, in_storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def test_a_node_is_removed_in_the_middle_of_a_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="ray is not installed (an extra)")
    from ray.cluster_utils import Cluster

    plain = disturbed_spec(executor="inline")
    run_sweep(plain, executor=executor_of("inline"), output=tmp_path / "whole", quiet=True)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setenv("RAY_worker_niceness", "0")  # 15 by default: starved on a machine that does other things too
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        cluster.add_node(num_cpus=1)
        second = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
        spec = disturbed_spec(executor={"name": "ray", "address": cluster.address})
        runs = folder_of(spec, tmp_path / "ray") / "runs"
        done_before = list[int]()

        def remove_after_the_first_round() -> None:
            while len(list(runs.glob("*/complete.json"))) < 2:
                time.sleep(0.1)
            done_before.append(len(list(runs.glob("*/complete.json"))))
            cluster.remove_node(second, allow_graceful=False)

        remover = threading.Thread(target=remove_after_the_first_round, daemon=True)
        remover.start()
        run_sweep(spec, executor=executor_of(spec.executor), output=tmp_path / "ray", quiet=True)
        remover.join(60)
        assert done_before
        assert done_before[0] < 8  # it was gone before the end
    finally:
        cluster.shutdown()
    assert essence(spec, tmp_path / "ray") == essence(plain, tmp_path / "whole")
    assert in_storage(spec, tmp_path / "ray") == in_storage(plain, tmp_path / "whole")
