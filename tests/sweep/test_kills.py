"""The driver killed while it works, its workers at random moments: the same trials, scores and thresholds.

``tests/trust/test_damage.py`` kills drivers at moments of the clock and before acts on the disk.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from forgetting.sweep.sweep_spec import SweepSpec
from tests.conftest import at_work
from tests.sweep.driving import disturbed_spec, driver, essence, finish, folder_of, in_storage, workers

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(sys.platform != "linux", reason="looks for worker processes in /proc"),
]
DRIVERS, KILLS = 6, 10


def undisturbed(spec: SweepSpec, output: Path) -> None:
    """Run the sweep without disturbance."""
    finish(driver(spec, output))


def kill_drivers(spec_of: Callable[[int], SweepSpec], folder: Path, expected: object) -> int:
    """Kill the driver while it works, start it again; a sweep that got through is compared and another begun.

    ``spec_of`` gives the spec of the n-th sweep. The number of the last one is returned.
    """
    chance, kills, through = random.Random(0), 0, 0
    spec = spec_of(0)
    while kills < DRIVERS:
        process = driver(spec, folder / f"killed{through}")
        if at_work(process, folder / f"killed{through}", chance):
            os.kill(process.pid, signal.SIGKILL)  # the driver alone: its workers must die by themselves
            process.communicate()
            kills += 1
        else:
            finish(process)
            assert essence(spec, folder / f"killed{through}") == expected
            through += 1
            spec = spec_of(through)
    finish(driver(spec, folder / f"killed{through}"))
    return through


def test_the_driver_killed_at_its_work(tmp_path: Path) -> None:
    spec = disturbed_spec(executor={"name": "processes", "workers": 1})
    undisturbed(spec, tmp_path / "whole")
    expected = essence(spec, tmp_path / "whole")
    through = kill_drivers(lambda number: spec, tmp_path, expected)
    last = tmp_path / f"killed{through}"
    assert essence(spec, last) == expected
    assert in_storage(spec, last) == in_storage(spec, tmp_path / "whole")
    assert len(in_storage(spec, last)) == 8
    print(f"{DRIVERS} kills of the driver, {through + 1} sweeps came through")


def test_workers_killed_ten_times(tmp_path: Path) -> None:
    spec = disturbed_spec(executor={"name": "processes", "workers": 2, "retries": 50})
    undisturbed(spec, tmp_path / "whole")
    expected = essence(spec, tmp_path / "whole")
    chance, kills, sweeps = random.Random(1), 0, 0
    while kills < KILLS:
        output = tmp_path / f"killed{sweeps}"
        process, own = driver(spec, output), 0
        while process.poll() is None:
            time.sleep(chance.uniform(0.0, 1.5))
            alive = workers(process.pid)
            # A worker that is still importing has no task to lose: now and then one is let through to its work.
            if alive and own < KILLS and chance.random() < 0.5:
                os.kill(chance.choice(alive), signal.SIGKILL)
                own += 1
        finish(process)
        kills, sweeps = kills + own, sweeps + 1
        assert essence(spec, output) == expected
        assert in_storage(spec, output) == in_storage(spec, tmp_path / "whole")
    print(f"{kills} kills of workers in {sweeps} sweeps")


def test_control_c_ends_cleanly_and_says_how_to_go_on(tmp_path: Path) -> None:
    spec = disturbed_spec(executor={"name": "processes", "workers": 1})
    process = driver(spec, tmp_path / "out")
    until = time.monotonic() + 120
    while not workers(process.pid) and time.monotonic() < until:
        time.sleep(0.1)
    (worker,) = workers(process.pid)
    time.sleep(2)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the driver and its workers
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said.splitlines()[-1].startswith("forgetting: interrupted; continue with: forgetting resume ")
    assert "Traceback" not in said
    assert not Path(f"/proc/{worker}").exists()
    finish(driver(spec, tmp_path / "out"))
    undisturbed(spec, tmp_path / "whole")
    assert essence(spec, tmp_path / "out") == essence(spec, tmp_path / "whole")


def test_a_driver_that_is_told_to_end_keeps_its_hours_and_says_how_to_go_on(tmp_path: Path) -> None:
    spec = disturbed_spec(executor={"name": "processes", "workers": 1})
    process, folder = driver(spec, tmp_path), folder_of(spec, tmp_path)
    while not list(folder.glob("runs/*/scores.jsonl")):  # the first round is under way
        assert process.poll() is None
        time.sleep(0.1)
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted; continue with: forgetting resume" in said
    assert json.loads((folder / "sweep.json").read_text())["hours"] > 0
