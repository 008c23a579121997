"""In what order a sweep's runs are handed over; each is a task that says all there is to know."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

from forgetting.executors.contract import Executor, Task
from forgetting.record.store import Store
from forgetting.spec import Doses, Ladder
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.live import Live
from forgetting.sweep.runs import Runs
from tests.sweep.small import study_spec, sweep_spec


class _Notes(Executor):
    """Does nothing, and notes what it was given."""

    def __init__(self) -> None:
        self.tasks: list[Task] = []

    @property
    def slots(self) -> int:
        return 1

    def submit(self, task: Task, report: Callable[[int, int], None]) -> Future[None]:
        self.tasks.append(task)
        return Future()

    def stop(self) -> None:
        pass


def test_the_longest_runs_come_first_which_are_not_those_of_most_operations(tmp_path: Path) -> None:
    ladder, doses = Ladder(students=("10k", "100k")), Doses(dose=640, first=40)
    study = dataclasses.replace(study_spec(), ladder=ladder, doses=doses, shifts=(0.2, 1.0))
    sweep, notes = construct_sweep(sweep_spec(study)), _Notes()
    (space,) = sweep.spaces
    keys = [space.run(point, 0) for point in space.points]
    with Live(sweep.spaces, quiet=True) as live:
        Runs(sweep, tmp_path, Store(tmp_path / "store"), notes, live, "off").submit(keys)
    handed = [(task["key"]["student"], "shift0.2" in task["key"]["arm"]) for task in notes.tasks]
    assert handed == [("100k", True), ("10k", True), ("100k", False), ("10k", False)]
    assert space.flops(("100k", 1.0)) > space.flops(("10k", 0.2))
