"""What must be known of a model before pilots: how its skills stand, whether it writes, what a sample costs."""

from __future__ import annotations

from itertools import islice

from forgetting import seeds
from forgetting.analysis import metrics
from forgetting.contracts import Model
from forgetting.own_model.advice import Standing
from forgetting.own_model.given import COUNTED, parameters_of, sizes_of
from forgetting.study.study import Study


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


def operations(study: Study) -> float:
    """Floating-point operations of a sample of the new task in plain tuning: 6 N a token (``study.estimates``)."""
    drawn = list(islice(study.arms[0].contamination.samples(seeds.generator(0, "lengths")), COUNTED))
    return 6.0 * parameters_of(study) * sizes_of(study, drawn).tokens
