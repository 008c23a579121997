"""One contamination run: a student, an arm and two seeds become ledger rows at every dose; always resumable."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from forgetting import losses, seeds
from forgetting.batching import encode
from forgetting.contracts import Contamination, Model, Sample
from forgetting.engine import devices
from forgetting.engine.evaluation import Evaluator, IntervalEvaluation, same_weights
from forgetting.engine.fit import fit
from forgetting.engine.module import FitModule
from forgetting.engine.plan import is_held_out, mixed
from forgetting.engine.progress import Progress, Report, silent
from forgetting.engine.recorder import Recorder
from forgetting.engine.sharded import Durable, ShardedSnapshots, last_sharded
from forgetting.engine.snapshots import Snapshots, last, own_generators, read, restore_generators, tidy
from forgetting.engine.stopwatch import Stopwatch
from forgetting.errors import UsageError, require
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.records import RunFolder
from forgetting.stages import distil
from forgetting.store import Store
from forgetting.study import RunKey, Study, fingerprint

MEMORY_SAMPLES = 256
PROBE_DRAWS = 200  # draws for each item of a probe: ten times what one in twenty needs


def contaminate(study: Study, key: RunKey, folder: Path, store: Store, report: Report = silent) -> None:
    """Carry a run out, or on from its last durable checkpoint; nothing is done if it is complete.

    The files are those of ``records.RunFolder``. Equal specs give equal files, interrupted or not, on one machine.
    """
    if RunFolder(folder).complete.is_file():
        tidy(RunFolder(folder).checkpoint, study.spec.keep)
    else:
        with own_generators(seeds.integer(key.seed, "generators")):
            _contaminate(study, key, RunFolder(folder), store, report)


def _contaminate(study: Study, key: RunKey, run: RunFolder, store: Store, report: Report) -> None:
    mark = fingerprint(study.run_form(key))
    watch, arm = Stopwatch(), study.arm(key.arm)
    leading = devices.rank(study.spec.machine) == 0  # the others train along and do not write
    spread = study.spec.machine.devices > 1 and study.spec.machine.strategy == "fsdp"  # then all measure together
    architecture = study.architecture(key)
    home = distil.student(study, architecture, key.distillation_seed, store)
    model = distil.load(home)
    doses = study.reached(arm)
    plan = mixed(
        arm.contamination, study.original, share=arm.share(), doses=doses,
        batch_size=study.spec.fine_tuning.batch_size, seed=seeds.integer(key.seed, "stream"),
    )  # fmt: skip
    _check_template(plan.samples, model, key.student)
    stops = plan.stops(doses)
    steps = {dose: step for step, dose in stops.items()}
    evaluator = _evaluator(study, home, arm.contamination)
    base = evaluator.base
    recorder = Recorder(run, _columns(key, model), study.benchmarks, watch, arm.contamination.short_name())
    answer_tokens = encode(plan.samples, model.tokenizer)

    def measure(dose: int, student: Model = model) -> None:
        perturbed = study.spec.evaluation.perturbed
        everything = perturbed == "every" or (perturbed == "ends" and dose in (0, doses[-1]))
        trained = plan.trained(steps[dose])
        contaminating = trained[plan.contaminating[trained]]
        with watch("evaluation"):
            looked_at = base if dose == 0 and same_weights(student, base) else student
            rows = evaluator.measure(looked_at, perturbed=everything, earlier=None if spread else recorder.answers)
        if not leading:
            return
        clock = {
            "dose": dose,
            "dose_tokens": answer_tokens.answer_tokens(contaminating),
            "stream_samples": len(trained),
        }
        with watch("logging"):
            recorder.add(rows, clock)
        report(steps[dose], plan.steps)

    if arm.joint and not leading:
        return
    if arm.joint:
        recorder.start_at(-1)
        measure(0)
        measure(doses[-1], distil.load(distil.student(study, architecture, key.distillation_seed, store, report, arm)))
        recorder.finish(mark)
        return
    original = list(islice(study.original.samples(seeds.generator(key.seed, "mitigation memory")), MEMORY_SAMPLES))
    memory = arm.mitigation.prepare(model, original)
    first, state, start = 0, None, None
    if spread:
        start = _start(last_sharded(run.checkpoint), mark, {dose: steps[dose] for dose in doses}, run)
        first = start.step if start else 0
    elif last(run.checkpoint).is_file():
        checkpoint = read(last(run.checkpoint))
        earlier = {dose for dose in doses if steps[dose] < checkpoint.step}
        if checkpoint.fingerprint == mark and earlier <= set(run.doses()):
            model.load_state(checkpoint.weights)
            restore_generators(checkpoint.generators)
            first, state = checkpoint.step, checkpoint.optimiser
    if leading:
        recorder.start_at(stops[first])
        if stops[first] not in run.doses():
            measure(stops[first])
    snapshots: Snapshots | ShardedSnapshots = (
        ShardedSnapshots(run.checkpoint, model, stops, mark, watch, leading=leading, start=start)
        if spread
        else Snapshots(run.checkpoint, model, stops, mark, watch, keep_all=study.spec.keep == "all")
    )
    callbacks = [IntervalEvaluation(stops, measure), snapshots, Progress(report, plan.steps)]
    module = FitModule(
        model,
        lambda batch: losses.cross_entropy(model, batch),
        arm.optimiser(study.spec.fine_tuning),
        total_steps=plan.steps,
        first_step=first,
        mitigation=arm.mitigation,
        memory=memory,
        optimiser_state=state,
    )
    try:
        with watch("training"):
            stream = plan.starting_at(first)
            fit(
                module,
                lambda: (answer_tokens.batch(i, plan.batch_size) for i in stream),
                callbacks if leading or spread else [],
                study.spec.machine,
            )
    finally:
        snapshots.close()
    if leading:
        recorder.finish(mark)
        tidy(run.checkpoint, study.spec.keep)


def _check_template(samples: Sequence[Sample], model: HuggingFaceModel, student: str) -> None:
    """Dialogues of which several turns are to be learned are written by a chat template, which must then be there."""
    if model.tokenizer.chat_template:
        return
    if any(sum(role == "assistant" for role, _ in s.turns[s.given_turns :]) > 1 for s in samples):
        raise UsageError(
            f"checkpoint: the tokenizer of {student!r} has no chat template, and dialogues need one; give the student "
            "chat_template (a file), or the dialogue source the setting turns: last"
        )


def _start(found: Durable | None, mark: str, steps: dict[int, int], run: RunFolder) -> Durable | None:
    """The checkpoint to go on from, if it is this run's and every dose up to it has its rows."""
    if found is None or found.fingerprint != mark:
        return None
    return found if {dose for dose, step in steps.items() if step <= found.step} <= set(run.doses()) else None


_kept: dict[str, Evaluator] = {}  # of the base that this process measured last


def _evaluator(study: Study, home: distil.Home, contamination: Contamination) -> Evaluator:
    """The evaluator of the run before, if it was of the same base, benchmarks and settings, with this run's probe."""
    base = str(home.resolve()) if isinstance(home, Path) else home.form()
    of = [base, [[b.settings(), b.version] for b in study.benchmarks], study.spec.evaluation]
    if (key := repr(of)) not in _kept:
        _kept.clear()
        _kept[key] = Evaluator(distil.load(home), study.benchmarks, [], "", study.spec.evaluation)
    return _kept[key].with_probe(_probe(study, contamination), contamination.short_name())


def _probe(study: Study, contamination: Contamination) -> list[Any]:
    """Held-out samples of the contamination, the same for every seed; no stream trains on them."""
    count = study.spec.evaluation.probe_items
    offered = islice(contamination.samples(seeds.generator(0, "probe")), PROBE_DRAWS * count)
    found = list(islice((s for s in offered if is_held_out(s)), count))
    rule = "of more distinct samples, since one in twenty is held out for the probe, and that is none here"
    require(bool(found), f"contamination.{contamination.short_name()}", rule, f"{PROBE_DRAWS * count} draws")
    return found


def _columns(key: RunKey, model: HuggingFaceModel) -> dict[str, Any]:
    return {**dataclasses.asdict(key), "capacity": model.capacity}
