"""The run of an arm whose student learned old and new in its distillation: measured at both ends, and not trained."""

from __future__ import annotations

from forgetting.contracts import Report
from forgetting.models.checkpoint import load
from forgetting.record.store import Store
from forgetting.stages import distil
from forgetting.stages.prepared_run import Prepared
from forgetting.training.fit import device


def measure_both_ends(made: Prepared, store: Store, report: Report) -> None:
    """Measure the student without and the one with the contamination, and complete the run."""
    if not made.looks.leading:
        return
    study, run = made.study, made.run
    made.recorder.start_at(-1)
    made.looks.measure(0, made.model)
    taught = load(distil.student(study, run.student, run.distillation_seed, store, report, run.arm))
    taught.network.to(device(study.spec.machine))
    made.looks.measure(max(made.stops.values()), taught)
    made.recorder.finish(made.mark)
