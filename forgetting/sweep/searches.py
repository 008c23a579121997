"""A sweep's targets in; runs asked for, one search after another, and what they found out, as its record says it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from optuna.trial import TrialState

from forgetting.errors import UsageError
from forgetting.report.sweeps.read import one_answer
from forgetting.study.fingerprints import fingerprint, settings_form
from forgetting.study.run import Run
from forgetting.sweep.driver import Driver
from forgetting.sweep.layout import Sweep
from forgetting.sweep.live import Live
from forgetting.sweep.outcomes import Made, outcome_to_come
from forgetting.sweep.runs import Runs
from forgetting.sweep.samplers import sampler
from forgetting.sweep.search_space import SweepSpace
from forgetting.sweep.storage import open_storage, open_study, patiently
from forgetting.sweep.sweep_record import add_to_sweep_record, read_sweep_record, target_record

T = TypeVar("T")


class Searches:
    """The state of a sweep that is being carried out: a driver for each target, and the hours spent on all."""

    def __init__(self, sweep: Sweep, folder: Path, runs: Runs, live: Live) -> None:
        self.sweep, self.folder, self.runs, self.live = sweep, folder, runs, live
        self.storage = open_storage(sweep.spec.storage, folder)
        self.begin = time.monotonic()
        self.earlier_hours = float(read_sweep_record(folder).get("hours", 0.0))
        self.drivers = [self._driver(s) for s in sweep.spaces]

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
        add_to_sweep_record(self.folder, {"hours": self._hours()})

    def found(self, reasons: Mapping[str, str]) -> dict[str, Any]:
        """What the sweep's file says at the end: by target its trials, thresholds, calibration, and why it ended."""
        complete, search = self.complete_runs(), self.sweep.spec.search
        targets = [
            target_record(
                driver.space, search, self.folder, self.patient(driver.asked), complete, reasons[driver.space.name]
            )
            for driver in self.drivers
        ]
        return {"targets": one_answer(targets), "runs": len(complete), "hours": self._hours()}

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
        submitted = self.runs.submit(runs)
        return {run: outcome_to_come(own, self.runs.place(run), future) for run, future in submitted.items()}
