"""Contamination runs of one shape and one step schedule, side by side as one stack; each with its own folder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch import Tensor

from forgetting import losses, seeds
from forgetting.contracts import Batch
from forgetting.engine.evaluation import IntervalEvaluation
from forgetting.engine.fit import fit
from forgetting.engine.module import FitModule
from forgetting.engine.progress import Progress, Report, silent
from forgetting.engine.replicas import EachItsOwn, stacked_batch
from forgetting.engine.snapshots import (
    Checkpoint,
    Snapshots,
    SnapshotWriter,
    last,
    own_generators,
    previous,
    tidy,
)
from forgetting.engine.stopwatch import Stopwatch
from forgetting.errors import UsageError
from forgetting.models.stacked import StackedModel
from forgetting.records import RunFolder
from forgetting.spec import Machine
from forgetting.stages.contaminate import Prepared, contaminate, prepared
from forgetting.stages.drawn import remembered
from forgetting.store import Store
from forgetting.study import RunKey, Study


def contaminate_stack(
    study: Study, keys: Sequence[RunKey], folders: Sequence[Path], store: Store, report: Report = silent
) -> None:
    """Carry runs out together, or on from the last checkpoint that all of them have.

    The same runs stacked again give the same files, interrupted or not. Where the model cannot be stacked they are
    carried out one after another, and their completion markers say why.
    """
    for folder in filter(done, folders):
        tidy(RunFolder(folder).checkpoint, study.spec.keep)
    open_runs = [(key, folder) for key, folder in zip(keys, folders, strict=True) if not done(folder)]
    if len(open_runs) < len(keys):  # a stack ends at once: what is left has its last step, or stands alone
        keys, folders = [key for key, _ in open_runs], [folder for _, folder in open_runs]
    if not keys:
        return
    with own_generators(seeds.integer(keys[0].seed, "generators")):
        watch = Stopwatch()
        runs = [
            prepared(study, key, RunFolder(folder), store, report, watch)
            for key, folder in zip(keys, folders, strict=True)
        ]
        try:
            _together(runs, keys, watch, report)
        except CannotStack as reason:
            for key, folder in zip(keys, folders, strict=True):
                contaminate(study, key, folder, store, report, why=str(reason))


class CannotStack(Exception):
    """Why runs are carried out one after another."""


def done(folder: Path) -> bool:
    """Whether a run is complete."""
    return RunFolder(folder).complete.is_file()


def _together(runs: Sequence[Prepared], keys: Sequence[RunKey], watch: Stopwatch, report: Report) -> None:
    study, plan, stops = runs[0].study, runs[0].plan, runs[0].stops
    if study.spec.machine != Machine():
        raise CannotStack("stack: only with the machine's default settings (one device, whole steps, float32)")
    if any(run.plan.bounds.tolist() != plan.bounds.tolist() or run.stops != stops for run in runs):
        raise CannotStack("stack: the runs have different step schedules")
    memory = [r.arm.mitigation.prepare(r.model, remembered(study, key.seed)) for r, key in zip(runs, keys, strict=True)]
    checkpoints = _common(runs)
    first = checkpoints[0].step if checkpoints else 0
    for run, checkpoint in zip(runs, checkpoints, strict=False):
        run.model.load_state(checkpoint.weights)
    try:
        stack = StackedModel([run.model for run in runs])
    except UsageError as error:
        raise CannotStack(str(error)) from error
    replicas = tuple(stack.replica(number) for number in range(len(runs)))
    for run, replica in zip(runs, replicas, strict=True):
        run.start(first, replica)

    def measure(dose: int) -> None:
        for run, replica in zip(runs, replicas, strict=True):
            run.measure(dose, replica)

    def batches() -> Iterator[Batch]:
        for steps in zip(*(run.plan.starting_at(first) for run in runs), strict=True):
            each = [run.encoded.batch(index, plan.batch_size) for run, index in zip(runs, steps, strict=True)]
            yield stacked_batch(each, stack.tokenizer.pad_token_id)

    writer = SnapshotWriter(most_queued=len(runs))
    snapshots = [
        Snapshots(
            run.run.checkpoint, replicas[number], stops, run.mark, watch, keep_all=study.spec.keep == "all",
            replica=number, writer=writer,
        )
        for number, run in enumerate(runs)
    ]  # fmt: skip
    module = FitModule(
        stack,
        lambda batch: losses.cross_entropy(stack, batch),
        [run.optimiser for run in runs],
        total_steps=plan.steps,
        first_step=first,
        mitigation=EachItsOwn(tuple(run.arm.mitigation for run in runs), replicas),
        memory=memory,
        optimiser_state=_stacked([c.optimiser for c in checkpoints]),
    )
    try:
        with watch("training"):
            fit(module, batches, [IntervalEvaluation(stops, measure), *snapshots, Progress(report, plan.steps)])
    finally:
        snapshots[0].close()
    for run in runs:
        run.recorder.finish(run.mark, stack=len(runs), matched=run.matched)
    for run in runs:
        tidy(run.run.checkpoint, study.spec.keep)


def _common(runs: Sequence[Prepared]) -> list[Checkpoint]:
    """Checkpoints of all runs at the last step that all of them have one of; empty if there is none.

    What a run has beyond that step is dropped, so that its next snapshot has the common one before it.
    """
    found: list[dict[int, Checkpoint]] = []
    for run in runs:
        both = [run.checkpoint(place(run.run.checkpoint)) for place in (previous, last)]
        found.append({checkpoint.step: checkpoint for checkpoint in both if checkpoint})
    steps = set.intersection(*(set(own) for own in found))
    if not steps:
        return []
    for run, own in zip(runs, found, strict=True):
        if max(own) > max(steps):
            os.replace(previous(run.run.checkpoint), last(run.run.checkpoint))
    return [own[max(steps)] for own in found]


def _stacked(states: Sequence[dict[str, Tensor]]) -> dict[str, Tensor] | None:
    return {name: torch.stack([state[name] for state in states]) for name in states[0]} if states else None
