"""Teacher and students: trained through the one fit, from nothing or from a checkpoint, and stored by the fingerprint
of what made them; a teacher that is a checkpoint is only loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from forgetting import losses, seeds
from forgetting.batching import encode
from forgetting.contracts import Batch, Model, Report
from forgetting.evaluation.evaluator import Evaluator
from forgetting.models.checkpoint import Checkpoint, Home, load
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.models.scratch import fresh
from forgetting.record.seals import file_hash
from forgetting.record.store import Store, verify
from forgetting.spec import Fit
from forgetting.stages.teach import Mentor
from forgetting.study.arms import Arm
from forgetting.study.fingerprints import fingerprint, settings_form, student_form, teacher_form
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.training import checkpoints
from forgetting.training.checkpoints import Snapshots, last, own_generators, restore_generators
from forgetting.training.fit import Progress, device, fit, silent
from forgetting.training.module import FitModule
from forgetting.training.plan import MixPlan, epochs, is_held_out
from forgetting.training.stopwatch import Stopwatch
from forgetting.world.tokenizer import tokenizer

CHECKPOINT_STEPS = 500


def teacher(study: Study, store: Store, report: Report = silent) -> Home:
    """The teacher: a checkpoint, from the store, or trained on the original distribution and stored."""
    if isinstance(study.teacher, Checkpoint):
        return study.teacher
    form = teacher_form(study)
    mark = fingerprint(form)
    with store.making(mark) as found:
        return found or _teacher(study, store, form, mark, report)


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
    if isinstance(of, Architecture):
        return home
    verify(home)  # its tokenizer was stored with the template and the switch that were asked for
    return dataclasses.replace(of, source=str(home), chat_template="", thinking=None, local=True)


def _teacher(study: Study, store: Store, form: dict[str, Any], mark: str, report: Report) -> Path:
    seed = study.spec.ladder.seed
    assert isinstance(study.teacher, Architecture)
    plan = _plan(study, study.spec.ladder.teaching, seeds.integer(seed, "teaching"))
    model = HuggingFaceModel.create(study.teacher, tokenizer(), seeds.integer(seed, "teacher"))
    encoded = encode(plan.samples, model.tokenizer)

    def batches(stream: MixPlan) -> Iterator[Batch]:
        return (encoded.batch(index, stream.batch_size) for index in stream)

    with own_generators(seeds.integer(seed, "teaching", "generators")):
        watch = _train(
            study.spec.ladder.teaching,
            model,
            lambda b: losses.cross_entropy(model, b),
            plan,
            batches,
            store,
            mark,
            report,
        )
    return _add(study, store, mark, model, {"role": "teacher", "made_from": form}, watch)


@dataclass(frozen=True)
class Lesson:
    """What makes one student: its shape, the root of all its randomness, and the stream that it learns."""

    study: Study
    of: Student
    form: dict[str, Any]
    root: int
    also: Arm | None

    @property
    def mark(self) -> str:
        """The student's fingerprint."""
        return fingerprint(self.form)

    def untaught(self, mentor: Mentor) -> HuggingFaceModel:
        """The student before it is taught: the checkpoint, or fresh weights for the words of its teacher."""
        if isinstance(self.of, Checkpoint):
            return load(self.of)
        if self.study.language == "natural":
            return fresh(self.of, mentor.tokenizer, self.root, words=int(mentor.network.config.vocab_size))
        return HuggingFaceModel.create(self.of, tokenizer(), self.root)

    def plan(self) -> MixPlan:
        """The stream laid out."""
        return _plan(self.study, self.study.spec.ladder.distilling, self.root, self.also)

    def keep(self, model: HuggingFaceModel, watch: Stopwatch, store: Store, stack: int = 1) -> Path:
        """Store the student that was taught, ``stack`` of them together."""
        about = {"role": "student", "made_from": self.form, **({"stack": stack} if stack > 1 else {})}
        return _add(self.study, store, self.mark, model, about, watch)


def lesson(study: Study, of: Student, distillation_seed: int, also: Arm | None = None) -> Lesson:
    """The lesson of the student of a seed."""
    root = seeds.integer(study.spec.ladder.seed, "student", distillation_seed)
    return Lesson(study, of, student_form(study, of, distillation_seed, also), root, also)


def _student(own: Lesson, store: Store, report: Report) -> Path:
    study = own.study
    mentor = mentor_of(teacher(study, store, report), store)
    model, plan = own.untaught(mentor), own.plan()
    distilling, method = study.spec.ladder.distilling, study.distillation

    def batches(stream: MixPlan) -> Iterator[Batch]:
        return method.batches(model, mentor, stream)

    with own_generators(seeds.integer(own.root, "generators")):
        watch = _train(
            distilling, model, lambda b: method.loss(model, mentor, b), plan, batches, store, own.mark, report
        )
    return own.keep(model, watch, store)


def mentor_of(home: Home, store: Store) -> Mentor:
    """The teacher, whose answers are kept in the store."""
    mark = fingerprint(settings_form(home)) if isinstance(home, Checkpoint) else file_hash(home / "model.safetensors")
    mentor = Mentor(load(home), mark, store.root / "answers")
    mentor.network.to(device())
    return mentor


def _plan(study: Study, training: Fit, root: int, also: Arm | None = None) -> MixPlan:
    extra = []
    if also is not None:
        last_dose = study.reached(also)[-1]
        offered = also.contamination.samples(seeds.generator(root, "joint"))
        extra = list(islice((s for s in offered if not is_held_out(s)), last_dose))
    return epochs(
        study.original,
        samples=training.samples + len(extra),
        pool=training.pool,
        batch_size=training.batch_size,
        seed=root,
        extra=extra,
    )


def _train(
    training: Fit,
    model: HuggingFaceModel,
    loss: Callable[[Batch], torch.Tensor],
    plan: MixPlan,
    batches: Callable[[MixPlan], Iterator[Batch]],
    store: Store,
    mark: str,
    report: Report,
) -> Stopwatch:
    """Fit from the last durable checkpoint of an interrupted attempt, or from the start."""
    work, watch, first, state = store.work(mark), Stopwatch(), 0, None
    if checkpoint := checkpoint_of(mark, last(work)):
        model.load_state(checkpoint.weights)
        restore_generators(checkpoint.generators)
        first, state = checkpoint.step, checkpoint.optimiser
    stops = {step: step for step in range(CHECKPOINT_STEPS, plan.steps, CHECKPOINT_STEPS)}
    kept = Snapshots(work, model, stops, mark, watch)
    module = FitModule(model, loss, training, total_steps=plan.steps, first_step=first, optimiser_state=state)
    try:
        with watch("training"):
            fit(module, lambda: batches(plan.starting_at(first)), [kept, Progress(report, plan.steps)])
    finally:
        kept.close()
    return watch


def checkpoint_of(mark: str, file: Path) -> checkpoints.RunCheckpoint | None:
    """The checkpoint in a file, if it is of the student or teacher with that fingerprint."""
    found = checkpoints.read(file) if file.is_file() else None
    return found if found is not None and found.fingerprint == mark else None


def _add(
    study: Study, store: Store, mark: str, model: HuggingFaceModel, about: dict[str, Any], watch: Stopwatch
) -> Path:
    """Round the weights to bfloat16, as real checkpoints are, measure the rounded model, and store it."""

    def fill(folder: Path) -> dict[str, Any]:
        model.network.to(torch.bfloat16)
        model.save(folder)
        with watch("evaluation"):
            stored = HuggingFaceModel.load(folder)
            stored.network.to(device())
            accuracy = accuracies(study, stored)
        wall = {name: round(seconds, 1) for name, seconds in watch.wall_seconds.items()}
        sizes = {"capacity": model.capacity, "capacity_non_embedding": model.capacity_non_embedding}
        return {**about, **sizes, "accuracy": accuracy, "wall_seconds": wall}

    return store.add(mark, fill)


def accuracies(study: Study, model: Model) -> dict[str, dict[str, float]]:
    """Accuracy on the unperturbed test items: by benchmark, in all and by depth."""
    ledger = Evaluator(model, study.benchmarks, [], "", study.spec.evaluation).measure(model, perturbed=False)
    ledger["right"] = ledger["verdict"] == "right"
    out: dict[str, dict[str, float]] = {}
    for name, rows in ledger.groupby("benchmark"):
        by_depth = {f"depth {d}": round(float(r), 4) for d, r in rows.groupby("depth")["right"].mean().items()}
        out[str(name)] = {"all": round(float(rows["right"].mean()), 4), **by_depth}
    return out
