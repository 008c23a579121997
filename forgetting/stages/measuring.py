"""What measures a run: its student and stream in; its looks out, with their evaluator, recorder and clock."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

from forgetting.batching import encode
from forgetting.contracts import Report
from forgetting.evaluation.bench import Bench
from forgetting.evaluation.loggers import opened_loggers
from forgetting.evaluation.looks import Looks
from forgetting.evaluation.recorder import Recorder
from forgetting.models.checkpoint import Home
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.files import RunFolder
from forgetting.study.run import Run
from forgetting.study.study import Study
from forgetting.training import devices
from forgetting.training.fit import place
from forgetting.training.plan import MixPlan
from forgetting.training.stopwatch import Stopwatch


def looks_of(
    study: Study,
    run: Run,
    folder: RunFolder,
    bench: Bench,
    home: Home,
    model: HuggingFaceModel,
    memory: Any,
    plan: MixPlan,
    report: Report,
    watch: Stopwatch,
) -> Looks:
    """The looks of a run whose student is at ``home`` before its first step, on the device where it is trained."""
    arm, machine = run.arm, study.spec.machine
    evaluator = bench.evaluator(study, home, arm.contamination, folder)
    place(evaluator.base.network, machine)
    columns = {**dataclasses.asdict(run.key), "capacity": model.capacity}
    recorder = Recorder(
        folder, columns, study.benchmarks, watch, arm.contamination.short_name(),
        partial(opened_loggers, machine.loggers, study.spec.name, columns, folder.folder),
    )  # fmt: skip
    encoded = encode(plan.samples, model.tokenizer)
    model.check_texts(encoded.tokens_PT)
    return Looks(
        study, folder, evaluator, recorder, plan, plan.stops(run.doses), encoded, report,
        devices.leads(machine), devices.spreads(machine), lambda student: arm.mitigation.at_look(student, memory),
    )  # fmt: skip
