"""The fine-tuning of prepared runs as one stack: from the last checkpoint of all to the completion marker of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass

from torch import Tensor

from forgetting import losses
from forgetting.analysis.early_stop import Rule
from forgetting.contracts import Batch, Report
from forgetting.errors import UsageError
from forgetting.evaluation.looks import Looks
from forgetting.models.graphs import check_device
from forgetting.models.stacked import StackedModel
from forgetting.stages.intervene import intervene
from forgetting.stages.prepared_run import Prepared
from forgetting.training.checkpoints import tidy
from forgetting.training.fit import Progress
from forgetting.training.module import FitModule
from forgetting.training.stack import EachItsOwn, ReplicaPlace, fit_stack, last_common, stacked_state
from forgetting.training.stops import Ending, IntervalEvaluation
from forgetting.training.stopwatch import Stopwatch

LOOKS_TOGETHER = ("cuda",)  # devices on which a look reads and decodes all replicas at once; on a CPU it does not pay


class CannotStack(Exception):
    """Why runs are carried out one after another."""


@dataclass
class _Member:
    """A run in a stack. Its model holds the weights, and ``optimiser`` the moments, with which the next fit begins."""

    run: Prepared
    ending: Ending
    optimiser: dict[str, Tensor]


def fine_tune_stack(runs: Sequence[Prepared], rules: Sequence[Rule | None], watch: Stopwatch, report: Report) -> None:
    """One fit after another: each ends where a run does, and the next goes on with the others from there.

    Raises:
        CannotStack: they have to be carried out one after another
    """
    study, plan, stops = runs[0].study, runs[0].plan, runs[0].stops
    if study.spec.machine.graphs:
        check_device()
    if not study.spec.machine.stacks:
        raise CannotStack("stack: only with one device, whole steps, float32 and the machine's other defaults")
    if any(run.plan.bounds.tolist() != plan.bounds.tolist() or run.stops != stops for run in runs):
        raise CannotStack("stack: the runs have different step schedules")
    members = [_Member(run, Ending(rule, run.folder.scores, stops), {}) for run, rule in zip(runs, rules, strict=True)]
    checkpoints = last_common([run.folder.checkpoint for run in runs], [run.checkpoint for run in runs])
    first = checkpoints[0].step if checkpoints else 0
    for member, checkpoint in zip(members, checkpoints, strict=False):
        member.run.model.load_state(checkpoint.weights)
        member.run.restore_kept(checkpoint)
        member.optimiser = checkpoint.optimiser
    stack = _stack(members)
    for number, run in enumerate(runs):
        run.start(first, stack.replica(number))
    while members := _left(members, first, watch):
        if stack.replicas != len(members):
            stack = _stack(members)
        first = _fit(members, stack, first, watch, report)


def _stack(members: Sequence[_Member]) -> StackedModel:
    try:
        return StackedModel([member.run.model for member in members])
    except UsageError as error:
        raise CannotStack(str(error)) from error


def _left(members: Sequence[_Member], step: int, watch: Stopwatch) -> list[_Member]:
    """Who goes on after a step. Those who do not are complete, and take their share of the wall seconds along."""
    if step == members[0].run.plan.steps:
        left, gone = list[_Member](), list(members)
    else:
        left = [member for member in members if member.ending.dose() is None]
        gone = [member for member in members if member.ending.dose() is not None]
    for member in gone:
        run = member.run
        if member.ending.dose() is None:
            intervene(run.study, run.run, run.looks, run.looks.evaluator.base, run.model)
        run.recorder.finish(
            run.mark, stack=len(members), pruned_at=member.ending.dose(), matched=run.matched, notes=run.notes()
        )
    for member in gone:
        tidy(member.run.folder.checkpoint, member.run.study.spec.keep)
    watch.keep(len(left) / len(members))
    return left


def _fit(members: Sequence[_Member], stack: StackedModel, first: int, watch: Stopwatch, report: Report) -> int:
    """Train a stack from step ``first`` until a run ends, and give that step; the members have what it left."""
    runs, replicas = [member.run for member in members], tuple(map(stack.replica, range(len(members))))
    study, plan, stops = runs[0].study, runs[0].plan, runs[0].stops

    def measure(dose: int) -> None:
        if stack.device.type in LOOKS_TOGETHER:
            Looks.measure_together([run.looks for run in runs], dose, stack, replicas)
            return
        for run, replica in zip(runs, replicas, strict=True):
            run.looks.measure(dose, replica)

    def streams() -> list[Iterator[Batch]]:
        return [_batches(run, first) for run in runs]

    module = FitModule(
        stack,
        lambda batch: losses.cross_entropy(stack, batch),
        [run.optimiser for run in runs],
        total_steps=plan.steps,
        first_step=first,
        mitigation=EachItsOwn(tuple(run.run.arm.mitigation for run in runs), replicas),
        memory=[run.memory for run in runs],
        optimiser_state=stacked_state([member.optimiser for member in members]),
    )
    places = [ReplicaPlace(run.folder.checkpoint, run.mark, run.kept) for run in runs]
    with stack.replayed() if study.spec.machine.graphs else nullcontext():
        fit_stack(
            module, replicas, streams, places, stops, watch,
            before=[IntervalEvaluation(stops, measure)],
            after=[Progress(report, plan.steps), *(member.ending for member in members)],
            keep_all=study.spec.keep == "all", machine=study.spec.machine.plain,
        )  # fmt: skip
    for number, member in enumerate(members):
        member.run.model.load_state(replicas[number].state())
        member.optimiser = {name: t.clone() for name, t in module.optimiser_tensors(number).items()}
    return module.step


def _batches(run: Prepared, first: int) -> Iterator[Batch]:
    return (run.encoded.batch(index, run.plan.batch_size) for index in run.plan.starting_at(first))
