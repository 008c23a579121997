"""A sweep's runs, handed to an executor: each with the rule that may end it early, in stacks where they share one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path

from forgetting.contracts import Report
from forgetting.executors.contract import Executor, Task
from forgetting.executors.stacking import Sizes, Stack, in_stacks
from forgetting.executors.tasks import StackingTask, common_of, run_task
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.stages.folder import run_folder
from forgetting.study.run import Run
from forgetting.sweep.layout import Sweep
from forgetting.sweep.live import Live
from forgetting.sweep.search_space import run_flops
from forgetting.world.vocabulary import vocabulary

STEP = 40_000  # parameters whose products take as long as all else in a step: .15 ms a sample, 3.7 ns a parameter of it


class Runs:
    """Runs in a sweep's folder. Who shares a stack is a function of the runs that are submitted together."""

    def __init__(self, sweep: Sweep, folder: Path, store: Store, executor: Executor, live: Live, stack: Stack) -> None:
        self.sweep, self.folder, self.executor, self.live = sweep, folder, executor, live
        self.common = common_of(sweep.study, store)
        batch_size = sweep.spec.study.fine_tuning.batch_size
        self._size = Sizes(sweep.study, stack, store.root, batch_size, self._measure, live.say)

    def submit(self, runs: Sequence[Run]) -> dict[Run, Future[None]]:
        """The longest first, so that no worker waits for one at the end; runs of a stack share their future."""
        submitted: dict[Run, Future[None]] = {}
        parts = in_stacks(self.sweep.study, runs, self._size, self.complete)
        for part in sorted(parts, key=lambda own: -sum(map(self._seconds, own))):
            if all(map(self.complete, part)):
                submitted |= {run: _done() for run in part}
            else:
                watches = [self.live.watch(str(run)) for run in part]
                submitted |= dict.fromkeys(part, self.executor.submit(self._task(part), partial(_told, watches)))
        return submitted

    def complete(self, run: Run) -> bool:
        """Whether a run is complete."""
        return self.place(run).complete.is_file()

    def place(self, run: Run) -> RunFolder:
        """Where a run's files are, or will be."""
        return RunFolder(run_folder(self.folder, run))

    def _task(self, part: Sequence[Run]) -> Task:
        folders = tuple(run_folder(self.folder, run) for run in part)
        task = run_task(tuple(run.key for run in part), folders, tuple(map(self.sweep.rule, part)))
        return task.to_plain(self.common)

    def _measure(self, student: str, batch_size: int, file: Path) -> None:
        task = StackingTask(student, batch_size, str(file)).to_plain(self.common)
        self.executor.submit(task, lambda *_: None).result()

    def _seconds(self, run: Run) -> float:
        """About how long a run takes, in any unit: its operations, and what a step costs whatever its size."""
        whole = 1 + STEP / run.student.parameters(len(vocabulary()))
        return whole * run_flops(self.sweep.study, run)


def _told(watches: Sequence[Report], done: int, total: int) -> None:
    for watch in watches:
        watch(done, total)


def _done() -> Future[None]:
    future: Future[None] = Future()
    future.set_result(None)
    return future
