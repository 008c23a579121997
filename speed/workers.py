"""Two worker processes against one on the same study: how close the ladder's throughput comes to twice one core's."""

from __future__ import annotations

import tempfile
from pathlib import Path

from measuring import earlier, in_turns, parser, ratio, spread, study_spec, timed, together, write

from forgetting.simulate import run_study
from forgetting.spec import Doses


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "workers")
    options_of.add_argument("--student", default="34k", help="a rung of the ladder")
    options_of.add_argument("--seeds", type=int, default=8, help="as in the study that study.py measures")
    options_of.add_argument("--dose", type=int, default=10_240)
    options = options_of.parse_args()
    doses, per_depth = (Doses(dose=32, first=32), 2) if options.tiny else (Doses(dose=options.dose, first=160), 50)
    seeds = 1 if options.tiny else options.seeds
    spec = study_spec("workers", options.student, doses, per_depth, seeds=seeds)
    stage: dict[str, list[float]] = {"1": [], "2": []}

    def study(workers: int) -> float:
        with tempfile.TemporaryDirectory() as folder:
            seconds = timed(lambda: run_study(spec, output=Path(folder), workers=workers, quiet=True))
            found = run_study(spec, output=Path(folder), workers=workers, quiet=True)
            stage[str(workers)].append(float(found.record["seconds"]["contamination"]))
        return seconds

    before = earlier(options)
    seconds = in_turns({"1": lambda: study(1), "2": lambda: study(2)}, options.pairs)
    seconds, stage = together(before.get("whole"), seconds), together(before.get("alone"), stage)
    result = {
        "what": "wall seconds of one study with one and with two worker processes of one thread each",
        "student": options.student,
        "runs": 2 * spec.seeds,
        "dose": spec.doses.dose,
        "times_faster_whole_study": ratio(seconds, "1", "2"),
        "times_faster_runs_alone": ratio(stage, "1", "2"),
        "seconds_whole_study": {name: spread(each)["median"] for name, each in seconds.items()},
        "seconds_runs_alone": {name: spread(each)["median"] for name, each in stage.items()},
        "whole": seconds,
        "alone": stage,
    }
    write(options.output, result)
    for name in ("times_faster_whole_study", "times_faster_runs_alone"):
        found = result[name]
        print(f"{name}: {found['median']:.2f} ({found['lowest']:.2f} to {found['highest']:.2f})")


if __name__ == "__main__":
    main()
