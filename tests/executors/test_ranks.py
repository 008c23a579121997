"""Runs on two processes: the curves of one process, also where one of the two is killed."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forgetting import Doses, Evaluation, Spec, simulate
from forgetting.record.seals import file_hash
from forgetting.report.result import Result
from forgetting.spec import Ladder, Machine, from_plain

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="finds ranks by their environment in /proc"),
]


def study(output: Path, machine: Machine) -> Result:
    spec = Spec(
        name="ranks",
        ladder=Ladder(students=("10k",)),
        contaminations=("dialogue",),
        doses=Doses(dose=640, first=20),
        evaluation=Evaluation(
            benchmarks=({"name": "maths", "items_per_depth": 10}, "lookup"), perturbed="never", probe_items=20
        ),
        machine=machine,
    )
    return simulate(spec, output=output, workers=0, quiet=True)


def ranks(number: int) -> list[int]:
    """Process numbers of this process's descendants that are the rank."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "environ").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue
        if f"LOCAL_RANK={number}".encode() in words and parent == os.getpid():
            found.append(int(folder.name))
    return found


DDP, FSDP = Machine(devices=2), Machine(devices=2, strategy="fsdp")


@pytest.fixture(scope="module", params=[DDP, FSDP], ids=["ddp", "fsdp"])
def two(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Result:
    return study(tmp_path_factory.mktemp("two"), request.param)


def machine_of(result: Result) -> Machine:
    made: Machine = from_plain(result.record["spec"]["machine"], Machine)
    return made


def test_two_processes_give_the_curves_of_one(two: Result, tmp_path: Path) -> None:
    one = study(tmp_path, Machine())
    a, b = (pd.read_parquet(r.folder / "ledger.parquet") for r in (one, two))
    assert two.folder.name != one.folder.name
    assert list(a["item"]) == list(b["item"]) and list(a["dose"]) == list(b["dose"])
    for name in ("nll_sum", "kl_sum"):
        assert np.abs((a[name] - b[name]) / a["gold_tokens"]).max() < 1e-3, name
    loss = [r.groupby("dose")["nll_sum"].sum() / r.groupby("dose")["gold_tokens"].sum() for r in (a, b)]
    assert np.abs(loss[0] - loss[1]).max() < 1e-5
    kept = [p for p in two.folder.glob("runs/*/checkpoint/**/*") if p.is_file()]
    assert kept and {p.suffix for p in kept} <= {".safetensors", ".json"}
    assert not ranks(0) and not ranks(1)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_run_goes_on_when_one_of_its_processes_is_killed(two: Result, tmp_path: Path, victim: int) -> None:
    with ThreadPoolExecutor(1) as threads:
        future = threads.submit(study, tmp_path, machine_of(two))
        run, end = None, time.monotonic() + 240
        while run is None and time.monotonic() < end:
            run = next(iter(tmp_path.glob("*/runs/*/ledger/dose-00000080.parquet")), None)
            time.sleep(0.01)
        assert run is not None and not (run.parents[1] / "complete.json").exists()
        (killed,) = ranks(victim)
        os.kill(killed, signal.SIGKILL)
        again = future.result(timeout=300)
    assert file_hash(again.folder / "ledger.parquet") == file_hash(two.folder / "ledger.parquet")
    assert not ranks(0) and not ranks(1)
