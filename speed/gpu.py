"""On a GPU: many replicas of a rung contaminated and evaluated as one stack, against one after another at R = 1.

The stack also with its training passes replayed as CUDA graphs (``machine.graphs``). All sides are whole runs of
contamination through the same code. Of single runs a few are timed and their seconds multiplied, as the result says.
Without a GPU the script says so and measures nothing, unless ``--tiny``.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from measuring import in_turns, parser, ratio, spread, student_folder, study_spec, timed, write

from forgetting.record.store import Store
from forgetting.spec import Doses, Machine
from forgetting.stages.contaminate import contaminate
from forgetting.stages.contaminate_stack import contaminate_stack
from forgetting.study.study import Study, construct


def peak(side: Callable[[], float]) -> float | None:
    """Runs a side once, and gives the most memory that it took on the GPU, in GiB."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    side()
    return torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else None


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "gpu")
    options_of.add_argument("--student", default="455k", help="a rung of the ladder")
    options_of.add_argument("--replicas", type=int, default=64)
    options_of.add_argument("--singles", type=int, default=2, help="single runs that are timed in a pair")
    options_of.add_argument("--dose", type=int, default=10_240)
    options = options_of.parse_args()
    if not torch.cuda.is_available() and not options.tiny:
        raise SystemExit("gpu: no CUDA device is at hand; nothing was measured")
    rung, count, dose = ("10k", 2, 64) if options.tiny else (options.student, options.replicas, options.dose)
    student_folder(rung)
    doses, per_depth = Doses(dose=dose, first=min(160, dose // 2)), 2 if options.tiny else 50
    spec = study_spec("gpu", rung, doses, per_depth, contaminations=("dialogue",), seeds=count)
    study, store = construct(spec), Store()
    keys = study.runs()

    def stacked(of: Study = study) -> float:
        with tempfile.TemporaryDirectory() as folder:
            folders = [Path(folder) / str(key) for key in keys]
            return timed(lambda: contaminate_stack(of, keys, folders, store))

    def singles() -> float:
        chosen = keys[: options.singles]
        with tempfile.TemporaryDirectory() as folder:
            seconds = timed(lambda: [contaminate(study, key, Path(folder) / str(key), store) for key in chosen])
        return seconds * len(keys) / len(chosen)

    sides = {"stacked": stacked, "one_after_another": singles}
    if torch.cuda.is_available():
        replayed = construct(dataclasses.replace(spec, machine=Machine(graphs=True)))
        sides["stacked_graphs"] = lambda: stacked(replayed)
    peaks = {name: peak(side) for name, side in sides.items()}
    seconds = in_turns(sides, options.pairs)
    times = {name: ratio(seconds, "one_after_another", name) for name in sides if name != "one_after_another"}
    result = {
        "what": "wall seconds of contamination runs with their evaluation, stacked and one after another (multiplied)",
        "student": rung,
        "replicas": count,
        "dose": dose,
        "single_runs_timed_in_a_pair": options.singles,
        "times_faster": times,
        "seconds": {name: spread(each) for name, each in seconds.items()},
        "peak_memory_gib": peaks,
    }
    write(options.output, result)
    for name, own in times.items():
        print(f"{rung} x {count}, {name}: {own['median']:.2f} times ({own['lowest']:.2f} to {own['highest']:.2f})")


if __name__ == "__main__":
    main()
