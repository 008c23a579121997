"""The main job: a spec becomes students, runs, a record, and views of it. The story of a study, start to end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetting.errors import checked, require
from forgetting.executors import contaminating, distilling, of_workers, own_data
from forgetting.executors.contract import Executor
from forgetting.executors.stacking import Stack, stack_of
from forgetting.record.places import clear
from forgetting.record.store import Store
from forgetting.spec import Spec
from forgetting.stages import assemble as record
from forgetting.stages.folder import alone, prepare
from forgetting.study.arguments import Arguments, explained, merged
from forgetting.study.fingerprints import study_fingerprint
from forgetting.study.study import Study, construct

if TYPE_CHECKING:
    from typing import Unpack

    from forgetting.executors.bars import Bars
    from forgetting.report.result import Result


def tell(study: Study, folder: Path, store: Store, executor: Executor, *, stack: Stack, quiet: bool) -> Result:
    """A study from its spec to its result. What is there already is not made again."""
    carry_out(study, folder, store, executor, stack=stack, quiet=quiet)
    return show(folder, quiet)


def carry_out(study: Study, folder: Path, store: Store, executor: Executor, *, stack: Stack, quiet: bool) -> None:
    """All of a study but showing it."""
    with lay_out(study, folder, store, executor, stack, quiet) as work:
        teach_and_distil(work)
        contaminate(work)
        assemble(work)


@dataclass
class Work:
    """A study that is being carried out in its folder. ``complete`` says that nothing is left to do."""

    study: Study
    folder: Path
    store: Store
    executor: Executor
    stack: Stack
    bars: Bars
    complete: bool
    begin: float = field(default_factory=time.perf_counter)
    commits: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)  # of wall time, by stage


@contextmanager
def lay_out(study: Study, folder: Path, store: Store, executor: Executor, stack: Stack, quiet: bool) -> Iterator[Work]:
    """Check that all can be carried out, hold the folder, and write the spec into it before anything else."""
    from forgetting.executors.bars import Bars

    complete = (folder / "record.json").is_file()
    work = Work(study, folder, store, executor, stack_of(stack), Bars(quiet or complete), complete)
    with ExitStack() as held:
        if complete:
            clear(folder)
        else:
            distilling.check_machine(study, executor)
            store.clean()
            if distilling.missing_students(study, store):
                store.check_writable()
            for one in (alone(folder), _going_on(folder), executor, work.bars):
                held.enter_context(one)
            work.commits = prepare(study, folder, work.stack)
            count = len(study.runs())
            lines = [f"study: {folder}, {count} run{'' if count == 1 else 's'}", *own_data.left_out(study)]
            for line in filter(None, [*lines, study.warm_up_note()]):
                work.bars.say(line)
        yield work


def teach_and_distil(work: Work) -> None:
    """The teacher and every student that the store lacks."""
    if not work.complete:
        distilling.make_students(work.study, work.store, work.executor, work.bars, work.seconds, stack=work.stack)


def contaminate(work: Work) -> None:
    """Every run that is not complete."""
    if not work.complete:
        contaminating.carry_out_runs(
            work.study, work.folder, work.store, work.executor, work.bars, work.seconds, stack=work.stack
        )


def assemble(work: Work) -> None:
    """The runs' ledgers and scores joined, the record, and the views of it."""
    from forgetting.report.first_views import has_first_views, write_first_views

    if not work.complete:
        took = time.perf_counter() - work.begin
        record.assemble(work.study, work.folder, work.store, work.seconds, took, work.commits)
        work.bars.say("views: figures, TensorBoard, report.html")
    if not has_first_views(work.folder):
        write_first_views(work.folder, work.begin)


def show(folder: Path, quiet: bool) -> Result:
    """The result in ``folder``, shown on the terminal unless quiet."""
    from forgetting.report.result import load

    result = load(folder)
    if not quiet:
        from forgetting.report.terminal import show

        show(result)
    return result


@explained
def simulate(
    spec: Spec | None = None,
    *,
    output: str | Path = "runs",
    store: str | Path | None = None,
    workers: int | None = None,
    stack: Stack = "auto",
    quiet: bool = False,
    **arguments: Unpack[Arguments],
) -> Result:
    """Measure how much students forget. Plain arguments change the given spec (by default the quick one).

    A study that was interrupted goes on, bit for bit, when the same call is made again.

    Args:
        spec: the study to start from
        arguments: changes of the spec in plain words
        output: the folder that holds study folders; a study found there is continued, or given back if complete
        store: where trained students are kept; by default the user's cache folder
        workers: worker processes, one thread each; by default as many as cores; 0 runs everything in this process
        stack: runs of one shape and step schedule, or fresh students of one rung, that are trained as one program:
            that many at most, ``off``, or ``auto``: on a GPU as many as memory holds, on a CPU where it was measured to
            pay; changes speed, and the last bits of the numbers
        quiet: print nothing

    Returns:
        the result: ``.curves[student][skill]``, ``.arm(name)``, ``.plot()``, ``.to_frame()``, ``.report(path)``

    Raises:
        UsageError: one line that says which argument is wrong and why
    """
    rule = "a Spec (forgetting.study.spec_files.load_spec reads one from a file)"
    require(spec is None or isinstance(spec, Spec), "spec", rule, spec)
    path: Any = str | os.PathLike
    output, store = Path(checked(output, path, "output")), checked(store, path | None, "store")
    workers, quiet = checked(workers, int | None, "workers"), checked(quiet, bool, "quiet")
    require(workers is None or workers >= 0, "workers", "0 (in this process) or more", workers)
    where = Path(store) if store else None
    whole = merged(spec or Spec(), arguments)
    return run_study(whole, output=output, store=where, workers=workers, stack=stack, quiet=quiet)


def run_study(
    spec: Spec,
    *,
    output: Path,
    store: Path | None = None,
    workers: int | None = None,
    stack: Stack = "auto",
    quiet: bool = False,
) -> Result:
    """Run a study in ``output/NAME-FINGERPRINT``, or go on with the one that is there, and give its result."""
    study = construct(spec)
    folder = output / f"{spec.name}-{study_fingerprint(study)[:8]}"
    return tell(study, folder, Store(store), of_workers(workers), stack=stack, quiet=quiet)


@contextmanager
def _going_on(folder: Path) -> Iterator[None]:
    """An interruption carries a note that says how to go on."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        interruption.add_note(f"interrupted; to go on, make the same call again, or run: forgetting resume {folder}")
        raise
