"""Flip a bit, go on, compare: nothing that a damaged file says may become a number. 300 times over all kinds of files.

Four folders are made: a study and a sweep, each finished and cut off in the middle. Then, again and again, one of them
is copied, one bit at a random place of a random file of a random kind is flipped, and the folder is gone on with and
read; figures and page, which nothing reads, are drawn in the four folders only. A flip is *noticed* (one line that
names the file), *harmless* (the same scores and record as without it), or a failure: *unclear* (noticed, but not by
such a line) or *silent* (other numbers).

    python validation/flips.py --flips 300 --output results/validation/flips.json
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from forgetting import load
from forgetting.executors import executor_of
from forgetting.record.files import write_json
from forgetting.record.provenance import commit
from forgetting.report import first_views
from forgetting.report.build import write_views
from forgetting.resume import resume
from forgetting.simulate import run_study
from forgetting.spec import Doses, Evaluation, Ladder, Optimiser, Spec
from forgetting.sweep.resume_sweep import resume_sweep
from forgetting.sweep.runs import Runs
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target
from tests.trust.damage import Flip, counts, flip_once, plain_record

STUDY = Spec(
    name="flips", ladder=Ladder(students=("34k",)), contaminations=("dialogue",), doses=Doses(dose=80, first=40),
    evaluation=Evaluation(benchmarks=({"name": "maths", "items_per_depth": 4},), probe_items=4, perturbed="never"),
    fine_tuning=Optimiser(batch_size=8), seeds=2, keep="all",
)  # fmt: skip


def main() -> None:
    """Make the folders, flip, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--minutes", type=float, default=1e6, help="stop then, and say how many there were")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        begin, mark = time.monotonic(), commit()
        found = flips(Path(place), given.flips, given.seed, given.minutes)
    bad = [dataclasses.asdict(f) for own in found.values() for f in own if f.found in ("unclear", "silent")]
    kinds = collections.Counter(f"{Path(f.file).suffix or f.file} {f.found}" for own in found.values() for f in own)
    whole = {
        "commit": mark, "seed": given.seed, "flips": sum(map(len, found.values())), "failures": bad,
        "seconds": round(time.monotonic() - begin), "processor_seconds": round(time.process_time()),
        "by_folder": {name: counts(own) for name, own in found.items()}, "by_kind": dict(sorted(kinds.items())),
    }  # fmt: skip
    print(json.dumps(whole, indent=1))
    if given.output:
        write_json(given.output, whole)
    sys.exit(bool(bad))


def flips(place: Path, count: int, seed: int, minutes: float = 1e6) -> dict[str, list[Flip]]:
    """Flips in each of the four folders, in turn, until there were so many or the time is up."""
    end = time.monotonic() + 60 * minutes
    rng, made, found = random.Random(seed), folders(place / "pristine"), collections.defaultdict[str, list[Flip]](list)
    expected = {}
    for name, (pristine, numbers) in made.items():
        work = place / "unharmed" / name / pristine.name
        shutil.copytree(pristine, work)
        expected[name] = numbers(work)
    with mock.patch.object(first_views, "write_views", lambda study: write_views(study, ["curves"])):
        for number in range(count):
            if time.monotonic() > end:
                break
            name = list(made)[number % len(made)]
            pristine, numbers = made[name]
            work = place / "work" / pristine.name
            found[name].append(flip_once(pristine, work, rng, numbers, expected[name]))
            last = found[name][-1]
            if last.found in ("unclear", "silent") or number % 20 == 0:
                sys.stderr.write(f"{number}: {name}, {last}\n")
    return dict(found)


def folders(place: Path) -> dict[str, tuple[Path, Callable[[Path], Any]]]:
    """By name: a folder, and what gives its numbers."""
    finished = run_study(STUDY, output=place / "study", store=place / "store", workers=0, quiet=True).folder
    cut = place / "cut" / finished.name
    shutil.copytree(finished, cut)
    cut_off(cut)
    small = SweepSpec(
        dataclasses.replace(STUDY, ladder=Ladder(students=("10k", "34k")), name="sweep"), (Target(skill="maths"),),
        Search("grid", round_size=2, startup_runs=2), Stop(0.0, runs=4),
    )  # fmt: skip
    swept = run_sweep(small, executor=executor_of("inline"), output=place / "sweep", store=place / "store", quiet=True)
    half = stopped_sweep(small, place)
    return {
        "finished study": (finished, study_numbers),
        "study that was cut off": (cut, lambda f: (finish(f, place / "store"), study_numbers(f))[1]),
        "finished sweep": (swept.folder, sweep_numbers),
        "sweep that was cut off": (half, lambda f: (go_on(f, place / "store"), sweep_numbers(f))[1]),
    }  # fmt: skip


def cut_off(folder: Path) -> None:
    """Make of a finished study one that was killed in its last run, after the look at dose 40."""
    for name in ("record.json", "report.html", "curves.csv", "scores.jsonl", "ledger.parquet"):
        (folder / name).unlink()
    run = sorted((folder / "runs").iterdir())[-1]
    (run / "complete.json").unlink()
    (run / "ledger" / "dose-00000080.parquet").unlink()
    (run / "checkpoint" / "dose-00000080.safetensors").unlink()
    shutil.copy(run / "checkpoint" / "dose-00000040.safetensors", run / "checkpoint" / "last.safetensors")


def stopped_sweep(spec: SweepSpec, place: Path) -> Path:
    """A sweep that was interrupted before its second round."""
    submit, calls = Runs.submit, []

    def once(self: Runs, keys: Any) -> Any:
        calls.extend(keys)
        if len(calls) > 2:
            raise KeyboardInterrupt
        return submit(self, keys)

    Runs.submit = once  # type: ignore[method-assign]
    try:
        run_sweep(spec, executor=executor_of("inline"), output=place / "half", store=place / "store", quiet=True)
    except KeyboardInterrupt:
        pass
    finally:
        Runs.submit = submit  # type: ignore[method-assign]
    return next((place / "half").iterdir())


def finish(folder: Path, store: Path) -> None:
    """Resume a study."""
    resume(folder, store=store, workers=0, quiet=True)


def go_on(folder: Path, store: Path) -> None:
    """Resume a sweep."""
    resume_sweep(folder, executor=executor_of("inline"), store=store, quiet=True)


def study_numbers(folder: Path) -> Any:
    """Everything that a study says, but for clocks."""
    result = load(folder)
    assert result.ledger is not None
    return result.to_frame().to_json(), result.ledger.to_json(), json.dumps(plain_record(result.record), sort_keys=True)


def sweep_numbers(folder: Path) -> Any:
    """Everything that a sweep says, but for clocks."""
    from forgetting.report.sweeps.read import read_sweep

    numbers, sweep = study_numbers(folder), read_sweep(load(folder))
    assert sweep is not None
    thresholds = [str(target.thresholds) for target in sweep.targets]
    trials = [target.trials.drop(columns="seconds").to_json() for target in sweep.targets]
    return (*numbers, thresholds, trials)


if __name__ == "__main__":
    main()
