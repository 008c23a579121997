"""A threshold sweep, start to end: controls, one search a target, then the record, the thresholds and the views."""

from __future__ import annotations

import time
from pathlib import Path

from forgetting.executors.contract import Executor
from forgetting.executors.distilling import check_machine
from forgetting.executors.stacking import Stack, stack_of
from forgetting.record.store import Store
from forgetting.report.first_views import has_first_views, write_first_views
from forgetting.report.result import Result, load
from forgetting.stages.assemble import assemble
from forgetting.stages.folder import alone, prepare
from forgetting.sweep.layout import Sweep, construct_sweep
from forgetting.sweep.live import Live
from forgetting.sweep.runs import Runs
from forgetting.sweep.searches import Searches
from forgetting.sweep.storage import open_storage, remove_locks
from forgetting.sweep.sweep_record import add_to_sweep_record, begin_sweep_record, is_behind
from forgetting.sweep.sweep_spec import SweepSpec


def run_sweep(
    spec: SweepSpec,
    *,
    executor: Executor,
    output: Path,
    store: Path | None = None,
    stack: Stack = "off",
    quiet: bool = False,
) -> Result:
    """Carry a sweep out in ``output/NAME-FINGERPRINT``, or go on with the one that is there, and give its result.

    ``stack``: runs of one round that share student and step schedule are trained as one program, as in ``simulate``.

    The same spec continues an interrupted sweep with the runs that it would have asked for anyway; a larger budget goes
    on from where the smaller one ended.
    """
    sweep, stack = construct_sweep(spec), stack_of(stack)
    folder = output / sweep.folder_name
    begin = time.perf_counter()
    check_machine(sweep.study, executor)
    if spec.storage:  # a server that is not there is found before anything is written
        open_storage(spec.storage, folder)
    remove_locks(folder)
    with alone(folder), executor, Live(sweep.spaces, quiet, spec.stop.runs) as live:
        keep = begin_sweep_record(folder, sweep)  # first, so that a folder with a spec alone is a study's
        commits = prepare(sweep.study, folder, stack)
        live.say(f"sweep: {folder}")
        live.waiting(_waited_for(sweep, spec))
        students = Store(store)
        students.clean()
        searches = Searches(sweep, folder, Runs(sweep, folder, students, executor, live, stack), live)
        try:
            reasons = searches.search()
        finally:
            searches.keep_time()
        found, made = searches.found(reasons), time.perf_counter() - begin
        if is_behind(keep, found) or not has_first_views(folder):
            (folder / "report.html").unlink(missing_ok=True)  # the sign that all of it is there, and up to date
            live.say("views: figures, TensorBoard, report.html")
            assemble(sweep.study, folder, students, {"search": made}, made, commits, searches.complete_runs())
            add_to_sweep_record(folder, found)
            write_first_views(folder, begin)
    return load(folder)


def _waited_for(sweep: Sweep, spec: SweepSpec) -> str:
    """What a sweep begins with, in a user's words."""
    controls, searches = len(sweep.controls()), len(sweep.spaces)
    most = max(len(space.points) * space.repeats for space in sweep.spaces)
    runs = min(most, spec.stop.runs) if spec.stop.runs else most
    first = f"{controls} runs of controls, then " if controls else ""
    return (
        f"starting workers, and distilling the students that are not stored yet; then {first}{searches} "
        f"search{'es' if searches > 1 else ''} of at most {runs} runs{' each' if searches > 1 else ''}"
    )
