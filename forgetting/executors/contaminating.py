"""The runs of a study, carried out by an executor unless they are complete, with what there is to say of them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from forgetting.executors.contract import Executor
from forgetting.executors.distilling import carry_out_batch, measuring
from forgetting.executors.stacking import Stack, stacks
from forgetting.executors.tasks import StudyTask, common_of, run_task
from forgetting.record.files import RunFolder
from forgetting.record.run_files import read_marker
from forgetting.record.store import Store
from forgetting.stages.folder import noise_floors, run_folder
from forgetting.study.run import Run
from forgetting.study.study import Study

if TYPE_CHECKING:
    from forgetting.executors.bars import Bars


def carry_out_runs(
    study: Study, folder: Path, store: Store, executor: Executor, bars: Bars, seconds: dict[str, float], *, stack: Stack
) -> None:
    """Every run that is not complete, in ``folder``; the wall seconds that it took go into ``seconds``.

    The largest go first, so that no worker waits for one at the end.
    """

    def place(run: Run) -> Path:
        return run_folder(folder, run)

    def complete(run: Run) -> bool:
        return RunFolder(place(run)).complete.is_file()

    measure = measuring(study, store, executor, bars, seconds)
    groups = stacks(study, stack, store.root, measure, bars.say, complete)
    todo = [group for group in groups if not all(map(complete, group))]
    todo.sort(key=lambda group: -study.students.index(group[0].student))
    tasks: list[StudyTask] = [run_task(tuple(r.key for r in group), tuple(map(place, group))) for group in todo]
    carry_out_batch(executor, bars, "contamination", tasks, common_of(study, store), seconds)
    for name, noise in noise_floors(folder, study.runs()).items():
        bars.say(f"{name}: {noise['text']}")
    for benchmark in study.benchmarks:
        for reason, count in benchmark.left_out().items():
            bars.say(f"{benchmark.short_name()}: {count} rows are not asked: {reason}")
    for group in filter(lambda g: len(g) > 1, todo):
        if why := read_marker(RunFolder(place(group[0]))).get("not_stacked"):
            bars.say(f"{why}; the runs of {group[0].student.name} were carried out one after another")
