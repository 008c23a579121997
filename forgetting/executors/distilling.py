"""The models of a study, its teacher and students, made by an executor unless the store has them."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from forgetting.errors import require
from forgetting.evaluation.loggers import check_loggers
from forgetting.executors import of_workers
from forgetting.executors.contract import Executor, Task
from forgetting.executors.own_data import check_own
from forgetting.executors.stacking import Measure, Stack, student_stacks
from forgetting.executors.tasks import StackingTask, StudentsTask, StudentTask, StudyTask, TeacherTask, common_of
from forgetting.models.ladder import Architecture
from forgetting.record.places import check_plain
from forgetting.record.store import Store
from forgetting.spec import Spec
from forgetting.study.fingerprints import fingerprint, student_form, teacher_form
from forgetting.study.study import Study, construct

if TYPE_CHECKING:
    from forgetting.executors.bars import Bars


def distil_ladder(
    spec: Spec,
    *,
    store: Path | None = None,
    export: Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> list[Path]:
    """Make the teacher and every student that the study needs, and give their folders in the store.

    With ``export`` each is also copied there, as the package ships its reference students: an ordinary Hugging Face
    checkpoint in bfloat16 with a manifest. Students that are only shipped are made anew in the store.
    """
    from forgetting.executors.bars import Bars

    study, own = construct(spec), Store(store, reference=None)
    rule = "a checkpoint, since without a teacher checkpoints are taken as they are"
    require(study.teacher is not None, "ladder.teacher", rule, spec.ladder.teacher)
    own.clean()
    students = [fingerprint(student_form(study, r.student, r.distillation_seed)) for r in study.runs()]
    trained = [fingerprint(teacher_form(study))] if isinstance(study.teacher, Architecture) else []
    marks = list(dict.fromkeys([*trained, *students]))
    with of_workers(workers) as executor, Bars(quiet) as bars:
        shipped = [mark for mark in marks if own.find(mark) is None and Store(own.root).find(mark) is not None]
        if shipped:
            bars.say(f"{len(shipped)} of {len(marks)} models ship with the package; they are made anew in {own.root}")
        make_students(study, own, executor, bars, {}, shipped=False)
    homes = [home for mark in marks if (home := own.find(mark)) is not None]
    if export is not None:
        for home in homes:
            check_plain(export / home.name)
            shutil.copytree(home, export / home.name, copy_function=_anew, dirs_exist_ok=True)
    return homes


def _anew(source: str, target: str) -> None:
    """Copy a file into a new one: what is there already may have other names elsewhere."""
    Path(target).unlink(missing_ok=True)
    shutil.copy2(source, target)


def make_students(
    study: Study,
    store: Store,
    executor: Executor,
    bars: Bars,
    made: dict[str, float],
    *,
    shipped: bool = True,
    stack: Stack = "off",
) -> None:
    """Teach and distil what the store lacks; ``shipped`` says whether the students of the package count."""
    common = common_of(study, store, shipped=shipped)
    missing = missing_students(study, store)
    if not missing:
        return
    trained = isinstance(study.teacher, Architecture)
    if trained and store.find(fingerprint(teacher_form(study))) is None:
        carry_out_batch(executor, bars, "teacher", [TeacherTask()], common, made)
    plain = {(one.student, one.distillation_seed) for one in missing if not one.arm}
    measure = measuring(study, store, executor, bars, made)
    parts = student_stacks(study, stack, store.root, measure, bars.say, lambda *one: one in plain)
    together = {(name, seed): part for name, part in parts if len(part) > 1 for seed in part}
    tasks: list[StudyTask] = []
    for one in missing:
        part = None if one.arm else together.get((one.student, one.distillation_seed))
        task = one if part is None else StudentsTask(one.student, part)
        if task not in tasks:
            tasks.append(task)
    carry_out_batch(executor, bars, "distillation", tasks, common, made)


def measuring(study: Study, store: Store, executor: Executor, bars: Bars, made: dict[str, float]) -> Measure:
    """What has a worker measure what stacking a rung gives, into a file."""

    def measure(student: str, batch_size: int, file: Path) -> None:
        task = StackingTask(student, batch_size, str(file))
        carry_out_batch(executor, bars, "stacking", [task], common_of(study, store), made)

    return measure


def check_machine(study: Study, executor: Executor) -> None:
    """``UsageError`` where a study's own data or checkpoints are of no use, or where this machine lacks what training
    asks for: a C++ compiler, or a device.

    What other machines of the executor have is seen when they train.
    """
    machine, own = study.spec.machine, os.environ.get("CXX", "g++")
    check_own(study)
    if executor.elsewhere:
        return
    found = not machine.compile or any(map(shutil.which, (own, "clang++")))
    require(found, "machine.compile", f"false on a machine without a C++ compiler ({own!r} was not found)", True)
    if machine.device != "auto":
        from forgetting.training.devices import check_there

        check_there(machine)
    if machine.graphs:
        from forgetting.models.graphs import check_device

        check_device()
    check_loggers(machine.loggers, study.spec.name)


def missing_students(study: Study, store: Store) -> list[StudentTask]:
    """Students that some run needs and the store lacks, the largest first."""
    wanted: dict[str, StudentTask] = {}
    for run in reversed(study.runs()) if study.teacher else ():
        for also in (None, run.arm) if run.arm.at_once else (None,):
            mark = fingerprint(student_form(study, run.student, run.distillation_seed, also))
            if store.find(mark) is None:
                wanted[mark] = StudentTask(run.student.name, run.distillation_seed, also.name if also else None)
    return list(wanted.values())


def carry_out_batch(
    executor: Executor, bars: Bars, stage: str, tasks: Sequence[StudyTask], common: Task, made: dict[str, float]
) -> None:
    """Carry tasks out under a bar, and add their wall seconds to those of the stage."""
    begin = time.perf_counter()
    if tasks:
        with bars.stage(stage, [task.title for task in tasks]) as watch:
            executor.run([task.to_plain(common) for task in tasks], watch)
    made[stage] = made.get(stage, 0.0) + time.perf_counter() - begin
