"""A threshold sweep on one worker and on two, and what ``--dry-run`` expects of it: wall seconds of whole commands."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import earlier, in_turns, parser, ratio, spread, timed, together, write

from forgetting.executors import executor_of
from forgetting.spec import Doses
from forgetting.study import spec_files
from forgetting.sweep.cost import estimate_cost
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.sweep_spec import Stop, SweepSpec


def tiny(spec: SweepSpec) -> SweepSpec:
    """Two runs of a second."""
    ladder = dataclasses.replace(spec.study.ladder, students=spec.study.ladder.students[:2])
    study = dataclasses.replace(spec.study, ladder=ladder, doses=Doses(dose=40, first=40), seeds=1)
    target = dataclasses.replace(spec.targets[0], dose=0)
    search = dataclasses.replace(spec.search, round_size=2, startup_runs=2)
    return dataclasses.replace(spec, study=study, targets=(target,), search=search, stop=Stop(runs=2))


def command(file: Path, workers: int) -> float:
    """Wall seconds of ``forgetting sweep FILE --workers N``, start of Python and views included."""
    with tempfile.TemporaryDirectory() as output:
        words = ["sweep", str(file), "--workers", str(workers), "--output", output, "--quiet"]
        return timed(lambda: subprocess.run([sys.executable, "-m", "forgetting", *words], check=True))


def estimate(spec: SweepSpec, workers: int) -> float:
    """Wall seconds that ``--dry-run`` expects."""
    with executor_of({"name": "processes", "workers": workers}) as executor:
        return estimate_cost(construct_sweep(spec), executor).seconds


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "sweep_workers", pairs=2)
    options_of.add_argument("--sweep", type=Path, default=Path("sweeps/quick.yaml"))
    options = options_of.parse_args()
    before, spec = earlier(options), spec_files.built_from(SweepSpec, spec_files.read_mapping(options.sweep))
    spec = tiny(spec) if options.tiny else spec
    expected = [*before.get("estimates", []), estimate(spec, 2)]
    print(f"dry run, two workers: {expected[-1]:.1f} s", flush=True)
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "sweep.yaml"
        file.write_text(spec_files.dump(spec))
        sides = {"1": lambda: command(file, 1), "2": lambda: command(file, 2)}
        seconds = together(before.get("seconds"), in_turns(sides, options.pairs))
    taken = spread(seconds["2"])["median"]
    result = {
        "what": "wall seconds of a whole sweep on one worker over those on two (goal: 1.6 or more), and of the dry "
        "run's estimate over what the sweep took on two (goal: .7 to 1.3; under 180 s)",
        "sweep": str(options.sweep),
        "times_faster": ratio(seconds, "1", "2"),
        "seconds": seconds,
        "estimates": expected,
        "estimate_over_taken": spread([one / taken for one in expected]),
    }
    write(options.output, result)
    print(f"two workers are {result['times_faster']['median']:.2f} times as fast as one: {seconds}")
    print(f"estimate over taken: {result['estimate_over_taken']['median']:.2f}")


if __name__ == "__main__":
    main()
