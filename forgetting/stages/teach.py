"""The teacher of a study: trained from nothing through the one fit, and stored by the fingerprint of what made it; one
that is a checkpoint is only named.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from forgetting import losses, seeds
from forgetting.batching import encode
from forgetting.contracts import Report
from forgetting.models.checkpoint import Checkpoint, Home
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.store import Store
from forgetting.stages.lesson_plan import lesson_plan
from forgetting.stages.storing import add
from forgetting.stages.train import Training, train
from forgetting.study.fingerprints import fingerprint, teacher_form
from forgetting.study.study import Study
from forgetting.training.fit import silent
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


def _teacher(study: Study, store: Store, form: dict[str, Any], mark: str, report: Report) -> Path:
    seed = study.spec.ladder.seed
    assert study.teacher is not None and not isinstance(study.teacher, Checkpoint)
    plan = lesson_plan(study, study.spec.ladder.teaching, seeds.integer(seed, "teaching"))
    model = HuggingFaceModel.create(study.teacher, tokenizer(), seeds.integer(seed, "teacher"))
    encoded = encode(plan.samples, model.tokenizer)
    training = Training(
        study.spec.ladder.teaching, plan, lambda b: losses.cross_entropy(model, b),
        lambda stream: (encoded.batch(index, stream.batch_size) for index in stream),
        store, mark, seeds.integer(seed, "teaching", "generators"), machine=study.spec.machine.plain,
    )  # fmt: skip
    watch = Stopwatch()
    told = train(model, training, watch, report)
    return add(study, store, mark, model, {"role": "teacher", "made_from": form, **told}, watch)
