"""The search for one target: ask for runs in rounds, have them made, tell what they showed, stop when it is enough.

Everything that decides is in the storage (trials and their order) and in the runs' folders (their scores), so a driver
that was killed at any moment is replaced by a new one that goes on with the same sequence:

1. a trial that was asked for and not told is completed, never asked for again; its run resumes from its checkpoint;
2. a round is topped up to its size before it is carried out, and told in the order of its trials;
3. only then is the stop rule looked at, and the next round asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ALL_COMPLETED, FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import optuna
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from forgetting.analysis.metrics import Status
from forgetting.study.run import Run
from forgetting.sweep.outcomes import Made
from forgetting.sweep.samplers import distributions
from forgetting.sweep.search_space import SweepPoint, SweepSpace
from forgetting.sweep.sweep_spec import Search, Stop
from forgetting.sweep.thresholds import Placed, estimate, known, told

T = TypeVar("T")
PARAMETERS = {"student", "shift"}


class Patient(Protocol):
    """Does a step, again and again while the storage is away."""

    def __call__(self, step: Callable[[], T]) -> T: ...


Start = Callable[[Sequence[Run]], Mapping[Run, "Future[Made]"]]


@dataclass(frozen=True)
class Asked:
    """A trial and its run."""

    trial: FrozenTrial
    point: SweepPoint
    run: Run


class Driver:
    """One target's search: its trials are in ``study`` on ``storage``.

    ``spent`` says why the sweep's budget is used up, or nothing; ``patient`` repeats a step while the storage is away.
    """

    def __init__(
        self,
        space: SweepSpace,
        search: Search,
        stop: Stop,
        study: optuna.Study,
        storage: BaseStorage,
        spent: Callable[[], str],
        patient: Patient,
    ) -> None:
        self.space, self.search, self.stop = space, search, stop
        self.study, self.storage = study, storage
        self.spent, self.patient = spent, patient

    def go(self, start: Start, heard: Callable[[], None]) -> str:
        """Search until there is a reason to stop, and give it; ``heard`` is called whenever something was told."""
        working: dict[Run, Future[Made]] = {}
        when = FIRST_COMPLETED if self.search.asynchronous else ALL_COMPLETED
        while True:
            reason = self.patient(self._ready)
            running = self.patient(self.running)
            if reason and not running:
                return reason
            working |= start([one.run for one in running if one.run not in working])
            wait(working.values(), return_when=when)
            made = {run: future.result() for run, future in working.items() if future.done()}
            ended = [one for one in running if one.run in made]
            if self.patient(partial(self._hopeless, ended, made)):
                raise RuntimeError(f"no run of a round succeeded; the first said: {next(iter(made.values()))}")
            self.patient(partial(self._tell, ended, made))
            working = {run: future for run, future in working.items() if run not in made}
            heard()

    def asked(self) -> list[Asked]:
        """Every trial that has its parameters, in the order asked; the n-th of a point has the point's n-th seed."""
        found, seen = [], dict.fromkeys(self.space.points, 0)
        for trial in self._trials():
            if set(trial.params) >= PARAMETERS:
                point = (str(trial.params["student"]), float(trial.params["shift"]))
                found.append(Asked(trial, point, self.space.run(point, seen[point])))
                seen[point] += 1
        return found

    def thresholds(self) -> list[Placed]:
        """The target's thresholds from what was told so far."""
        return estimate(self.space, told(self.space, self._trials()))

    def running(self) -> list[Asked]:
        """Trials that were asked for and not told."""
        return [one for one in self.asked() if one.trial.state == TrialState.RUNNING]

    def _trials(self) -> list[FrozenTrial]:
        return sorted(self.study.get_trials(deepcopy=False), key=lambda t: t.number)

    def _hopeless(self, ended: Sequence[Asked], made: Mapping[Run, Made]) -> bool:
        """Whether runs at several points failed together, or the first ones did: that is no fault of one point.

        Nothing is told then, so that the same runs are made when what was wrong is mended.
        """
        if not all(isinstance(result, str) for result in made.values()):
            return False
        worked = any(trial.state == TrialState.COMPLETE for trial in self._trials())
        return not worked or len({one.point for one in ended}) > 1

    def _ready(self) -> str:
        """Ask for what the next round lacks, or say why nothing more is asked for; done twice, it asks nothing twice.

        Rounds begin at multiples of their size. The stop rule is looked at between two of them only, and one that was
        interrupted while asking is topped up.
        """
        self._complete()
        trials, running = self._trials(), self.running()
        if (self.search.asynchronous or not running) and (reason := self._reason(trials)):
            return reason
        size, allowed = self.search.round_size, self.stop.runs or len(trials) + self._free()
        if self.search.asynchronous:
            missing = size - len(running)
        else:
            missing = -len(trials) % size if running else size - len(trials) % size
        for _ in range(min(missing, self._free(), allowed - len(trials))):
            self.study.ask(fixed_distributions=dict(distributions(self.space)))
        return ""

    def _reason(self, trials: Sequence[FrozenTrial]) -> str:
        if spent := self.spent():
            return spent
        if 0 < self.stop.runs <= len(trials):
            return f"budget: {self.stop.runs} runs"
        if not self._free():
            return "every point has all its seeds"
        width, seen = self.stop.width_decades, told(self.space, trials)
        if not width or len(trials) < self.search.startup_runs:
            return ""
        if not known(self.space, estimate(self.space, seen), seen, width):
            return ""
        return f"width: every interval is narrower than {width:g} decades or than the ladder's step"

    def _free(self) -> int:
        """Runs that may still be asked for: seeds left over at points of which no run failed."""
        left = dict.fromkeys(self.space.points, self.space.repeats)
        for one in self.asked():
            left[one.point] -= self.space.repeats if one.trial.state == TrialState.FAIL else 1
        return sum(max(n, 0) for n in left.values())

    def _complete(self) -> None:
        """A driver that was killed while asking leaves a trial without parameters: give it those it would have had."""
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and PARAMETERS - set(trial.params):
                whole = Trial(self.study, self._id(trial.number))
                for name, distribution in distributions(self.space).items():
                    whole.suggest_categorical(name, distribution.choices)

    def _tell(self, wanted: Sequence[Asked], made: Mapping[Run, Made]) -> None:
        """In the order asked; what an interrupted telling has told already is left as it is."""
        states = {t.number: t.state for t in self._trials()}
        for one in wanted:
            if states[one.trial.number] != TrialState.RUNNING:
                continue
            result = made[one.run]
            last = 0 if isinstance(result, str) else result.last_dose
            known: dict[str, Any] = {"run": str(one.run), "flops": self.space.flops(one.point, last)}
            known |= {"error": result} if isinstance(result, str) else asdict(result)
            known = {name: value for name, value in known.items() if value == value}  # no NaN
            for name, value in known.items():
                self.storage.set_trial_user_attr(self._id(one.trial.number), name, value)
            if isinstance(result, str) or result.status != Status.ok.name:
                self.study.tell(one.trial.number, state=TrialState.FAIL)
            else:
                self.study.tell(one.trial.number, result.retention - self.space.target.levels[0])

    def _id(self, number: int) -> int:
        study = self.storage.get_study_id_from_name(self.study.study_name)
        return self.storage.get_trial_id_from_study_id_trial_number(study, number)
