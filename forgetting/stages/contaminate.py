"""One contamination run: a student, an arm and two seeds become ledger rows at every dose; always resumable."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

from forgetting import seeds
from forgetting.analysis.early_stop import Rule
from forgetting.contracts import Report
from forgetting.evaluation.bench import Bench
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.stages.at_once import measure_both_ends
from forgetting.stages.fine_tune import fine_tune
from forgetting.stages.preparing import prepared
from forgetting.study.run import Run
from forgetting.study.study import Study
from forgetting.training.checkpoints import own_generators, tidy
from forgetting.training.fit import silent
from forgetting.training.stopwatch import Stopwatch


def contaminate(
    study: Study,
    run: Run,
    folder: Path,
    store: Store,
    report: Report = silent,
    why: str = "",
    rule: Rule | None = None,
    bench: Bench | None = None,
) -> None:
    """Carry a run out, or on from its last durable checkpoint; nothing is done if it is complete.

    ``why`` is noted: what kept a run from a stack. ``rule`` may end it early, and the marker then says at which dose.
    ``bench`` is what the runs before left known; a run without one measures on its own.

    The files are those of ``record.files.RunFolder``. Equal specs give equal files, interrupted or not, on one machine.
    """
    if RunFolder(folder).complete.is_file():
        tidy(RunFolder(folder).checkpoint, study.spec.keep)
        return
    with nullcontext(bench) if bench else Bench() as own, own_generators(seeds.integer(run.seed, "generators")):
        watch = Stopwatch()
        with watch("preparing"):
            made = prepared(study, run, RunFolder(folder), store, own, report, watch)
        if run.arm.at_once:
            measure_both_ends(made, store, report)
        else:
            fine_tune(made, report, why, rule)
