"""What is done to a finished student before it is measured again; its rows stand beside those of its last dose."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from forgetting import seeds
from forgetting.contracts import Model
from forgetting.evaluation.looks import Looks, Variant
from forgetting.study.run import Run
from forgetting.study.study import Study


def intervene(study: Study, run: Run, looks: Looks, base: Model, tuned: Model) -> None:
    """Measure every variant of the finished student of a run, unless that was done."""
    if study.interventions and not looks.run.interventions.is_file():
        looks.measure_variants(run.doses[-1], tuned, _variants(study, run, base, tuned))


def _variants(study: Study, run: Run, base: Model, tuned: Model) -> Iterator[Variant]:
    for one in study.interventions:
        drawn = study.original.samples(seeds.generator(run.seed, "intervention memory"))
        for label, weights in one.variants(base, tuned, list(islice(drawn, one.memory_samples()))):
            yield label, weights, one.answers_otherwise(label)
