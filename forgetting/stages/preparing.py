"""What a run needs, made anew or taken from the store: a study and one of its runs in, the run prepared out."""

from __future__ import annotations

from forgetting.contracts import Report
from forgetting.evaluation.bench import Bench
from forgetting.models.checkpoint import load
from forgetting.natural.chat import check_template
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.stages import distil, rate_matching
from forgetting.stages.measuring import looks_of
from forgetting.stages.prepared_run import Prepared
from forgetting.stages.stream import laid_out
from forgetting.study.run import Run
from forgetting.study.study import Study
from forgetting.training.fit import place
from forgetting.training.stopwatch import Stopwatch


def prepared(
    study: Study, run: Run, folder: RunFolder, store: Store, bench: Bench, report: Report, watch: Stopwatch
) -> Prepared:
    """Everything that a run needs."""
    own, matched = rate_matching.optimiser(study, run.student, run.arm, store)  # its pilots before its own models
    home = distil.student(study, run.student, run.distillation_seed, store)
    model = load(home)
    place(model.network, study.spec.machine)
    memory, plan = laid_out(study, run.arm, run.doses, run.seed, model)
    check_template(plan.samples, model.tokenizer, run.student.name)
    looks = looks_of(study, run, folder, bench, home, model, memory, plan, report, watch)
    return Prepared(
        study, run, folder, model, memory, plan, dict(looks.stops), looks.recorder, looks.encoded, own, matched, looks
    )
