"""Contamination runs of one shape and one step schedule, side by side as one stack; each with its own folder."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

from forgetting import seeds
from forgetting.analysis.early_stop import Rule
from forgetting.contracts import Report
from forgetting.evaluation.bench import Bench
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.stages.contaminate import contaminate
from forgetting.stages.fine_tune_stack import CannotStack, fine_tune_stack
from forgetting.stages.preparing import prepared
from forgetting.study.run import Run
from forgetting.study.study import Study
from forgetting.training.checkpoints import own_generators, tidy
from forgetting.training.fit import silent
from forgetting.training.stopwatch import Stopwatch


def contaminate_stack(
    study: Study,
    runs: Sequence[Run],
    folders: Sequence[Path],
    store: Store,
    report: Report = silent,
    rules: Sequence[Rule | None] = (),
    bench: Bench | None = None,
) -> None:
    """Carry runs out together, or on from the last checkpoint that all of them have.

    ``rules`` holds each run's own, where runs may end early: such a run leaves the stack as it would have ended alone,
    and the others go on without it. The same runs stacked again give the same files, interrupted or not. Where the
    model cannot be stacked they are carried out one after another, and their completion markers say why.
    """
    for folder in filter(done, folders):
        tidy(RunFolder(folder).checkpoint, study.spec.keep)
    asked = zip(runs, folders, rules or [None] * len(runs), strict=True)
    left = [one for one in asked if not done(one[1])]  # the others ended, and the stack went on without them
    if not left:
        return
    numbers = own_generators(seeds.integer(left[0][0].seed, "generators"))
    with nullcontext(bench) if bench else Bench() as own, numbers:
        watch = Stopwatch()
        with watch("preparing"):
            ready = [prepared(study, run, RunFolder(folder), store, own, report, watch) for run, folder, _ in left]
        try:
            fine_tune_stack(ready, [rule for *_, rule in left], watch, report)
        except CannotStack as reason:
            for run, folder, rule in left:
                contaminate(study, run, folder, store, report, why=str(reason), rule=rule, bench=own)


def done(folder: Path) -> bool:
    """Whether a run is complete."""
    return RunFolder(folder).complete.is_file()
