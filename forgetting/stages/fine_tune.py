"""The fine-tuning of one prepared run: from where it stands, by way of its looks, to its completion marker."""

from __future__ import annotations

import shutil

from forgetting import losses
from forgetting.analysis.early_stop import Rule
from forgetting.contracts import Report
from forgetting.evaluation.bench import EXCHANGE
from forgetting.stages.intervene import intervene
from forgetting.stages.prepared_run import Prepared
from forgetting.training.checkpoints import tidy
from forgetting.training.fit import Progress, fit
from forgetting.training.module import FitModule
from forgetting.training.stops import Ending, IntervalEvaluation


def fine_tune(made: Prepared, report: Report, why: str, rule: Rule | None) -> None:
    """Train the student along its plan, measure it at every stop, and complete the run."""
    study, folder, arm, model, plan = made.study, made.folder, made.run.arm, made.model, made.plan
    watch, leading, spread = made.recorder.watch, made.looks.leading, made.looks.spread
    start = made.going_on()
    if leading:
        made.start(start.step, model)
    snapshots = made.snapshots(start)
    looks = IntervalEvaluation(made.stops, lambda dose: made.looks.measure(dose, model))
    ending = Ending(rule, folder.scores, made.stops)
    module = FitModule(
        model,
        lambda batch: losses.cross_entropy(model, batch),
        made.optimiser,
        total_steps=plan.steps,
        first_step=start.step,
        mitigation=arm.mitigation,
        memory=made.memory,
        optimiser_state=start.optimiser,
    )
    try:
        with watch("training"):
            stream = plan.starting_at(start.step)
            if ending.dose() is None:  # a run that was killed after its last look is not trained on
                fit(
                    module,
                    lambda: (made.encoded.batch(i, plan.batch_size) for i in stream),
                    [looks, snapshots, Progress(report, plan.steps), ending] if leading or spread else [],
                    study.spec.machine,
                )
    finally:
        snapshots.close()
    if leading:
        if ending.dose() is None:
            intervene(study, made.run, made.looks, made.looks.evaluator.base, model)
        made.recorder.finish(made.mark, why=why, pruned_at=ending.dose(), matched=made.matched, notes=made.notes())
        tidy(folder.checkpoint, study.spec.keep)
        shutil.rmtree(folder.folder / EXCHANGE, ignore_errors=True)
