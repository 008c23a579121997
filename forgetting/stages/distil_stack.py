"""Students of one shape that are distilled side by side as one stack; each is stored as it would be alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from functools import partial

from forgetting.contracts import Batch, Report
from forgetting.models.stacked import StackedModel
from forgetting.record.store import Store
from forgetting.stages.distil import student
from forgetting.stages.lesson import Lesson, lesson
from forgetting.stages.mentor import mentor_of
from forgetting.stages.teach import teacher
from forgetting.stages.train import CHECKPOINT_STEPS, Notes, checkpoint_of
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.training.checkpoints import own_generators
from forgetting.training.fit import Progress, silent
from forgetting.training.module import FitModule
from forgetting.training.stack import ReplicaPlace, fit_stack, last_common, stacked_state
from forgetting.training.stopwatch import Stopwatch


def distil_stack(
    study: Study, of: Student, distillation_seeds: Sequence[int], store: Store, report: Report = silent
) -> None:
    """Distil together the students of some seeds that the store lacks, or go on from the last checkpoint of all.

    The same students together again are the same, interrupted or not. One that is left is distilled alone.
    ``UsageError`` where the model cannot be stacked, which is known before (``stacking.measure``).
    """
    teacher(study, store, report)
    with ExitStack() as held:  # in one order always, so that no two makers wait for each other
        lessons = [lesson(study, of, seed) for seed in sorted(distillation_seeds)]
        missing = [one for one in lessons if held.enter_context(store.making(one.mark)) is None]
        if len(missing) > 1:
            _together(missing, store, report)
    for seed in distillation_seeds:
        student(study, of, seed, store, report)


def _together(lessons: Sequence[Lesson], store: Store, report: Report) -> None:
    study = lessons[0].study
    distilling, method = study.stages[0].fit, study.stages[0].method
    mentor = mentor_of(teacher(study, store, report), store, study.spec.machine)
    models, plans = [one.untaught(mentor) for one in lessons], [one.plan() for one in lessons]
    places = [ReplicaPlace(store.work(one.mark), one.mark) for one in lessons]
    checkpoints = last_common([p.folder for p in places], [partial(checkpoint_of, p.fingerprint) for p in places])
    for model, checkpoint in zip(models, checkpoints, strict=False):
        model.load_state(checkpoint.weights)
    stack = StackedModel(models)
    first, steps, watch = checkpoints[0].step if checkpoints else 0, plans[0].steps, Stopwatch()
    replicas = [stack.replica(number) for number in range(len(models))]
    module = FitModule(
        stack, lambda batch: method.loss(stack, mentor, batch), distilling, total_steps=steps, first_step=first,
        optimiser_state=stacked_state([c.optimiser for c in checkpoints]) if checkpoints else None,
    )  # fmt: skip

    # The last step too, so that students which are left when others are stored already are not trained again.
    stops = {step: step for step in (*range(CHECKPOINT_STEPS, steps, CHECKPOINT_STEPS), steps)}
    notes = [Notes(place.folder / "notes.json", first, stops) for place in places]

    def streams() -> list[Iterator[Batch]]:
        ready = zip(models, plans, notes, strict=True)
        return [own.of(method.batches(model, mentor, plan.starting_at(first))) for model, plan, own in ready]

    with own_generators(lessons[0].generators):
        fit_stack(
            module,
            replicas,
            streams,
            places,
            stops,
            watch,
            after=[Progress(report, steps)],
            machine=study.spec.machine.plain,
        )
    watch.keep(1 / len(lessons))
    for one, model, replica, taken in zip(lessons, models, replicas, notes, strict=True):
        model.load_state(replica.state())
        own = Stopwatch()
        own.wall_seconds |= watch.wall_seconds
        own.processor_seconds |= watch.processor_seconds
        one.keep(model, own, store, stack=len(lessons), **taken.summary())
