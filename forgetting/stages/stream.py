"""The stream of a run or a pilot: an arm, its doses, a seed and a student in; what is kept of it, and the mix, out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from forgetting import seeds
from forgetting.evaluation.probe import remembered
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.study.arms import Arm
from forgetting.study.study import Study
from forgetting.training.plan import MixPlan, mixed


def laid_out(study: Study, arm: Arm, doses: Sequence[int], seed: int, model: HuggingFaceModel) -> tuple[Any, MixPlan]:
    """What the arm's mitigation keeps of the student before its first step, and the plan, of which it may be a part."""
    against = arm.mitigation
    memory = None if against.at_once else against.prepare(model, remembered(study, against, seed))
    plan = mixed(
        arm.contamination, study.original, share=arm.share(), doses=doses,
        batch_size=study.spec.fine_tuning.batch_size, seed=seeds.integer(seed, "stream"),
        samples=lambda rng: against.samples(model, memory, study.original, rng),
    )  # fmt: skip
    return memory, plan
