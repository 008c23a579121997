"""A pilot: a student, an arm and one constant rate in, its validation NLL on the new task afterwards, out."""

from __future__ import annotations

import dataclasses
from typing import Any

from forgetting import losses, seeds
from forgetting.analysis.scores import PROBE
from forgetting.batching import encode
from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.probe import probe
from forgetting.models.checkpoint import load
from forgetting.record.store import Store
from forgetting.stages import distil
from forgetting.stages.stream import laid_out
from forgetting.study.arms import Arm
from forgetting.study.students import Student
from forgetting.study.study import Study
from forgetting.training.fit import device, fit
from forgetting.training.module import FitModule

PILOT_SEED = seeds.integer(0, "pilots")  # no run's


def piloted(study: Study, student: Student, arm: Arm, rate: float, store: Store) -> float:
    """Its NLL per token of the new task at the dose at which learning is compared."""
    home, dose = distil.student(study, student, study.pilot_seed, store), study.pilot_dose(arm)
    base, model = load(home), load(home)
    evaluator = Evaluator(
        base, [], probe(study, arm.contamination), arm.contamination.short_name(), study.spec.evaluation
    )
    memory, plan = laid_out(study, arm, (0, dose), PILOT_SEED, model)
    encoded = encode(plan.samples, model.tokenizer)
    module = FitModule(
        model,
        lambda batch: losses.cross_entropy(model, batch),
        dataclasses.replace(study.spec.fine_tuning, learning_rate=rate, rate_policy="constant"),
        total_steps=plan.steps,
        mitigation=arm.mitigation,
        memory=memory,
    )
    fit(
        module,
        lambda: (encoded.batch(i, plan.batch_size) for i in plan.starting_at(0)),
        machine=study.spec.machine,
    )
    for one in (base, model):  # a fit leaves its student on the CPU
        one.network.to(device(study.spec.machine))
    rows: Any = evaluator.measure(model, perturbed=False).query("benchmark == @PROBE", local_dict={"PROBE": PROBE})
    return float(rows["nll_sum"].sum(skipna=False) / rows["gold_tokens"].sum())
