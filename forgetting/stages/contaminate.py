"""One contamination run: a student, an arm and two seeds become ledger rows at every dose; always resumable."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning
from torch import Tensor

from forgetting import losses, seeds
from forgetting.analysis.early_stop import Rule
from forgetting.batching import Encoded, encode
from forgetting.contracts import Model, Report
from forgetting.evaluation.bench import EXCHANGE, Bench
from forgetting.evaluation.looks import Looks
from forgetting.evaluation.probe import remembered
from forgetting.evaluation.recorder import Recorder
from forgetting.models.checkpoint import load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.natural.chat import check_template
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.spec import Optimiser
from forgetting.stages import distil, rate_matching
from forgetting.stages.intervene import intervene
from forgetting.study.fingerprints import fingerprint, run_form
from forgetting.study.run import Run
from forgetting.study.study import Study
from forgetting.training import devices
from forgetting.training.checkpoints import (
    RunCheckpoint,
    Snapshots,
    last,
    own_generators,
    read,
    restore_generators,
    tidy,
)
from forgetting.training.fit import Progress, device, fit, silent
from forgetting.training.module import FitModule
from forgetting.training.plan import MixPlan, mixed
from forgetting.training.sharded_checkpoints import Durable, ShardedSnapshots, last_sharded
from forgetting.training.stops import IntervalEvaluation
from forgetting.training.stopwatch import Stopwatch


def contaminate(
    study: Study,
    run: Run,
    folder: Path,
    store: Store,
    report: Report = silent,
    why: str = "",
    rule: Rule | None = None,
    bench: Bench | None = None,
) -> None:
    """Carry a run out, or on from its last durable checkpoint; nothing is done if it is complete.

    ``why`` is noted: what kept a run from a stack. ``rule`` may end it early, and the marker then says at which dose.
    ``bench`` is what the runs before left known; a run without one measures on its own.

    The files are those of ``records.RunFolder``. Equal specs give equal files, interrupted or not, on one machine.
    """
    if RunFolder(folder).complete.is_file():
        tidy(RunFolder(folder).checkpoint, study.spec.keep)
        return
    with nullcontext(bench) if bench else Bench() as own, own_generators(seeds.integer(run.seed, "generators")):
        _contaminate(study, run, RunFolder(folder), store, own, report, why, rule)


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to be measured and trained."""

    study: Study
    run: Run
    folder: RunFolder
    mark: str
    model: HuggingFaceModel
    memory: Any  # what its mitigation keeps of the student
    plan: MixPlan
    stops: dict[int, int]
    recorder: Recorder
    encoded: Encoded
    optimiser: Optimiser
    matched: rate_matching.Matched | None
    looks: Looks

    def checkpoint(self, path: Path) -> RunCheckpoint | None:
        """The checkpoint in that file, if it is of this run and no row before it is missing."""
        if not path.is_file():
            return None
        found = read(path)
        if not found.verified:
            self.recorder.unverified.add(path.name)
        earlier = {dose for step, dose in self.stops.items() if step < found.step}
        return found if found.fingerprint == self.mark and earlier <= set(self.folder.doses()) else None

    def sharded_checkpoint(self) -> Durable | None:
        """The checkpoint in shards to go on from, if it is this run's and every dose up to it has its rows."""
        found = last_sharded(self.folder.checkpoint)
        if found is None or found.fingerprint != self.mark:
            return None
        earlier = {dose for step, dose in self.stops.items() if step <= found.step}
        return found if earlier <= set(self.folder.doses()) else None

    def kept(self) -> dict[str, Tensor]:
        """What the steps so far have changed in the mitigation's memory."""
        return self.run.arm.mitigation.kept(self.memory)

    def restore_kept(self, checkpoint: RunCheckpoint) -> None:
        """Put back what ``kept`` was when the checkpoint was made."""
        for name, tensor in self.kept().items():
            tensor.copy_(checkpoint.kept[name])

    def start(self, first: int, student: Model) -> None:
        """Drop rows beyond the step, and measure there unless it was."""
        self.recorder.start_at(self.stops[first])
        if self.stops[first] not in self.folder.doses():
            self.looks.measure(self.stops[first], student)


def prepared(
    study: Study, run: Run, folder: RunFolder, store: Store, bench: Bench, report: Report, watch: Stopwatch
) -> Prepared:
    """Everything that a run needs, made anew or taken from the store."""
    arm, leading, spread = run.arm, _leading(study), _spread(study)
    own, matched = rate_matching.optimiser(study, run.student, arm, store)  # its pilots before this run's own models
    home = distil.student(study, run.student, run.distillation_seed, store)
    model = load(home)
    if not spread:  # where they are spread, Lightning lays them out
        model.network.to(device(study.spec.machine))
    columns, against = _columns(run, model), arm.mitigation
    memory = None if against.at_once else against.prepare(model, remembered(study, against, run.seed))
    plan = mixed(
        arm.contamination, study.original, share=arm.share(), doses=run.doses,
        batch_size=study.spec.fine_tuning.batch_size, seed=seeds.integer(run.seed, "stream"),
        samples=lambda rng: against.samples(model, memory, study.original, rng),
    )  # fmt: skip
    check_template(plan.samples, model.tokenizer, run.student.name)
    stops = plan.stops(run.doses)
    evaluator = bench.evaluator(study, home, arm.contamination, folder)
    if not spread:
        evaluator.base.network.to(device(study.spec.machine))
    recorder = Recorder(folder, columns, study.benchmarks, watch, arm.contamination.short_name())
    encoded = encode(plan.samples, model.tokenizer)
    model.check_texts(encoded.tokens_PT)
    looks = Looks(
        study, folder, evaluator, recorder, plan, stops, encoded, report, leading, spread,
        lambda student: against.at_look(student, memory),
    )  # fmt: skip
    mark = fingerprint(run_form(study, run))
    return Prepared(study, run, folder, mark, model, memory, plan, stops, recorder, encoded, own, matched, looks)


def _contaminate(
    study: Study, run: Run, folder: RunFolder, store: Store, bench: Bench, report: Report, why: str, rule: Rule | None
) -> None:
    watch = Stopwatch()
    with watch("preparing"):
        made = prepared(study, run, folder, store, bench, report, watch)
    arm, model, plan, stops, measure = run.arm, made.model, made.plan, made.stops, made.looks.measure
    leading = _leading(study)
    if arm.at_once and not leading:
        return
    if arm.at_once:
        made.recorder.start_at(-1)
        measure(0, model)
        home = distil.student(study, run.student, run.distillation_seed, store, report, arm)
        taught = load(home)
        taught.network.to(device(study.spec.machine))
        measure(max(stops.values()), taught)
        made.recorder.finish(made.mark)
        return
    first, state, sharded = 0, None, None
    if _spread(study):
        sharded = made.sharded_checkpoint()
        first = sharded.step if sharded else 0
    elif checkpoint := made.checkpoint(last(folder.checkpoint)):
        model.load_state(checkpoint.weights)
        made.restore_kept(checkpoint)
        restore_generators(checkpoint.generators)
        first, state = checkpoint.step, checkpoint.optimiser
    if leading:
        made.start(first, model)
    snapshots: Snapshots | ShardedSnapshots = (
        ShardedSnapshots(folder.checkpoint, model, stops, made.mark, watch, leading=leading, start=sharded)
        if _spread(study)
        else Snapshots(
            folder.checkpoint, model, stops, made.mark, watch, keep_all=study.spec.keep == "all", kept=made.kept
        )
    )
    looks = IntervalEvaluation(stops, lambda dose: measure(dose, model))
    ending = Ending(rule, folder.scores, stops)
    module = FitModule(
        model,
        lambda batch: losses.cross_entropy(model, batch),
        made.optimiser,
        total_steps=plan.steps,
        first_step=first,
        mitigation=arm.mitigation,
        memory=made.memory,
        optimiser_state=state,
    )
    try:
        with watch("training"):
            stream = plan.starting_at(first)
            if ending.dose() is None:  # a run that was killed after its last look is not trained on
                fit(
                    module,
                    lambda: (made.encoded.batch(i, plan.batch_size) for i in stream),
                    [looks, snapshots, Progress(report, plan.steps), ending] if leading or _spread(study) else [],
                    study.spec.machine,
                )
    finally:
        snapshots.close()
    if leading:
        if ending.dose() is None:
            intervene(study, run, made.looks, made.looks.evaluator.base, model)
        made.recorder.finish(made.mark, why=why, pruned_at=ending.dose(), matched=made.matched)
        tidy(folder.checkpoint, study.spec.keep)
        shutil.rmtree(folder.folder / EXCHANGE, ignore_errors=True)


class Ending(lightning.Callback):
    """Ends the fit after the look at which the rule says so; no rule, no end. The run must be on one device."""

    def __init__(self, rule: Rule | None, scores: Path, stops: Mapping[int, int]) -> None:
        self.rule, self.scores, self.stops = rule, scores, stops

    def dose(self) -> int | None:
        """The dose at which the rule ends the run, from the looks on disk."""
        return self.rule.ended(self.scores, len(self.stops) - 1) if self.rule is not None else None

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """The look at this step, if there was one, has been written."""
        assert isinstance(pl_module, FitModule)
        if self.rule is not None and pl_module.step in self.stops and self.dose() is not None:
            trainer.should_stop = True


def _leading(study: Study) -> bool:
    """Whether this process writes; the others train along."""
    return devices.rank(study.spec.machine) == 0


def _spread(study: Study) -> bool:
    """Whether the weights lie spread over devices, so that all processes measure together."""
    return study.spec.machine.devices > 1 and study.spec.machine.strategy == "fsdp"


def _columns(run: Run, model: HuggingFaceModel) -> dict[str, Any]:
    return {**dataclasses.asdict(run.key), "capacity": model.capacity}
