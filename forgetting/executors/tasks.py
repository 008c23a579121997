"""What an executor may be given: one class a task, with its words, its title, and how it is carried out.

A task travels as a plain value: ``to_plain`` gives it, a worker makes the task of it again by ``task_of``.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, cast

from forgetting.contracts import Report
from forgetting.executors.contract import Task
from forgetting.record.store import REFERENCE, Store
from forgetting.spec import from_plain
from forgetting.study.run import RunKey
from forgetting.study.study import Study, construct

if TYPE_CHECKING:
    from forgetting.analysis.early_stop import Rule
    from forgetting.evaluation.bench import Bench
    from forgetting.models.ladder import Architecture
    from forgetting.study.students import Student


@dataclass(frozen=True)
class StudyTask(ABC):
    """A piece of a study's work. Its fields are plain values, and with ``make`` the words of the task."""

    make: ClassVar[str]
    ranked: ClassVar[bool] = False  # whether a study of several devices has as many processes carry it out

    @property
    @abstractmethod
    def title(self) -> str:
        """What is worked on, in a few words."""

    @abstractmethod
    def carry_out(self, study: Study, store: Store, bench: Bench, report: Report) -> None:
        """Do it, in this process; ``bench`` is what it keeps from run to run."""

    def to_plain(self, common: Task) -> Task:
        """The task as a plain value; ``common`` is what the tasks of a study share."""
        return {**common, "make": self.make, **dataclasses.asdict(self)}


def common_of(study: Study, store: Store, *, shipped: bool = True) -> Task:
    """What the tasks of a study share; ``shipped`` says whether the students of the package count."""
    return {"spec": dataclasses.asdict(study.spec), "store": str(store.root), "shipped": shipped}


@dataclass(frozen=True)
class TeacherTask(StudyTask):
    """Train the teacher."""

    make = "teacher"

    @property
    def title(self) -> str:
        """The one teacher."""
        return "teacher"

    def carry_out(self, study: Study, store: Store, bench: Bench, report: Report) -> None:
        """From the store, or trained and stored."""
        from forgetting.stages.teach import teacher

        teacher(study, store, report)


@dataclass(frozen=True)
class StudentTask(StudyTask):
    """Distil a student; with ``arm`` one that learns that arm's contamination too."""

    make = "student"
    student: str
    distillation_seed: int
    arm: str | None = None

    @property
    def title(self) -> str:
        """The student, and the arm that it learns."""
        return f"{self.student} {self.arm or ''}".strip()

    def carry_out(self, study: Study, store: Store, bench: Bench, report: Report) -> None:
        """From the store, or distilled and stored."""
        from forgetting.stages.distil import student

        also = study.arm(self.arm) if self.arm else None
        student(study, _student(study, self.student), self.distillation_seed, store, report, also)


@dataclass(frozen=True)
class StudentsTask(StudyTask):
    """Distil the students of several seeds as one stack."""

    make = "students"
    student: str
    distillation_seeds: tuple[int, ...]

    @property
    def title(self) -> str:
        """The rung, and how many share its stack."""
        return f"{self.student} stack of {len(self.distillation_seeds)}"

    def carry_out(self, study: Study, store: Store, bench: Bench, report: Report) -> None:
        """Those that the store lacks."""
        from forgetting.stages.distil_stack import distil_stack

        distil_stack(study, _student(study, self.student), self.distillation_seeds, store, report)


@dataclass(frozen=True)
class RunTask(StudyTask):
    """Carry out one run in its folder; ``rule`` may end it early."""

    make = "run"
    ranked = True
    key: dict[str, Any]
    folder: str
    rule: dict[str, Any] | None = None

    @property
    def title(self) -> str:
        """The run's name in words."""
        return f"{self.key['student']} {self.key['arm']} seed {self.key['seed']}"

    def carry_out(self, study: Study, store: Store, bench: Bench, report: Report) -> None:
        """From its last checkpoint, if it has one."""
        from forgetting.stages.contaminate import contaminate

        run = study.run(RunKey(**self.key))
        contaminate(study, run, Path(self.folder), store, report, rule=_rule(self.rule), bench=bench)


@dataclass(frozen=True)
class StackTask(StudyTask):
    """Carry out several runs as one stack, each in its folder and with its rule."""

    make = "stack"
    ranked = True
    keys: tuple[dict[str, Any], ...]
    folders: tuple[str, ...]
    rules: tuple[dict[str, Any] | None, ...] = ()

    @property
    def title(self) -> str:
        """The rung, and how many share its stack."""
        return f"{self.keys[0]['student']} stack of {len(self.keys)}"

    def carry_out(self, study: Study, store: Store, bench: Bench, report: Report) -> None:
        """From the last checkpoint that all have."""
        from forgetting.stages.contaminate_stack import contaminate_stack

        runs, folders = [study.run(RunKey(**key)) for key in self.keys], [Path(folder) for folder in self.folders]
        contaminate_stack(study, runs, folders, store, report, [_rule(rule) for rule in self.rules], bench)


@dataclass(frozen=True)
class StackingTask(StudyTask):
    """Measure what stacking a rung gives on this machine, into a file."""

    make = "stacking"
    ranked = True
    student: str
    batch_size: int
    file: str

    @property
    def title(self) -> str:
        """The rung."""
        return self.student

    def carry_out(self, study: Study, store: Store, bench: Bench, report: Report) -> None:
        """Steps of one model and of several together."""
        from forgetting.record.seals import write_sealed
        from forgetting.training import stack_gain

        student = cast("Architecture", _student(study, self.student))  # only rungs are stacked
        write_sealed(Path(self.file), stack_gain.measure(study, student, self.batch_size))


KINDS: dict[str, Callable[..., StudyTask]] = {
    kind.make: kind for kind in (TeacherTask, StudentTask, StudentsTask, RunTask, StackTask, StackingTask)
}


def run_task(keys: tuple[RunKey, ...], folders: tuple[Path, ...], rules: tuple[Rule | None, ...] = ()) -> StudyTask:
    """The task of one run, or of several as a stack."""
    names, places = tuple(dataclasses.asdict(key) for key in keys), tuple(map(str, folders))
    ends = tuple(rule.to_plain() if rule else None for rule in rules)
    return StackTask(names, places, ends) if len(keys) > 1 else RunTask(names[0], places[0], *ends)


def task_of(task: Task) -> tuple[StudyTask, Study, Store]:
    """The task of a plain value, with the study and the store that it is about."""
    words = {name: value for name, value in task.items() if name not in ("make", "spec", "store", "shipped")}
    store = Store(Path(task["store"]), reference=REFERENCE if task.get("shipped", True) else None)
    return KINDS[task["make"]](**words), construct(from_plain(task["spec"])), store


def _student(study: Study, name: str) -> Student:
    return next(student for student in study.students if student.name == name)


def _rule(plain: dict[str, Any] | None) -> Rule | None:
    from forgetting.analysis.early_stop import Rule

    return Rule.of(plain) if plain else None
