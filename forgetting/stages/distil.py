"""Teacher and students: trained through the one fit, from nothing or from a checkpoint, and stored by the fingerprint
of what made them; a teacher that is a checkpoint is only loaded.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
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
from forgetting.stages.train import Training, train
from forgetting.study.arms import Arm
from forgetting.study.fingerprints import fingerprint, settings_form, student_form, teacher_form
from forgetting.study.students import Student
from forgetting.study.study import DistillationStage, Study
from forgetting.training.checkpoints import own_generators
from forgetting.training.fit import device, silent
from forgetting.training.plan import MixPlan, epochs, is_held_out
from forgetting.training.stopwatch import Stopwatch
from forgetting.world.tokenizer import tokenizer


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
    return _home(of, home)


def _home(of: Student, folder: Path) -> Home:
    """A student in the store as what it is loaded by: a checkpoint that was distilled further stays a checkpoint."""
    if isinstance(of, Architecture):
        return folder
    verify(folder)  # its tokenizer was stored with the template and the switch that were asked for
    return dataclasses.replace(of, source=str(folder), chat_template="", thinking=None, local=True)


def _teacher(study: Study, store: Store, form: dict[str, Any], mark: str, report: Report) -> Path:
    seed = study.spec.ladder.seed
    assert isinstance(study.teacher, Architecture)
    plan = _plan(study, study.spec.ladder.teaching, seeds.integer(seed, "teaching"))
    model = HuggingFaceModel.create(study.teacher, tokenizer(), seeds.integer(seed, "teacher"))
    encoded = encode(plan.samples, model.tokenizer)

    def batches(stream: MixPlan) -> Iterator[Batch]:
        return (encoded.batch(index, stream.batch_size) for index in stream)

    fit, watch = study.spec.ladder.teaching, Stopwatch()
    training = Training(fit, plan, lambda b: losses.cross_entropy(model, b), batches, store, mark)
    with own_generators(seeds.integer(seed, "teaching", "generators")):
        told = train(model, training, watch, report)
    return _add(study, store, mark, model, {"role": "teacher", "made_from": form, **told}, watch)


@dataclass(frozen=True)
class Lesson:
    """What makes one student in its first stages: its shape, the root of all its randomness, the last one's stream."""

    study: Study
    of: Student
    form: dict[str, Any]
    distillation_seed: int
    also: Arm | None
    stages: int

    @property
    def mark(self) -> str:
        """The student's fingerprint."""
        return fingerprint(self.form)

    @property
    def root(self) -> int:
        """The seed of this stage; the first one's is the student's own."""
        own = seeds.integer(self.study.spec.ladder.seed, "student", self.distillation_seed)
        return own if self.stages == 1 else seeds.integer(own, "stage", self.stages)

    @property
    def stage(self) -> DistillationStage:
        """The last of its stages."""
        return self.study.stages[self.stages - 1]

    def untaught(self, mentor: Mentor) -> HuggingFaceModel:
        """The student before it is taught: the checkpoint, or fresh weights for the words of its teacher."""
        if isinstance(self.of, Checkpoint):
            return load(self.of)
        if self.study.language == "natural":
            return fresh(self.of, mentor.tokenizer, self.root, words=int(mentor.network.config.vocab_size))
        return HuggingFaceModel.create(self.of, tokenizer(), self.root)

    def plan(self) -> MixPlan:
        """The stream laid out."""
        return _plan(self.study, self.stage.fit, self.root, self.also)

    def keep(self, model: HuggingFaceModel, watch: Stopwatch, store: Store, **more: Any) -> Path:
        """Store the student that was taught; ``more`` is for its manifest."""
        return _add(self.study, store, self.mark, model, {"role": "student", "made_from": self.form, **more}, watch)


def lesson(
    study: Study, of: Student, distillation_seed: int, also: Arm | None = None, stages: int | None = None
) -> Lesson:
    """The lesson of the student of a seed, in all stages or in the first so many."""
    count = len(study.stages) if stages is None else stages
    return Lesson(study, of, student_form(study, of, distillation_seed, also, count), distillation_seed, also, count)


def _student(own: Lesson, store: Store, report: Report) -> Path:
    study, method = own.study, own.stage.method
    mentor = mentor_of(teacher(study, store, report), store)
    if own.stages == 1:
        model = own.untaught(mentor)
    else:
        model = load(_home(own.of, _after(own, own.stages - 1, store, report)))
    plan, watch = own.plan(), Stopwatch()

    def batches(stream: MixPlan) -> Iterator[Batch]:
        return method.batches(model, mentor, stream)

    training = Training(
        own.stage.fit, plan, lambda b: method.loss(model, mentor, b), batches, store, own.mark,
        method.keeps_start,
    )  # fmt: skip
    with own_generators(seeds.integer(own.root, "generators")):
        told = train(model, training, watch, report)
    return own.keep(model, watch, store, **told)


def _after(own: Lesson, stages: int, store: Store, report: Report) -> Path:
    """The student after its first stages, a student of its own in the store: all that begin with them share it."""
    earlier = lesson(own.study, own.of, own.distillation_seed, own.also, stages)
    with store.making(earlier.mark) as found:
        return found or _student(earlier, store, report)


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
