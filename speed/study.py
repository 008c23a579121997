"""Study throughput: a whole study of this project against the loops that a researcher writes today, run by run.

The study has one student, 8 seeds and 2 contaminations, a dose of 10,240 and 8 looks at 300 items. A pair is our whole
study, from an empty folder to the report, and one seed of both contaminations by each of the loops; ``--full`` lets the
loops do all of the runs. All get the same tokens in the same order, the same items and the same optimiser. Processor
seconds stand beside the wall seconds: others who use the machine cost two processes more wall time than one.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import statistics
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from loops import LOOPS, Job, Loop
from measuring import (
    Seconds,
    earlier,
    in_turns,
    parser,
    ratio,
    spread,
    student_folder,
    study_spec,
    timed,
    together,
    write,
)

from forgetting import seeds
from forgetting.batching import encode
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.report.result import Result
from forgetting.simulate import run_study
from forgetting.spec import Doses, Spec
from forgetting.study.arms import Arm
from forgetting.study.study import Study, construct
from forgetting.training.plan import mixed

Answers = dict[tuple[str, int, int], np.ndarray]  # (arm, seed, dose) to what is right, item by item


def spec(rung: str, *, tiny: bool, dose: int = 10_240, first: int = 160) -> Spec:
    """The study of the comparison, or a shorter one."""
    doses = Doses(dose=64, first=32) if tiny else Doses(dose=dose, first=first)
    return study_spec("throughput", rung, doses, 2 if tiny else 50, seeds=1 if tiny else 8, probe_items=1)


@dataclass(frozen=True)
class Setting:
    """What suits a loop best: torch threads, and prompts in a batch of ``generate``."""

    threads: int
    batch_items: int


class Ours:
    """The study by this project, with as many processes as cores."""

    def __init__(self, study: Study, workers: int | None, store: Path) -> None:
        self.study, self.workers, self.store = study, workers, store
        self.right: Answers = {}
        self.processor: list[float] = []  # seconds a run
        self.stages: list[dict[str, float]] = []

    def __call__(self) -> float:
        """Wall seconds a run, everything included: worker processes that start, records, figures, the report.

        The store is one for all pairs, as it is for all studies of a user: it holds what a rung's stacking would give
        on this machine, which is measured once.
        """
        with tempfile.TemporaryDirectory() as folder:
            results: list[Result] = []
            before = processor_seconds()
            seconds = timed(
                lambda: results.append(
                    run_study(self.study.spec, output=Path(folder), store=self.store, workers=self.workers, quiet=True)
                )
            )
            self.processor.append((processor_seconds() - before) / len(self.study.runs()))
            result = results[0]
            self.stages.append(dict(result.record["seconds"]))
            rows = result.ledger
            assert rows is not None
            rows = rows[rows["variant"] == "original"]
            for key, part in rows.groupby(["arm", "seed", "dose"], sort=False):
                self.right[key] = (part["verdict"] == "right").to_numpy()
        return seconds / len(self.study.runs())


class Theirs:
    """One seed of each contamination by a loop; the next pair takes the next seed."""

    def __init__(self, study: Study, loop: Loop, setting: Setting, *, first: int = 0, full: bool = False) -> None:
        self.study, self.loop, self.setting, self.full = study, loop, setting, full
        self.next_seed = first
        self.right: Answers = {}
        self.processor: list[float] = []  # seconds a run
        self.same_tokens = True
        self._spent = 0.0

    def __call__(self) -> float:
        """Wall seconds a run: load, tokenise, train, generate, grade; the samples are given and not counted."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.setting.threads)
        spec = self.study.spec
        every = range(spec.first_seed, spec.first_seed + spec.seeds)
        chosen = list(every) if self.full else [every[self.next_seed % spec.seeds]]
        self.next_seed += 1
        self._spent = 0.0
        seconds = [self._run(arm, seed) for arm in self.study.arms for seed in chosen]
        self.processor.append(self._spent / len(seconds))
        torch.set_num_threads(threads)
        return statistics.mean(seconds)

    def _run(self, arm: Arm, seed: int) -> float:
        spec, doses = self.study.spec, self.study.reached(arm)
        plan = mixed(
            arm.contamination, self.study.original, share=arm.share(), doses=doses,
            batch_size=spec.fine_tuning.batch_size, seed=seeds.integer(seed, "stream"),
        )  # fmt: skip
        stops = plan.stops(doses)
        job = Job(
            student=student_folder(spec.ladder.students[0]),
            samples=[plan.samples[i] for i in plan.index],
            stops=frozenset(stops),
            benchmarks=self.study.benchmarks,
            optimiser=arm.optimiser(spec.fine_tuning),
            max_new_tokens=spec.evaluation.max_new_tokens,
            batch_items=self.setting.batch_items,
        )
        found: list[Any] = []
        before = processor_seconds()
        seconds = timed(lambda: found.append(self.loop.run(job)))
        self._spent += processor_seconds() - before
        right, trainer = found[0]
        self.right |= {(arm.name, seed, stops[step]): np.array(r) for step, r in right.items()}
        self.same_tokens &= self._same_tokens(job, trainer)
        return seconds

    def _same_tokens(self, job: Job, trainer: Any) -> bool:
        """Whether the loop learned exactly the tokens that we learn, in the same order."""
        ours = encode(job.samples, HuggingFaceModel.load(job.student).tokenizer)
        theirs = self.loop.learned(trainer, len(job.samples))
        return all(
            ours.tokens_PT[i, :end].tolist() == tokens and ours.answer_PT[i, :end].tolist() == learned
            for i, (end, (tokens, learned)) in enumerate(zip(ours.end_P.tolist(), theirs, strict=True))
        )


def processor_seconds() -> float:
    """Processor seconds of this process and of those that it started and that ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def agreement(ours: Answers, theirs: Answers) -> dict[str, Any]:
    """Accuracies over the runs and doses that both measured, and the paired difference with its standard error."""
    keys = sorted(ours.keys() & theirs.keys())
    by_dose: dict[int, list[float]] = {}
    for arm, seed, dose in keys:
        by_dose.setdefault(dose, []).append(float(theirs[arm, seed, dose].mean() - ours[arm, seed, dose].mean()))
    differences = np.array([d for dose, each in by_dose.items() if dose for d in each])
    error = float(differences.std(ddof=1) / np.sqrt(len(differences))) if len(differences) > 1 else 0.0
    return {
        "looks": len(keys),
        "accuracy_ours": round(float(np.mean([ours[k].mean() for k in keys])), 4),
        "accuracy_theirs": round(float(np.mean([theirs[k].mean() for k in keys])), 4),
        "same_verdicts": round(float(np.mean([np.mean(ours[k] == theirs[k]) for k in keys])), 4),
        "difference_mean": round(float(differences.mean()), 5),
        "difference_standard_error": round(error, 5),
        "difference_by_dose": {str(d): round(float(np.mean(each)), 4) for d, each in sorted(by_dose.items())},
        "within_two_standard_errors": bool(abs(differences.mean()) <= 2 * error + 1e-12),
    }


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "study")
    options_of.add_argument("--student", default="34k", help="a rung of the ladder")
    options_of.add_argument("--loops", nargs="+", default=list(LOOPS), choices=list(LOOPS))
    options_of.add_argument("--workers", type=int, default=None, help="our processes; by default as many as cores")
    options_of.add_argument("--full", action="store_true", help="the loops make all runs of the study, too")
    options_of.add_argument("--first", type=int, default=0, help="the loops' first seed")
    options = options_of.parse_args()
    study = construct(spec(options.student, tiny=options.tiny))
    store = Path(tempfile.mkdtemp(prefix="forgetting-speed-"))
    ours = Ours(study, options.workers, store)
    warm = dataclasses.replace(spec(options.student, tiny=True), seeds=4)
    Ours(construct(warm), options.workers, store)()  # files into the cache, and the rung's stacking measured
    tried = {name: settings(name, options) for name in options.loops}
    theirs = {
        name: Theirs(study, LOOPS[name], tried[name][0][0], first=options.first, full=options.full) for name in tried
    }
    before = earlier(options)
    seconds: Seconds = before.get("seconds_per_run", {})
    for pair in range(options.pairs):  # written after each pair: what an interruption costs is one of them
        seconds = together(seconds, in_turns({"forgetting": ours, **theirs}, 1, pair))
        found = result(options, before, seconds, tried, ours, theirs)
        write(options.output, found)
    for name, times in found["times_faster_than"].items():
        print(f"{name}: {times['median']:.2f} times ({times['lowest']:.2f} to {times['highest']:.2f})")
        print(f"  same tokens {found['same_tokens'][name]}, {found['agreement'][name][-1]}")
    print(found["median_seconds_per_run"])
    less = {name: times["median"] for name, times in found["times_less_processor_time_than"].items()}
    print(f"times less processor time: {less}")


def result(
    options: argparse.Namespace,
    before: Mapping[str, Any],
    seconds: Seconds,
    tried: Mapping[str, list[tuple[Setting, float]]],
    ours: Ours,
    theirs: Mapping[str, Theirs],
) -> dict[str, Any]:
    """What the pairs so far say; ``before`` is what an earlier call found."""
    runs, arms = len(ours.study.runs()), len(ours.study.arms)
    spent = {"forgetting": ours.processor, **{name: side.processor for name, side in theirs.items()}}
    processor = together(before.get("processor_seconds_per_run"), spent)
    return {
        "what": "seconds a run of a study: our whole study over its runs, and single runs of the loops",
        "student": options.student,
        "runs": runs,
        "runs_of_a_loop_in_a_pair": runs if options.full else arms,
        "settings_tried": {
            name: [{**dataclasses.asdict(setting), "seconds": round(s, 3)} for setting, s in each]
            for name, each in tried.items()
        },
        "times_faster_than": {name: ratio(seconds, name, "forgetting") for name in theirs},
        "seconds_per_run": {name: [round(s, 3) for s in each] for name, each in seconds.items()},
        "median_seconds_per_run": {name: spread(each)["median"] for name, each in seconds.items()},
        "times_less_processor_time_than": {name: ratio(processor, name, "forgetting") for name in theirs},
        "processor_seconds_per_run": {name: [round(s, 3) for s in each] for name, each in processor.items()},
        "stages": [*before.get("stages", []), *ours.stages],
        "same_tokens": {name: side.same_tokens for name, side in theirs.items()},
        "agreement": {
            name: [*before.get("agreement", {}).get(name, []), agreement(ours.right, side.right)]
            for name, side in theirs.items()
        },
    }


def settings(name: str, options: argparse.Namespace) -> list[tuple[Setting, float]]:
    """Settings of a loop with the seconds of a short run, the fastest first; it is the one that is measured."""
    short = construct(spec(options.student, tiny=options.tiny, dose=1_280, first=640))
    short = dataclasses.replace(short, arms=short.arms[:1])
    tried = [Setting(1, 150)] if options.tiny else [Setting(n, b) for n in (1, 2) for b in (75, 150, 300)]
    Theirs(short, LOOPS[name], tried[0])()
    return sorted(((one, Theirs(short, LOOPS[name], one)()) for one in tried), key=lambda pair: pair[1])


if __name__ == "__main__":
    main()
