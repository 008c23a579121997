"""One contamination run: a student, an arm and two seeds become ledger rows at every dose; always resumable."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning

from forgetting import losses, seeds
from forgetting.analysis.early_stop import Rule
from forgetting.batching import Encoded, encode
from forgetting.contracts import Model, Report, Sample
from forgetting.errors import UsageError
from forgetting.evaluation.evaluator import IntervalEvaluation
from forgetting.evaluation.looks import EXCHANGE, Looks, evaluator_of
from forgetting.evaluation.probe import remembered
from forgetting.evaluation.recorder import Recorder
from forgetting.models.checkpoint import load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.spec import Optimiser
from forgetting.stages import distil, rate_matching
from forgetting.study.arms import Arm
from forgetting.study.study import RunKey, Study, fingerprint
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
from forgetting.training.stopwatch import Stopwatch


def contaminate(
    study: Study,
    key: RunKey,
    folder: Path,
    store: Store,
    report: Report = silent,
    why: str = "",
    rule: Rule | None = None,
) -> None:
    """Carry a run out, or on from its last durable checkpoint; nothing is done if it is complete.

    ``why`` is noted: what kept a run from a stack. ``rule`` may end it early, and the marker then says at which dose.

    The files are those of ``records.RunFolder``. Equal specs give equal files, interrupted or not, on one machine.
    """
    if RunFolder(folder).complete.is_file():
        tidy(RunFolder(folder).checkpoint, study.spec.keep)
    else:
        with own_generators(seeds.integer(key.seed, "generators")):
            _contaminate(study, key, RunFolder(folder), store, report, why, rule)


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to be measured and trained."""

    study: Study
    run: RunFolder
    mark: str
    arm: Arm
    model: HuggingFaceModel
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
        earlier = {dose for step, dose in self.stops.items() if step < found.step}
        return found if found.fingerprint == self.mark and earlier <= set(self.run.doses()) else None

    def sharded_checkpoint(self) -> Durable | None:
        """The checkpoint in shards to go on from, if it is this run's and every dose up to it has its rows."""
        found = last_sharded(self.run.checkpoint)
        if found is None or found.fingerprint != self.mark:
            return None
        earlier = {dose for step, dose in self.stops.items() if step <= found.step}
        return found if earlier <= set(self.run.doses()) else None

    def start(self, first: int, student: Model) -> None:
        """Drop rows beyond the step, and measure there unless it was."""
        self.recorder.start_at(self.stops[first])
        if self.stops[first] not in self.run.doses():
            self.looks.measure(self.stops[first], student)


def prepared(study: Study, key: RunKey, run: RunFolder, store: Store, report: Report, watch: Stopwatch) -> Prepared:
    """Everything that a run needs, made anew or taken from the store."""
    arm, leading, spread = study.arm(key.arm), _leading(study), _spread(study)
    architecture = study.architecture(key)
    own, matched = rate_matching.optimiser(study, architecture, arm, store)  # its pilots before this run's own models
    home = distil.student(study, architecture, key.distillation_seed, store)
    model = load(home)
    doses = study.reached(arm)
    plan = mixed(
        arm.contamination, study.original, share=arm.share(), doses=doses,
        batch_size=study.spec.fine_tuning.batch_size, seed=seeds.integer(key.seed, "stream"),
    )  # fmt: skip
    _check_template(plan.samples, model, key.student)
    stops = plan.stops(doses)
    evaluator = evaluator_of(study, home, arm.contamination, run)
    if not spread:  # where they are spread, Lightning lays them out
        where = device(study.spec.machine)
        for one in (model, evaluator.base):
            one.network.to(where)
    recorder = Recorder(run, _columns(key, model), study.benchmarks, watch, arm.contamination.short_name())
    encoded = encode(plan.samples, model.tokenizer)
    model.check_texts(encoded.tokens_PT)
    looks = Looks(study, run, evaluator, recorder, plan, stops, encoded, report, leading, spread)
    mark = fingerprint(study.run_form(key))
    return Prepared(study, run, mark, arm, model, plan, stops, recorder, encoded, own, matched, looks)


def _contaminate(
    study: Study, key: RunKey, run: RunFolder, store: Store, report: Report, why: str, rule: Rule | None
) -> None:
    watch = Stopwatch()
    with watch("preparing"):
        made = prepared(study, key, run, store, report, watch)
    arm, model, plan, stops, measure = made.arm, made.model, made.plan, made.stops, made.looks.measure
    leading = _leading(study)
    if arm.joint and not leading:
        return
    if arm.joint:
        made.recorder.start_at(-1)
        measure(0, model)
        home = distil.student(study, study.architecture(key), key.distillation_seed, store, report, arm)
        taught = load(home)
        taught.network.to(device(study.spec.machine))
        measure(max(stops.values()), taught)
        made.recorder.finish(made.mark)
        return
    memory = arm.mitigation.prepare(model, remembered(study, key.seed))
    first, state, sharded = 0, None, None
    if _spread(study):
        sharded = made.sharded_checkpoint()
        first = sharded.step if sharded else 0
    elif checkpoint := made.checkpoint(last(run.checkpoint)):
        model.load_state(checkpoint.weights)
        restore_generators(checkpoint.generators)
        first, state = checkpoint.step, checkpoint.optimiser
    if leading:
        made.start(first, model)
    snapshots: Snapshots | ShardedSnapshots = (
        ShardedSnapshots(run.checkpoint, model, stops, made.mark, watch, leading=leading, start=sharded)
        if _spread(study)
        else Snapshots(run.checkpoint, model, stops, made.mark, watch, keep_all=study.spec.keep == "all")
    )
    looks = IntervalEvaluation(stops, lambda dose: measure(dose, model))
    ending = Ending(rule, run.scores, stops)
    module = FitModule(
        model,
        lambda batch: losses.cross_entropy(model, batch),
        made.optimiser,
        total_steps=plan.steps,
        first_step=first,
        mitigation=arm.mitigation,
        memory=memory,
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
        made.recorder.finish(made.mark, why=why, pruned_at=ending.dose(), matched=made.matched)
        tidy(run.checkpoint, study.spec.keep)
        shutil.rmtree(run.folder / EXCHANGE, ignore_errors=True)


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


def _check_template(samples: Sequence[Sample], model: HuggingFaceModel, student: str) -> None:
    """Dialogues of which several turns are to be learned are written by a chat template, which must then be there."""
    if model.tokenizer.chat_template:
        return
    if any(sum(role == "assistant" for role, _ in s.turns[s.given_turns :]) > 1 for s in samples):
        raise UsageError(
            f"checkpoint: the tokenizer of {student!r} has no chat template, and dialogues need one; give the student "
            "chat_template (a file), or the dialogue source the setting turns: last"
        )


def _columns(key: RunKey, model: HuggingFaceModel) -> dict[str, Any]:
    return {**dataclasses.asdict(key), "capacity": model.capacity}
