"""Students: distilled through the one fit, from nothing or from a checkpoint, and stored by the fingerprint of what
made them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from forgetting.contracts import Report
from forgetting.models.checkpoint import Checkpoint, Home, load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.record.store import Store, verify
from forgetting.stages.lesson import Lesson, lesson
from forgetting.stages.mentor import mentor_of
from forgetting.stages.teach import teacher
from forgetting.stages.train import Training, train
from forgetting.study.arms import Arm
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.training.fit import silent
from forgetting.training.stopwatch import Stopwatch


def student(
    study: Study,
    of: Student,
    distillation_seed: int,
    store: Store,
    report: Report = silent,
    also: Arm | None = None,
) -> Home:
    """Where a student is: from the store, or distilled and stored. It learns the contamination of the arm ``also`` too.

    Without a teacher it is a checkpoint, taken as it is. A checkpoint that was distilled further is one in the store.
    """
    if study.teacher is None:
        assert isinstance(of, Checkpoint)
        return of
    own = lesson(study, of, distillation_seed, also)
    with store.making(own.mark) as found:
        home = found or _student(own, store, report)
    return _home(of, home)


def _home(of: Student, folder: Path) -> Home:
    """A student in the store as what it is loaded by: a checkpoint that was distilled further stays a checkpoint."""
    if isinstance(of, Architecture):
        return folder
    verify(folder)  # its tokenizer was stored with the template and the switch that were asked for
    return dataclasses.replace(of, source=str(folder), chat_template="", thinking=None, local=True)


def _student(own: Lesson, store: Store, report: Report) -> Path:
    study, method = own.study, own.stage.method
    mentor = mentor_of(_teacher_of(own, store, report), store, study.spec.machine)
    if own.stages == 1:
        model = own.untaught(mentor)
    else:
        model = load(_home(own.of, _after(own, own.stages - 1, store, report)))
    training = Training(
        own.stage.fit, own.plan(), lambda b: method.loss(model, mentor, b),
        lambda stream: method.batches(model, mentor, stream),
        store, own.mark, own.generators, method.keeps_start, study.spec.machine.plain,
    )  # fmt: skip
    watch = Stopwatch()
    begin = {name: weight.clone() for name, weight in model.state().items()} if own.stages > 1 else {}
    told = train(model, training, watch, report)
    return own.keep(model, watch, store, **told, **({"moved": _moved(begin, model)} if begin else {}))


def _teacher_of(own: Lesson, store: Store, report: Report) -> Home:
    """Who teaches a stage: the study's teacher, or another student of the same trunk, which is made first."""
    if not own.stage.taught_by:
        return teacher(own.study, store, report)
    by = own.study.taught_in(own.stage.taught_by, own.of)
    return student(own.study, by, own.distillation_seed, store, report)


def _moved(begin: Mapping[str, Tensor], model: HuggingFaceModel) -> float:
    """How far a stage has taken the weights, as a share of their length before it."""
    end = model.state()
    apart = sum(float((end[name].double() - was.double()).square().sum()) for name, was in begin.items())
    return round(math.sqrt(apart / sum(float(was.double().square().sum()) for was in begin.values())), 6)


def _after(own: Lesson, stages: int, store: Store, report: Report) -> Path:
    """The student after its first stages, a student of its own in the store: all that begin with them share it."""
    earlier = lesson(own.study, own.of, own.distillation_seed, own.also, stages)
    with store.making(earlier.mark) as found:
        return found or _student(earlier, store, report)
