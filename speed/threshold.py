"""What a threshold costs, end to end: seconds of two cores until the smallest size that keeps a level is known.

Known means a 90% interval by students, .25 decades wide in full (``--width``). Runs needed are counted on a measured
sweep: ours takes as many students of every size as that needs, all at once; what a researcher does today is an Optuna
study whose TPE or ``GPSampler`` asks for one size after another, a fresh student each and one run for one dose. Its
study has no interval, so ours is read for all, after every seventh run. Outcomes of students are drawn from those
that were measured, without repetition until a size is used up. Seconds of a run and of a student are measured here, in
turns; those of the others are a run's seconds times runs needed, and no study of theirs was run whole. A student costs
all the same.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
from distillation import WAYS, measured, written
from distillation import study as distilled
from loops import LOOPS
from measuring import begin, in_turns, parser, ratio, spread, study_spec, write
from optuna.distributions import FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, TPESampler
from study import Ours, Setting, Theirs

from forgetting import seeds
from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.study_folder import open_study
from forgetting.record.store import Store
from forgetting.spec import Doses
from forgetting.study.study import construct

sys.path.append(str(Path(__file__).parents[1] / "validation"))
from scatter import points

MOST_RUNS, EVERY = 140, 7
WAY = "to the target, rate x .5"


def decades(runs: pd.DataFrame, level: float, items: float) -> float:
    """How wide the interval is that these runs give; infinite where the threshold is not located."""
    variance = runs["variance"] if "variance" in runs else np.full(len(runs), 1 / items)
    found = estimate_threshold(
        np.log10(runs["capacity"].to_numpy(float)), runs["retention"], variance, axis="capacity", level=level,
        students=np.arange(len(runs)),
    )  # fmt: skip
    return found.decades if found.located else float("inf")


def located(runs: pd.DataFrame, level: float, width: float) -> bool:
    """Whether these runs know the threshold well enough."""
    return decades(runs, level, float(runs["items"].iloc[0])) <= width + 1e-9


def widths(runs: pd.DataFrame, level: float, repetitions: int, width: float) -> list[dict[str, Any]]:
    """By students a size: the median width of the interval, and in how many draws it was wide enough at most."""
    found, most = [], int(runs.groupby("capacity").size().min())
    for k in sorted({1, 2, 4, most}):
        drawn = []
        for n in range(1 if k == most else repetitions):
            rng = seeds.generator(n, "threshold", "widths", str(level))
            shuffled = runs.sample(frac=1, random_state=rng)
            own = shuffled[shuffled.groupby("capacity").cumcount() < k]
            drawn.append(decades(own, level, float(runs["items"].iloc[0])))
        row = {"students a size": k, "runs": k * runs["capacity"].nunique(), "draws": len(drawn)}
        row |= {"median decades": round(float(np.median(drawn)), 3), "narrowest": round(min(drawn), 3)}
        found.append(row | {f"within {width:g}": sum(one <= width for one in drawn)})
        print(level, found[-1], flush=True)
    return found


def ours_needed(runs: pd.DataFrame, level: float, width: float, rng: np.random.Generator) -> int | None:
    """Runs until ``k`` students of every size are enough; None where all that were measured are not."""
    shuffled = runs.sample(frac=1, random_state=rng)
    place = shuffled.groupby("capacity").cumcount()
    for k in range(1, int(place.max()) + 2):
        own = shuffled[place < k]
        if located(own, level, width):
            return len(own)
    return None


def theirs_needed(
    runs: pd.DataFrame, level: float, width: float, way: str, number: int, most: int = MOST_RUNS
) -> int | None:
    """Runs until an Optuna study that minimises the distance from the level has told enough; None: not in ``most``."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    rng = seeds.generator(number, "threshold", way, str(level))
    sampler: BaseSampler = GPSampler(seed=number) if way == "gp" else TPESampler(seed=number)
    study, sizes = optuna.create_study(sampler=sampler), np.sort(runs["capacity"].unique())
    waiting: dict[int, list[int]] = {int(size): [] for size in sizes}
    taken, kept = list[int](), runs["retention"].to_dict()
    while len(taken) < most:
        ends = float(np.log10(sizes[0])), float(np.log10(sizes[-1]))
        trial = study.ask({"capacity": FloatDistribution(*ends)})
        size = int(sizes[np.argmin(np.abs(np.log10(sizes) - trial.params["capacity"]))])
        if not waiting[size]:
            waiting[size] = list(rng.permutation(runs.index[runs["capacity"] == size]))
        taken.append(waiting[size].pop())
        study.tell(trial, abs(float(kept[taken[-1]]) - level))
        if len(taken) % EVERY == 0 and located(runs.loc[taken], level, width):
            return len(taken)
    return None


def needed(runs: pd.DataFrame, level: float, width: float, repetitions: int, most: int) -> dict[str, Any]:
    """Runs needed by each way: the median over repetitions, and how often it got there."""
    found: dict[str, Any] = {}
    for way in ("forgetting", "tpe", "gp"):
        counts = [
            ours_needed(runs, level, width, seeds.generator(n, "threshold", str(level)))
            if way == "forgetting" else theirs_needed(runs, level, width, way, n, most)
            for n in range(repetitions)
        ]  # fmt: skip
        reached = [count for count in counts if count is not None]
        middle = statistics.median([count if count is not None else float("inf") for count in counts])
        found[way] = {"median_runs": middle if np.isfinite(middle) else None, "reached": len(reached),
                      "repetitions": repetitions, "runs": counts}  # fmt: skip
        print(level, way, found[way], flush=True)
    return found


def main() -> None:
    """Count, measure, print, write."""
    options_of = parser(__doc__, "threshold", pairs=3)
    options_of.add_argument("folder", type=Path, help="a sweep whose unit is the student")
    options_of.add_argument("--arm", default="dialogue-shift0.5-constant")
    options_of.add_argument("--dose", type=int, default=1280)
    options_of.add_argument("--levels", type=float, nargs="+", default=[0.9, 0.5])
    options_of.add_argument("--repetitions", type=int, default=5)
    options_of.add_argument("--width", type=float, default=0.25, help="of the interval, in decades, in full")
    options_of.add_argument("--widths", action="store_true", help="only how wide intervals are, by students a size")
    options_of.add_argument("--student", default="34k", help="the rung whose runs are timed")
    options_of.add_argument("--loops", nargs="+", default=list(LOOPS), choices=list(LOOPS))
    options = options_of.parse_args()
    begin(options)
    runs = points(open_study(options.folder).scores, "maths", options.arm, options.dose)
    runs["retention"] = pd.to_numeric(runs["retention"])
    if options.tiny:
        options.levels, options.repetitions = [0.5], 1
    if options.widths:
        found = {f"{level:g}": widths(runs, level, options.repetitions, options.width) for level in options.levels}
        ladder = np.diff(np.log10(np.sort(runs["capacity"].unique().astype(float))))
        what = "how wide the 90% interval by students of the measured sweep is, in decades, by students a size"
        head = {"what": what, "folder": options.folder.name, "arm": options.arm, "dose": options.dose}
        write(options.output, head | {"steps_of_the_ladder": ladder.round(3).tolist(), "widths": found})
        return
    most = EVERY if options.tiny else MOST_RUNS
    counts = {f"{level:g}": needed(runs, level, options.width, options.repetitions, most) for level in options.levels}
    doses = Doses(dose=64, first=32) if options.tiny else Doses(dose=options.dose, first=160)
    of = study_spec("threshold", options.student, doses, 2 if options.tiny else 170, contaminations=("dialogue",),
                    seeds=2 if options.tiny else 8, probe_items=1)  # fmt: skip
    made = construct(dataclasses.replace(of, shifts=(0.5,)))
    sides: dict[str, Any] = {"forgetting": Ours(made, None, Path(tempfile.mkdtemp(prefix="forgetting-speed-")))}
    # One run for one dose: looks before it are what the others leave out.
    single = construct(dataclasses.replace(of, shifts=(0.5,), doses=Doses(dose=doses.dose, first=doses.dose)))
    sides |= {name: Theirs(single, LOOPS[name], Setting(1, 150)) for name in options.loops}
    seconds = in_turns(sides, options.pairs)
    store = Store(None)
    student = distilled("width-32", WAYS[WAY], 640 if options.tiny else 192_000, 640 if options.tiny else 96_000)
    pool = written(student, store, 0)
    taught = measured(student, store.root / "answers", 0)["seconds"]
    whole = {}
    for level, by_way in counts.items():
        mine = by_way["forgetting"]["median_runs"]
        for name in options.loops:
            for way in ("tpe", "gp"):
                other = by_way[way]["median_runs"]
                one, their = (statistics.median(seconds[side]) for side in ("forgetting", name))
                row = {"forgetting": mine and round(mine * one + mine * taught / 2, 1)}
                row[f"{name} under {way}"] = other and round(other * (their + taught) / 2, 1)
                row["times"] = mine and other and round(other * (their + taught) / (2 * mine * one + mine * taught), 2)
                row["times, students at hand"] = mine and other and round(other * their / (2 * mine * one), 2)
                whole[f"level {level}, {name} under {way}"] = row
                print(level, name, way, row)
    write(options.output, {
        "what": "seconds of two cores until a 90% interval by students is narrow enough; peers: measured runs times "
        "runs needed, two at a time",
        "width": options.width,
        "folder": options.folder.name, "arm": options.arm, "dose": options.dose, "runs_needed": counts,
        "seconds_a_run": {name: spread(each) for name, each in seconds.items()},
        "seconds_a_run_are": "ours: wall seconds of two workers, views and start included; theirs: of one process",
        "seconds_a_student": taught, "seconds_of_the_pool": round(pool, 1),
        "times_faster_a_run": {name: ratio(seconds, name, "forgetting") for name in options.loops},
        "whole": whole,
    })  # fmt: skip


if __name__ == "__main__":
    main()
