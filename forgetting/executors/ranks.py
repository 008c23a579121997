"""One task on several processes that train together (ranks): started here, ended together, tried again if one dies."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

from forgetting.contracts import Report
from forgetting.executors.contract import Task
from forgetting.executors.processes import WorkerDied, WorkerProcess

RETRIES = 3
LAST_WORDS = 3.0  # seconds in which a rank that lost another may say so before that one is seen to be dead


def is_rank() -> bool:
    """Whether this process is one of several that train together."""
    return "LOCAL_RANK" in os.environ


def carry_out(task: Task, devices: int, report: Report) -> None:
    """Have ``devices`` processes carry the task out together, from its last checkpoint again where one of them died."""
    for attempt in range(RETRIES + 1):
        try:
            return _once(task, devices, report)
        except WorkerDied:
            if attempt == RETRIES:
                raise
    return None


def _once(task: Task, devices: int, report: Report) -> None:
    common = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(_free_port()), "WORLD_SIZE": str(devices)}
    ranks = [WorkerProcess(LOCAL_RANK=str(r), NODE_RANK="0", **common) for r in range(devices)]
    with ThreadPoolExecutor(devices) as threads:
        try:
            futures = [threads.submit(p.run, task, report if p is ranks[0] else _silent) for p in ranks]
            wait(futures, return_when=FIRST_EXCEPTION)
            failed = [f.exception() for f in futures if f.done() and f.exception() is not None]
            if any(type(error) is RuntimeError for error in failed) and _one_died(ranks):
                raise WorkerDied(str(failed[0]))
            for future in futures:
                if future.done():
                    future.result()
        finally:
            for rank in ranks:
                rank.stop()


def _one_died(ranks: list[WorkerProcess]) -> bool:
    """Whether a rank failed because another one is dead."""
    end = time.monotonic() + LAST_WORDS
    while time.monotonic() < end:
        if any(rank.process.poll() is not None for rank in ranks):
            return True
        time.sleep(0.05)
    return False


def _silent(done: int, total: int) -> None:
    """One rank reports for all."""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
