"""Scaling: wall time of the contamination stage against dose, items and number of runs, with the fitted exponents.

Dose and items: one run in this process. Runs: seeds of one study, on as many worker processes as there are cores. The
exponent is the slope of log seconds against log size, the line beside it is fixed seconds plus seconds a unit.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from measuring import begin, earlier, in_turns, parser, spread, student_folder, study_spec, write
from scipy import stats

from forgetting.simulate import run_study
from forgetting.spec import Doses, Spec

SIZES = {
    "dose": (320, 640, 1280, 2560, 5120),
    "items": (60, 120, 240, 480, 960),
    "runs": (2, 4, 8, 16),
}
TINY = {"dose": (32, 64, 128), "items": (6, 12, 18), "runs": (1, 2, 3)}


def study(rung: str, *, dose: int, items: int, runs: int) -> Spec:
    """One student, dialogue, looks at dose 0, a half and all of it."""
    doses, sources = Doses(dose=dose, first=dose // 2), ("dialogue",)
    return study_spec("scaling", rung, doses, items // 6, contaminations=sources, seeds=runs, probe_items=1)


def seconds_of(spec: Spec, workers: int | None) -> float:
    """Wall seconds of the stage that contaminates, as the study's record tells them."""
    with tempfile.TemporaryDirectory() as folder:
        result = run_study(spec, output=Path(folder), workers=workers, quiet=True)
        return float(result.record["seconds"]["contamination"])


def fitted(sizes: list[float], seconds: list[float]) -> dict[str, Any]:
    """Exponent with its 95% interval, and the straight line."""
    x, y = np.log(sizes), np.log(seconds)
    line = stats.linregress(x, y)
    half = float(stats.t.ppf(0.975, len(x) - 2) * line.stderr)
    unit, fixed = np.polyfit(sizes, seconds, 1)
    return {
        "exponent": round(float(line.slope), 3),
        "exponent_interval": [round(float(line.slope) - half, 3), round(float(line.slope) + half, 3)],
        "fixed_seconds": round(float(fixed), 3),
        "seconds_a_unit": round(float(unit), 6),
    }


def axis(name: str, rung: str, sizes: tuple[int, ...], rounds: int, workers: int | None) -> dict[str, Any]:
    """One axis, its sizes in turns."""
    plain = {"dose": 640, "items": 60, "runs": 1} | ({"dose": 64, "items": 6} if sizes in TINY.values() else {})
    sides: dict[str, Callable[[], float]] = {
        str(size): partial(seconds_of, study(rung, **{**plain, name: size}), workers if name == "runs" else 0)
        for size in sizes
    }
    next(iter(sides.values()))()
    seconds = in_turns(sides, rounds)
    pooled = [(float(size), s) for size, each in seconds.items() for s in each]
    return {
        "held": {key: value for key, value in plain.items() if key != name},
        "seconds": {size: spread(each) for size, each in seconds.items()},
        **fitted([size for size, _ in pooled], [s for _, s in pooled]),
    }


def main() -> None:
    """Measure, print, write."""
    options_of = parser(__doc__, "scaling")
    options_of.add_argument("--student", default="34k", help="a rung of the ladder")
    options_of.add_argument("--axes", nargs="+", default=list(SIZES), choices=list(SIZES))
    options_of.add_argument("--workers", type=int, default=None, help="processes for the runs; by default all cores")
    options = options_of.parse_args()
    begin(options)
    student_folder(options.student)
    kept = earlier(options).get("axes", {})
    for name in options.axes:
        sizes = (TINY if options.tiny else SIZES)[name]
        kept[name] = axis(name, options.student, sizes, options.pairs, options.workers)
        low, high = kept[name]["exponent_interval"]
        print(
            f"{name}: exponent {kept[name]['exponent']:.2f} ({low:.2f} to {high:.2f}); "
            f"{kept[name]['fixed_seconds']:.2f} s + {kept[name]['seconds_a_unit']:.5f} s a unit",
            flush=True,
        )
    what = "wall seconds of the contamination stage; every size is measured in each round, in turns"
    write(options.output, {"what": what, "student": options.student, "axes": kept})


if __name__ == "__main__":
    main()
