"""The main job: a spec becomes students, runs, a record, and views of it. The story of a study, start to end."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetting.errors import UsageError, checked, require
from forgetting.executors import of_workers
from forgetting.executors.contract import Executor, Task
from forgetting.executors.stacking import Stack, stack_of, stacks
from forgetting.executors.tasks import carry_out_batch, check_machine, make_students, measuring, missing_students
from forgetting.record.files import RunFolder, write_json
from forgetting.record.provenance import other_version
from forgetting.record.store import Store
from forgetting.spec import Control, Doses, Evaluation, Keep, PartValue, Spec, from_plain
from forgetting.stages.assemble import alone, assemble, noise_floors, prepare, run_folder
from forgetting.study.fingerprints import study_fingerprint
from forgetting.study.run import Run
from forgetting.study.study import Study, construct

if TYPE_CHECKING:
    from forgetting.executors.bars import Bars
    from forgetting.report.result import Result


def simulate(
    spec: Spec | None = None,
    *,
    students: PartValue | Sequence[PartValue] | None = None,
    teacher: PartValue | None = None,
    original: PartValue | None = None,
    contamination: PartValue | Sequence[PartValue] | None = None,
    dose: int | None = None,
    doses: Doses | None = None,
    shift: float | Sequence[float] | None = None,
    rate_multiple: float | Sequence[float] | None = None,
    mitigation: PartValue | Sequence[PartValue] | None = None,
    controls: Sequence[Control] | None = None,
    benchmarks: PartValue | Sequence[PartValue] | None = None,
    evaluation: Evaluation | None = None,
    seeds: int | None = None,
    fresh_students: bool | None = None,
    name: str | None = None,
    keep: Keep | None = None,
    output: str | Path = "runs",
    store: str | Path | None = None,
    workers: int | None = None,
    stack: Stack = "auto",
    quiet: bool = False,
) -> Result:
    """Measure how much students forget. Plain arguments change the given spec (by default the quick one).

    A study that was interrupted goes on, bit for bit, when the same call is made again.

    Args:
        spec: the study to start from
        students: capacities by name, ascending, such as ``["10k", "34k"]``; or checkpoints: folders, hub names, or
            mappings with ``source``, ``dtype`` and so on (``help(forgetting.models.checkpoint.Checkpoint)``)
        teacher: the teacher's capacity by name, or a checkpoint as in ``students``; empty: of capacities the ladder's
            own, of checkpoints none
        original: the original distribution, by name or with settings; checkpoints need one of natural text
        contamination: one source of competing data or several, by name or with settings
        dose: contaminating samples at the end of each run
        doses: the whole dose axis (spacing, first dose, ratio, cap of the stream); ``dose`` changes its end
        shift: share of contaminating samples in the stream, above 0, at most 1; one or several
        rate_multiple: multiple of the learning rate; one or several
        mitigation: what may slow forgetting, such as ``{"name": "replay", "share": 0.05}``; one or several
        controls: the protocol's controls to run as further arms
        benchmarks: what is measured, by name or with settings; one or several
        evaluation: everything about measuring (perturbed variants, probes, length of answers); ``benchmarks`` changes
            its benchmarks
        seeds: contamination seeds
        fresh_students: distil a fresh student for each seed instead of sharing one
        name: names the study's folder
        keep: which checkpoints stay after completion
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
    spec, path = spec or Spec(), str | os.PathLike
    output, store = Path(checked(output, path, "output")), checked(store, path | None, "store")
    workers, quiet = checked(workers, int | None, "workers"), checked(quiet, bool, "quiet")
    require(workers is None or workers >= 0, "workers", "0 (in this process) or more", workers)
    ladder = _with(
        spec.ladder,
        students=_several(students),
        teacher=teacher,
        original=original,
        fresh_students=fresh_students,
    )
    doses = checked(spec.doses if doses is None else doses, Doses, "doses")
    if dose is not None:
        require(type(dose) is int and dose >= 1, "dose", "a whole number, at least 1", dose)
        doses = dataclasses.replace(doses, dose=dose, first=min(doses.first, dose))
    spec = _with(
        spec,
        ladder=ladder,
        doses=doses,
        evaluation=_with(
            checked(spec.evaluation if evaluation is None else evaluation, Evaluation, "evaluation"),
            benchmarks=_several(benchmarks),
        ),
        contaminations=_several(contamination),
        shifts=_several(shift),
        rate_multiples=_several(rate_multiple),
        mitigations=_several(mitigation),
        controls=_several(controls),
        seeds=seeds,
        name=name,
        keep=keep,
    )
    where = Path(store) if store else None
    return run_study(spec, output=output, store=where, workers=workers, stack=stack, quiet=quiet)


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
    carry_out(study, folder, Store(store), of_workers(workers), stack=stack, quiet=quiet)
    return _given(folder, quiet)


def resume(
    folder: Path,
    *,
    store: Path | None = None,
    workers: int | None = None,
    stack: Stack | None = None,
    quiet: bool = False,
) -> Result:
    """Go on with the study in ``folder``, stacked as before. ``UsageError`` if there is none, or other code made it."""
    file = folder / "spec.json"
    require(file.is_file(), "resume", "the folder of a study (with a spec.json)", str(folder))
    try:
        plan = dict(json.loads(file.read_text()))
        given, mark = plan["spec"], plan["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"resume: {str(file)!r} is not readable as the spec of a study") from error
    try:
        study = construct(from_plain(given))
    except UsageError as error:
        raise UsageError(f"resume: {folder} {other_version(plan)} ({error})") from error
    rule = "of a study that starts no other process, since nothing that a folder says is started; simulate it again"
    command = list(study.spec.machine.backend.command)
    require(not command, "resume", rule, command)
    if mark != study_fingerprint(study):
        raise UsageError(f"resume: {folder} {other_version(plan)}")
    stack = stack_of(plan.get("stack", "off") if stack is None else stack)
    carry_out(study, folder, Store(store), of_workers(workers), stack=stack, quiet=quiet)
    return _given(folder, quiet)


def carry_out(
    study: Study, folder: Path, store: Store, executor: Executor, *, stack: Stack = "off", quiet: bool
) -> None:
    """Make everything of a study in ``folder`` that is not there yet, its views last."""
    from forgetting.executors.bars import Bars

    begin, stack = time.perf_counter(), stack_of(stack)
    if (folder / "record.json").is_file():
        done = "noise_floor" in json.loads((folder / "record.json").read_text())  # what views add to it last
        if not done or not (folder / "report.html").is_file():
            write_views(folder, begin)
        return
    check_machine(study, executor)
    if missing_students(study, store):
        store.check_writable()
    with alone(folder), _going_on(folder), executor, Bars(quiet) as bars:
        commits = prepare(study, folder, stack)
        count = len(study.runs())
        bars.say(f"study: {folder}, {count} run{'' if count == 1 else 's'}")
        made = _make(study, folder, store, executor, bars, stack)
        assemble(study, folder, store, made, time.perf_counter() - begin, commits)
        bars.say("views: figures, TensorBoard, report.html")
        write_views(folder, begin)


@contextmanager
def _going_on(folder: Path) -> Iterator[None]:
    """An interruption carries a note that says how to go on."""
    try:
        yield
    except KeyboardInterrupt as interruption:
        interruption.add_note(f"interrupted; to go on, make the same call again, or run: forgetting resume {folder}")
        raise


def _make(study: Study, folder: Path, store: Store, executor: Executor, bars: Bars, stack: Stack) -> dict[str, float]:
    """Students, then runs; wall seconds by stage. The largest go first, so that no worker waits for one at the end."""
    common: Task = {"spec": dataclasses.asdict(study.spec), "store": str(store.root)}
    made: dict[str, float] = {}
    make_students(study, store, executor, bars, made, stack=stack)

    def complete(run: Run) -> bool:
        return RunFolder(run_folder(folder, run)).complete.is_file()

    measure = measuring(study, store, executor, bars, made)
    todo = [g for g in stacks(study, stack, store.root, measure, bars.say, complete) if not all(map(complete, g))]
    todo.sort(key=lambda g: -study.students.index(g[0].student))
    tasks: list[Task] = []
    for group in todo:
        keys, folders = [dataclasses.asdict(run.key) for run in group], [str(run_folder(folder, run)) for run in group]
        one: Task = {"make": "run", "key": keys[0], "folder": folders[0]}
        tasks.append({**common, **(one if len(group) == 1 else {"make": "stack", "keys": keys, "folders": folders})})
    carry_out_batch(executor, bars, "contamination", tasks, made)
    for name, noise in noise_floors(folder, study.runs()).items():
        bars.say(f"{name}: {noise['text']}")
    for benchmark in study.benchmarks:
        for reason, count in benchmark.left_out().items():
            bars.say(f"{benchmark.short_name()}: {count} rows are not asked: {reason}")
    for group in filter(lambda g: len(g) > 1, todo):
        if why := json.loads(RunFolder(run_folder(folder, group[0])).complete.read_text()).get("not_stacked"):
            bars.say(f"{why}; the runs of {group[0].student.name} were carried out one after another")
    return made


def write_views(folder: Path, begin: float) -> None:
    """All views; what only the ledger tells, and the views' own time, are added to the record afterwards."""
    from forgetting.analysis.differences import differences
    from forgetting.analysis.study_folder import open_study
    from forgetting.report import build
    from forgetting.report.tables import statuses
    from forgetting.report.tensorboard import plain

    start, study = time.perf_counter(), open_study(folder)
    build.write_views(study)
    record = study.record
    kept = {"noise_floor": study.noise_floor, "statuses": statuses(study), "differences": differences(study)}
    for name, table in kept.items():
        record[name] = plain(table.astype(object).where(table.notna(), None))
    record["seconds"] |= {
        "views": round(time.perf_counter() - start, 2),
        "study": round(time.perf_counter() - begin, 2),
    }
    write_json(folder / "record.json", record)


def _given(folder: Path, quiet: bool) -> Result:
    """The result in ``folder``, shown on the terminal unless quiet."""
    from forgetting.report.result import load

    result = load(folder)
    if not quiet:
        from forgetting.report.terminal import show

        show(result)
    return result


def _several(value: Any) -> tuple[Any, ...] | None:
    if value is None:
        return None
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _with(thing: Any, **changes: Any) -> Any:
    return dataclasses.replace(thing, **{name: value for name, value in changes.items() if value is not None})
