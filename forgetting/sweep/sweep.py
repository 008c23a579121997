"""A threshold sweep, start to end: controls, one search a target, then the record, the thresholds and the views."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from optuna.trial import TrialState

from forgetting.errors import UsageError, require
from forgetting.executors import executor_of
from forgetting.executors.contract import Executor
from forgetting.executors.distilling import check_machine
from forgetting.executors.stacking import Stack, stack_of
from forgetting.record.files import RunFolder
from forgetting.record.provenance import other_version
from forgetting.record.run_files import read_marker
from forgetting.record.seals import SEAL, read_sealed, write_sealed
from forgetting.record.signing import SIGNATURE, check_trusted, is_ours, signature
from forgetting.record.store import Store
from forgetting.report.result import Result, load
from forgetting.simulate import write_views
from forgetting.stages.assemble import assemble
from forgetting.stages.folder import alone, prepare, run_folder
from forgetting.study.fingerprints import fingerprint, settings_form
from forgetting.study.needs import study_needs, sweep_needs
from forgetting.study.run import Run
from forgetting.study.spec_files import built_from, to_mapping
from forgetting.sweep import thresholds
from forgetting.sweep.driver import Asked, Driver, Made
from forgetting.sweep.layout import Sweep, construct_sweep
from forgetting.sweep.live import Live
from forgetting.sweep.outcomes import outcome
from forgetting.sweep.runs import Runs
from forgetting.sweep.samplers import level_set, sampler
from forgetting.sweep.search_space import SweepSpace
from forgetting.sweep.storage import open_storage, open_study, patiently
from forgetting.sweep.sweep_spec import SweepSpec

T = TypeVar("T")
SWEEP_FILE = "sweep.json"


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
    with alone(folder), executor, Live(sweep.spaces, quiet, spec.stop.runs) as live:
        commits = prepare(sweep.study, folder, stack)
        live.say(f"sweep: {folder}")
        keep = {**_earlier(folder), "spec": to_mapping(spec), "fingerprint": sweep.fingerprint}
        keep[SIGNATURE] = signature([keep["spec"], sweep.fingerprint])
        write_sealed(folder / SWEEP_FILE, keep)
        Store(store).clean()
        whole = _Whole(sweep, folder, Store(store), executor, live, stack)
        try:
            reasons = whole.search()
        finally:
            whole.keep_time()
        found, made = whole.found(reasons), time.perf_counter() - begin
        if _changed(keep, found) or not (folder / "report.html").is_file():
            (folder / "report.html").unlink(missing_ok=True)  # the sign that all of it is there, and up to date
            live.say("views: figures, TensorBoard, report.html")
            assemble(sweep.study, folder, whole.store, {"search": made}, made, commits, whole.complete_runs())
            write_sealed(folder / SWEEP_FILE, {**_earlier(folder), **found})
            write_views(folder, begin)
    return load(folder)


def resume_sweep(
    folder: Path,
    *,
    executor: Executor | None = None,
    store: Path | None = None,
    stack: Stack | None = None,
    quiet: bool = False,
    trust: bool = False,
) -> Result:
    """Go on with the sweep in ``folder``, by default on its own executor and stacked as before.

    ``UsageError`` if other code made it. Of a folder that was not laid out on this machine nothing is imported,
    started, fetched or connected to without ``trust``.
    """
    try:
        plan = _earlier(folder)
        given, mark = plan["spec"], plan["fingerprint"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"resume: no sweep in {str(folder)!r}: {error}") from error
    other = f"resume: {folder} {other_version({**plan, **_plan(folder)})}"
    try:
        spec = built_from(SweepSpec, given)
    except UsageError as error:
        raise UsageError(f"{other} ({error})") from error
    ours = is_ours([given, mark], plan.get(SIGNATURE))
    needs = study_needs(spec.study) + sweep_needs("inline" if executor else spec.executor, spec.storage)
    check_trusted(folder, needs, ours=ours, trust=trust)
    try:
        made = construct_sweep(spec)
    except UsageError as error:
        raise UsageError(f"{other} ({str(error).partition(';')[0]})") from error
    rule = "of a sweep that starts no other process, since nothing that a folder says is started; sweep it again"
    command = list(spec.study.machine.backend.command)
    require(not command, "resume", rule, command)
    if mark != made.fingerprint:
        raise UsageError(other)
    require(folder.name == made.folder_name, "resume", f"a folder that is called {made.folder_name}", folder.name)
    executor = executor or executor_of(spec.executor)
    stack = stack_of(_plan(folder).get("stack", "off")) if stack is None else stack
    return run_sweep(spec, executor=executor, output=folder.parent, store=store, stack=stack, quiet=quiet)


class _Whole:
    """The state of a sweep that is being carried out."""

    def __init__(self, sweep: Sweep, folder: Path, store: Store, executor: Executor, live: Live, stack: Stack) -> None:
        self.sweep, self.folder, self.store, self.live = sweep, folder, store, live
        self.storage = open_storage(sweep.spec.storage, folder)
        self.begin = time.monotonic()
        self.earlier_hours = float(_earlier(folder).get("hours", 0.0))
        self.drivers = [self._driver(s) for s in sweep.spaces]
        self.runs = Runs(sweep, folder, store, executor, live, stack)

    def search(self) -> dict[str, str]:
        """Controls, then the targets in order; by target, why its search ended."""
        self._controls()
        reasons = {}
        for driver in self.drivers:
            name = driver.space.name
            self._restore(driver)
            self._show(driver)
            reasons[name] = driver.go(partial(self._start, driver.space), partial(self._heard, driver))
            self.live.ended(name, reasons[name])
        return reasons

    def patient(self, step: Callable[[], T]) -> T:
        """Do a step that reads or tells, waiting while the storage is away."""
        return patiently(step, self.live.say)

    def complete_runs(self) -> list[Run]:
        """Every complete run of the study in the record's order, whoever asked for it."""
        return [run for run in self.sweep.study.runs() if self.runs.complete(run)]

    def keep_time(self) -> None:
        """Add this driver's wall time to what earlier ones left."""
        write_sealed(self.folder / SWEEP_FILE, {**_earlier(self.folder), "hours": self._hours()})

    def found(self, reasons: Mapping[str, str]) -> dict[str, Any]:
        """What the sweep's file says at the end: by target its trials, thresholds, calibration, and why it ended."""
        complete = self.complete_runs()
        targets = []
        for driver in self.drivers:
            own = driver.space
            seen = thresholds.observe(own, complete, self.folder)
            targets.append(
                {
                    "name": own.name,
                    "target": to_mapping(own.target),
                    **own.described(),
                    "ended": reasons[own.name],
                    "thresholds": [placed.to_dict() for placed in thresholds.estimate_both(own, seen)],
                    "trials": self._trials(driver),
                    "grid_runs": len(own.points) * own.repeats,
                }
            )
        return {"targets": targets, "runs": len(complete), "hours": self._hours()}

    def _trials(self, driver: Driver) -> list[dict[str, Any]]:
        check = level_set(driver.space, self.sweep.spec.search)
        searched = self.sweep.spec.search.method == "level_set"
        asked = self.patient(driver.asked)
        return [
            {
                **_trial(one),
                **_marked(self.folder, one.run),
                "holdout": searched and check.is_holdout(one.trial.number),
            }
            for one in asked
        ]

    def _hours(self) -> float:
        return self.earlier_hours + (time.monotonic() - self.begin) / 3600

    def _driver(self, own: SweepSpace) -> Driver:
        spec = self.sweep.spec
        name = f"{self.sweep.folder_name}/{own.name}"
        mark = fingerprint({"sweep": self.sweep.fingerprint, "target": settings_form(own.target)})
        study = patiently(lambda: open_study(self.storage, name, mark, sampler(own, spec.search)), self.live.say)
        return Driver(own, spec.search, spec.stop, study, self.storage, self._spent, self.patient)

    def _spent(self) -> str:
        stop = self.sweep.spec.stop
        if stop.petaflops:
            trials = [t for driver in self.drivers for t in driver.study.get_trials(deepcopy=False)]
            if sum(t.user_attrs.get("flops", 0.0) for t in trials) / 1e15 >= stop.petaflops:
                return f"budget: {stop.petaflops:g} petaflops"
        return f"budget: {stop.hours:g} hours" if stop.hours and self._hours() >= stop.hours else ""

    def _controls(self) -> None:
        for run, future in self.runs.submit(self.sweep.controls()).items():
            if isinstance(error := future.exception(), UsageError | OSError):
                raise error
            self.live.control(str(run), "" if error is None else str(error))

    def _restore(self, driver: Driver) -> None:
        """Make again what the storage knows as done and the folder lacks: it was deleted, or another folder is used."""
        done = [one.run for one in self.patient(driver.asked) if one.trial.state == TrialState.COMPLETE]
        for future in self.runs.submit([run for run in done if run not in set(self.complete_runs())]).values():
            future.result()

    def _heard(self, driver: Driver) -> None:
        """After each round: what a driver that is killed outright had spent is not lost."""
        self.keep_time()
        self._show(driver)

    def _show(self, driver: Driver) -> None:
        self.live.told(driver.space.name, self.patient(driver.asked), self.patient(driver.thresholds))

    def _start(self, own: SweepSpace, runs: Sequence[Run]) -> dict[Run, Future[Made]]:
        """Have the runs made; each future gives what the run showed, or the reason of its failure."""
        return {run: _then(future, partial(self._outcome, own, run)) for run, future in self.runs.submit(runs).items()}

    def _outcome(self, own: SweepSpace, run: Run) -> Made:
        return outcome(own, RunFolder(run_folder(self.folder, run)))


def _plan(folder: Path) -> dict[str, Any]:
    """What is written of the sweep's study, how its runs were stacked and by which version they were begun."""
    try:
        return dict(read_sealed(folder / "spec.json", ""))
    except (OSError, ValueError):  # not written yet, or damaged and written anew
        return {}


def _earlier(folder: Path) -> dict[str, Any]:
    """What the sweep's file holds already; nothing if there is none."""
    path = folder / SWEEP_FILE
    if not path.is_file():
        return {}
    found = read_sealed(path, "delete it, and sweep the same spec again to go on")
    return {name: value for name, value in found.items() if name != SEAL}


def _changed(kept: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether the sweep's file and its views are behind what was found; hours alone do not count."""
    plain = json.loads(json.dumps(found))
    return any(plain[name] != kept.get(name) for name in plain if name != "hours")


def _trial(one: Asked) -> dict[str, Any]:
    student, shift = one.point
    return {
        "number": one.trial.number,
        "state": one.trial.state.name.lower(),
        "run": str(one.run),
        "student": student,
        "shift": shift,
        **{name: one.trial.user_attrs.get(name) for name in ("retention", "variance", "flops", "status", "error")},
    }


def _marked(folder: Path, run: Run) -> dict[str, Any]:
    """Of a complete run, whoever asked for it: wall seconds inside it, and the dose at which it was ended early."""
    own = RunFolder(run_folder(folder, run))
    if not own.complete.is_file():
        return {"seconds": None}
    marker = read_marker(own)
    seconds, ended = sum(marker["wall_seconds"].values()), marker.get("pruned_at")
    return {"seconds": round(seconds, 2), **({} if ended is None else {"pruned_at": ended})}


def _then(future: Future[None], read: Callable[[], Made]) -> Future[Made]:
    """What ``read`` gives when the future is done; a failed run's message; what the user can mend is raised on."""
    made: Future[Made] = Future()

    def finish(ended: Future[None]) -> None:
        try:
            error = ended.exception()
            if isinstance(error, UsageError | OSError | KeyboardInterrupt):
                made.set_exception(error)
            else:
                made.set_result(read() if error is None else str(error).strip().splitlines()[0])
        except BaseException as error:  # noqa: BLE001 (the driver raises it)
            made.set_exception(error)

    future.add_done_callback(finish)
    return made
