"""A model and the data it is to be tuned on in; a gate, rounds of pilots, and what to do about forgetting out.

A round is a study in a folder of its own, in which each way to train is an arm; the better half goes on to the next
one, with a longer dose. Made again, the same call goes on where it stopped.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetting.analysis.learning_paths import REPLAYS
from forgetting.analysis.shipped_runs import shipped_forecaster, shipped_runs
from forgetting.errors import UsageError, checked, require
from forgetting.executors import of_workers
from forgetting.executors.bars import Bars
from forgetting.own_model.advice import Advice, Standing
from forgetting.own_model.allowance import Allowance, Speed, expected, next_dose, scaled
from forgetting.own_model.choice import MOST_TIMES, Prospect, choose, halved, ranked
from forgetting.own_model.given import WARM, keep_of, warm_up
from forgetting.own_model.plans import Planned, is_checkpoint, planned, words
from forgetting.record.store import Store
from forgetting.spec import PartValue, Spec
from forgetting.study.study import Study, construct

if TYPE_CHECKING:
    from forgetting.contracts import Model
    from forgetting.report.result import Result

ROUNDS = 3  # at most
USUAL_BUDGET = 2.0  # times the planned run
LOOKS, CHECKPOINT_LOOKS = 4, 3  # of a pilot, dose 0 aside; those of checkpoints are dear
SHORTEST_STEPS = 2  # batches of a pilot
TIMED = 64  # the part of the planned dose that is run to know this machine's speed, where the budget is time


def advise(
    model: PartValue,
    data: Any,
    *,
    original: Any = None,
    benchmarks: PartValue | Sequence[PartValue] = (),
    keep: Mapping[str, float] | str | Sequence[str] | None = None,
    budget: float | str | None = None,
    dose: int | None = None,
    rate: float | None = None,
    spec: Spec | None = None,
    output: str | Path = "runs",
    store: str | Path | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Advice:
    """What to do against forgetting when a model is tuned on some data: pilots on the model itself tell.

    First the model is asked the benchmarks as it is: where there is nothing to forget, that is the answer. Then short
    pilots are made: plain tuning at three rates, replay or self-replay, KL to the base, averaging, adapters. Those go
    on that are foreseen to keep most where all have learned as much. Only ``model`` and ``data`` are needed.

    Args:
        model: a checkpoint (folder, hub name or settings), or a capacity of the embedded world
        data: what it is to be tuned on: a path, rows, a part by name or with settings
        original: data like those that the model has its skills from, which are replayed; without them it replays itself
        benchmarks: what measures the skills, by name or with settings; by default of those in ``keep``
        keep: by skill, the retention that is wanted: a mapping, or ``"maths:.95"``, several with commas;
            by default .95 of maths, or of retrieval and sums where a checkpoint would have to fetch GSM8K
        budget: of all pilots: a multiple of the planned run, ``"2h"``, or operations ``"1e17op"``; left out: 2, or more
            where pilots would be too short
        dose: samples of the planned run; by default one's own data once, and 10,240 of an endless source
        rate: learning rate of the planned run
        spec: everything else of the planned run (batch size, schedule, devices, answers' length, ...)
        output: where the folder of the advice is made
        store: where students of the embedded world are kept
        workers: worker processes; by default as many as cores, 0 is this process
        quiet: say nothing on the way

    Raises:
        UsageError: one line that says which argument is wrong and why, or that the budget is too small
    """
    path: Any = str | os.PathLike
    output, store = Path(checked(output, path, "output")), checked(store, path | None, "store")
    spec = checked(spec, Spec | None, "spec")
    lenient, budget = budget is None, USUAL_BUDGET if budget is None else budget
    keep, allowance = checked(keep, Mapping | str | Sequence | None, "keep"), Allowance.of(budget)
    wanted = None if keep is None else keep_of(keep)
    asked = tuple(benchmarks) if isinstance(benchmarks, list | tuple) else (benchmarks,)
    require(dose is None or (type(dose) is int and dose >= 1), "dose", "a whole number, at least 1", dose)
    plan = planned(
        model, data, wanted, original=original, benchmarks=[b for b in asked if b], spec=spec, dose=dose, rate=rate
    )
    said = budget if isinstance(budget, str) else f"{budget:g}"
    return PilotRounds(
        plan, plan.keep, allowance, said, output, Store(Path(store) if store else None), workers, quiet, lenient
    )()


@dataclasses.dataclass
class PilotRounds:
    """The rounds of pilots of one plan."""

    plan: Planned
    keep: Mapping[str, float]
    allowance: Allowance
    budget: str
    output: Path
    store: Store
    workers: int | None
    quiet: bool
    lenient: bool = False  # pilots that the budget leaves too short are made as short as can be
    pace: Speed | None = None  # of a checkpoint, as it was found at the gate: of a sample, and of a look

    def __call__(self) -> Advice:
        """Measure, try, choose, and write."""
        standing = self._gate()
        part = self.plan.study.arms[0].contamination
        source = part.settings().get("source")
        advice = Advice(
            self.plan.study.students[0].name, Path(str(source)).name if source else part.short_name(), self.keep,
            standing, planned=self.plan.spec.doses.dose, notes=self._notes(part.short_name()), budget=self.budget,
            usual=self.plan.usual, words={arm: words(remedy) for arm, remedy in self.plan.remedies.items()},
            full_rate=self.plan.full_rate,
        )  # fmt: skip
        self.keep = {skill: level for skill, level in self.keep.items() if standing[skill].learned}
        if not self.keep:
            return advice
        rounds, prospects = self._rounds()
        choice = choose(prospects, self.keep, self.plan.usual)
        own = next(one for one in prospects if one.arm == choice.arm)
        done = dataclasses.replace(
            advice, keep=self.keep, choice=choice, prospects=tuple(prospects), rounds=tuple(rounds),
            spec=self.plan.chosen(own.arm, own.times), folder=self.folder,
        )  # fmt: skip
        return self._written(done)

    def _notes(self, source: str) -> tuple[str, ...]:
        """What was not tried, and that of other data little can be foretold."""
        known = set(shipped_runs()["source"])
        if source in known:
            return self.plan.notes
        what = f"forecasts have learned from {len(known)} data sets in the embedded world, and yours is none of them"
        return (*self.plan.notes, f"{what}: of most ways they cannot tell, and pilots decide")

    @property
    def folder(self) -> Path:
        """Named after the model and after all that the pilots depend on."""
        from forgetting.study.fingerprints import fingerprint, study_fingerprint

        of = {"study": study_fingerprint(self.plan.study), "keep": dict(self.keep), "budget": self.budget}
        return self.output / f"advice-{self.plan.study.students[0].name}-{fingerprint(of)[:8]}"

    def _gate(self) -> dict[str, Standing]:
        """How each skill stands at dose 0; what the model cannot do is left out of the plan."""
        from forgetting.own_model.gauge import pace, standings, writes

        model = self._model()
        if not writes(self.plan.study, model):
            self.plan = self.plan.without("self_replay", "self-replay was not tried: the model writes nothing")
        found = standings(self.plan.study, model)
        if is_checkpoint(self.plan.study) and any(one.learned for one in found.values()):
            self.pace = pace(self.plan.study, model)
        model.network.to("cpu")  # the pilots' processes want the device
        return {skill: found[skill] for skill in self.keep}

    def _model(self) -> Model:
        """The model as it is. A student of the embedded world is made first, if it is lacking."""
        from forgetting.executors.distilling import check_machine, make_students
        from forgetting.models.checkpoint import load
        from forgetting.stages.distil import student
        from forgetting.training.fit import place

        study = self.plan.study
        with of_workers(self.workers) as executor, Bars(self.quiet) as bars:
            check_machine(study, executor)
            bars.say("gate: is there anything to forget?")
            make_students(study, self.store, executor, bars, {})
        model = load(student(study, study.students[0], 0, self.store))
        place(model.network, study.spec.machine)
        return model

    def _rounds(self) -> tuple[list[tuple[int, tuple[str, ...]]], list[Prospect]]:
        """The rounds, and what was foreseen of every way in the last round that it was in."""
        from forgetting.own_model.gauge import timed
        from forgetting.own_model.prospects import prospects

        spec, costs, names = self.plan.spec, self.plan.costs(), [arm.name for arm in self.plan.study.arms]
        left = [name for name in names if name not in self.plan.reserve]
        methods, forecaster = frozenset(shipped_runs()["method"]), shipped_forecaster()
        allowance = self.allowance.in_samples(spec.doses.dose, self._operations())
        speed, spent, looks = Speed(0.0, 0.0), 0.0, CHECKPOINT_LOOKS if is_checkpoint(self.plan.study) else LOOKS
        if allowance.unit == "seconds":
            short = max(1, spec.doses.dose // TIMED)
            speed, spent = timed(self._round(self.plan.with_doses("timing", left[:1], short, 1)), short)
        latest, done = dict[str, Prospect](), list[tuple[int, tuple[str, ...]]]()
        many, most = self._many(allowance, spent, [costs[arm] for arm in left], speed), MOST_TIMES
        self._foretell(allowance, len(left), looks, many)
        for number in range(many):
            own = [costs[arm] for arm in left]
            dose = next_dose(allowance, spent, own, many - number, speed)
            dose = min(max(dose, self._shortest() if self.lenient else 0), math.ceil(spec.doses.dose * most))
            if done and dose <= done[-1][0]:
                break
            self._check(dose, len(left))
            result = self._round(self.plan.with_doses(f"round{number + 1}", left, dose, looks))
            speed, seconds = timed(result, dose * sum(own))
            spent += seconds if allowance.unit == "seconds" else dose * sum(own)
            found = prospects(result, spec.doses.dose, list(self.keep), costs, forecaster, methods)
            latest |= {one.arm: one for one in found}
            done.append((dose, tuple(left)))
            left = self._going_on(found)
            most = max(one.times for one in found if one.arm in left and one.learns)
        return done, [latest[name] for name in names if name in latest]

    def _foretell(self, allowance: Allowance, arms: int, looks: int, rounds: int) -> None:
        """Say before the pilots how long they take: of a large vocabulary the logits of a step outweigh all else."""
        if self.pace is None:
            return
        minutes, size = expected(allowance, self.pace, arms, looks, rounds) / 60, self.plan.spec.fine_tuning.batch_size
        each = f"a step of {size} samples {self.pace.sample * size:.2g} s, a look {self.pace.pilot:.2g} s"
        with Bars(self.quiet) as bars:
            bars.say(f"pilots: about {max(1, round(minutes)):,} minutes, one after another ({each})")

    def _going_on(self, found: Sequence[Prospect]) -> list[str]:
        """The better half, what would be advised now, and more replay than was tried, where that falls short."""
        left, first = halved(found, self.keep), ranked(found, self.keep)[0]
        left.append(choose(found, self.keep, self.plan.usual).arm)
        replays = [arm.name for arm in self.plan.study.arms if arm.mitigation.short_name() in REPLAYS]
        if first.arm in replays and not (first.told and first.margin(self.keep) >= 0):
            left += self.plan.reserve
        return [arm.name for arm in self.plan.study.arms if arm.name in left]

    def _many(self, allowance: Allowance, spent: float, costs: Sequence[float], speed: Speed) -> int:
        """As many rounds as leave the first one long enough for its rate to be warm: before that nothing is told."""
        warm = WARM * warm_up(self.plan.spec.fine_tuning)
        enough = (n for n in range(ROUNDS, 1, -1) if next_dose(allowance, spent, costs, n, speed) >= warm)
        return next(enough, 1)

    def _operations(self) -> float:
        from forgetting.own_model.gauge import operations

        return operations(self.plan.study) if self.allowance.unit == "operations" else 1.0

    def _shortest(self) -> int:
        return SHORTEST_STEPS * self.plan.spec.fine_tuning.batch_size

    def _check(self, dose: int, arms: int) -> None:
        least = self._shortest()
        if dose < least:
            rule = f"enough for {arms} pilots of {least} samples each"
            hint = f"; {scaled(self.budget, least / dose)} would do" if dose else ""
            raise UsageError(f"budget: must be {rule}, got {self.budget}, which is {dose} each{hint}")

    def _round(self, spec: Spec) -> Result:
        """One study, on from where it stands; a complete one is read."""
        from forgetting.report.result import load
        from forgetting.simulate import assemble, contaminate, lay_out, teach_and_distil
        from forgetting.study.fingerprints import study_fingerprint

        study: Study = construct(spec)
        folder = self.folder / f"{spec.name}-{study_fingerprint(study)[:8]}"
        with lay_out(study, folder, self.store, of_workers(self.workers), "off", self.quiet) as work:
            teach_and_distil(work)
            contaminate(work)
            assemble(work)
        return load(folder)

    def _written(self, advice: Advice) -> Advice:
        """The files of the advice beside the rounds."""
        from forgetting.own_model.recipes import recipe
        from forgetting.record.files import write_atomically
        from forgetting.study import spec_files

        assert advice.spec is not None
        done = dataclasses.replace(advice, recipe=recipe(construct(advice.spec), self.folder))
        head = f"# {done.words[done.prospects[0].arm] if done.chosen is None else done.words[done.chosen.arm]}\n"
        if not self.plan.own_original:
            head += (
                "# There are no original data: what ladder.original names is a stand-in, and nothing of it is read.\n"
            )
        write_atomically(self.folder / "advised.yaml", head + spec_files.dump(advice.spec))
        write_atomically(self.folder / "advice.json", done.to_json() + "\n")
        write_atomically(self.folder / "advice.md", f"```\n{done}\n```\n")
        return done
