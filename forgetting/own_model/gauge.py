"""What must be known of a model before pilots: how its skills stand, whether it writes, what a sample costs."""

from __future__ import annotations

import time
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from forgetting import seeds
from forgetting.analysis import metrics
from forgetting.contracts import Model
from forgetting.own_model.advice import Standing
from forgetting.own_model.allowance import Speed
from forgetting.own_model.given import COUNTED, parameters_of, sizes_of
from forgetting.study.study import Study

if TYPE_CHECKING:
    from forgetting.report.result import Result


def standings(study: Study, model: Model) -> dict[str, Standing]:
    """By skill how the model answers the study's benchmarks as it is. A skill of several has the benchmark's name."""
    from forgetting.evaluation.evaluator import Evaluator

    rows = Evaluator(model, study.benchmarks, [], "", study.spec.evaluation).measure(model, perturbed=False)
    found, skills = dict[str, Standing](), [b.skill for b in study.benchmarks]
    for benchmark in study.benchmarks:
        name = benchmark.skill if skills.count(benchmark.skill) == 1 else benchmark.short_name()
        own = rows[rows["benchmark"] == benchmark.short_name()]
        right = float((own["verdict"] == "right").mean())
        learned = bool(metrics.learned(right, benchmark.chance))
        found[name] = Standing(right, benchmark.chance, len(own), learned)
    return found


def writes(study: Study, model: Model) -> bool:
    """Whether the model, asked to begin by itself, writes anything that can be replayed; true where no arm asks it."""
    for arm in study.arms:
        if arm.mitigation.short_name() == "self_replay":
            written = arm.mitigation.samples(model, [], study.original, seeds.generator(0, "first look"))
            return next(written, None) is not None
    return True


def pace(study: Study, model: Model) -> Speed:
    """Wall seconds of a sample of plain tuning, by the second of two steps without their update, and of a look."""
    import torch

    from forgetting import losses
    from forgetting.batching import encode
    from forgetting.training.module import BatchData

    begin = time.monotonic()
    standings(study, model)
    look = time.monotonic() - begin
    size = max(1, study.spec.fine_tuning.batch_size // study.spec.machine.micro_batches)
    drawn = list(islice(study.arms[0].contamination.samples(seeds.generator(0, "lengths")), size))
    batch = encode(drawn, model.tokenizer).batch(np.arange(len(drawn)), len(drawn))
    batch = BatchData(lambda: iter(()), 0).transfer_batch_to_device(batch, model.device, 0)
    for _ in range(2):
        begin = time.monotonic()
        torch.autograd.backward(losses.cross_entropy(model, batch).sum())
        sum(float(p.grad.sum()) for _, p in model.named_parameters() if p.grad is not None)  # waits for the device
        model.network.zero_grad()
    return Speed((time.monotonic() - begin) / len(drawn), look)


def operations(study: Study) -> float:
    """Floating-point operations of a sample of the new task in plain tuning: 6 N a token (``study.estimates``)."""
    drawn = list(islice(study.arms[0].contamination.samples(seeds.generator(0, "lengths")), COUNTED))
    return 6.0 * parameters_of(study) * sizes_of(study, drawn).tokens


def timed(result: Result, samples: float) -> tuple[Speed, float]:
    """The speed of pilots that took so many samples of plain tuning, and their wall seconds."""
    seconds = {name: float(value) for name, value in result.record["seconds"].items()}
    inside = {name: value for name, value in seconds.items() if name.startswith("runs: ")}
    whole, training = sum(seconds.values()) - sum(inside.values()), inside["runs: training"]
    others = max(whole - training, 0.0) / len(result.arm_names)
    return Speed(max(training, 1e-3) / samples, others), whole
