"""How real studies and sweeps of hundreds of the tiniest runs weigh: what a run costs, and what the driver adds to it.

Every run is made: two looks at four items a depth, 40 samples of dialogue, the shipped 10k student (of a sweep the 34k
one as well). All is done in one process, so that its processor seconds are all there are, and its peak memory all that
is needed; what is not spent inside a run is the driver's share. ``load.py`` asks the same of records by formula, part
by part and in seconds.

    python speed/load_real.py --runs 250 500 2000 --trials 125 250 1000 --output results/speed/load_real.json
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from apart import main

from forgetting.executors import executor_of
from forgetting.executors.worker import carry_out
from forgetting.simulate import run_study
from forgetting.spec import Doses, Evaluation, Ladder, Optimiser, Spec
from forgetting.sweep.sweep import run_sweep
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target

STUDENTS, SHIFTS = ("10k", "34k"), (0.25, 0.5, 0.75, 0.9, 1.0)


def measured(place: Path, what: str, size: int) -> dict[str, Any]:
    """A study or a sweep of that many runs: its processor seconds, inside the runs and besides, memory and files."""
    from forgetting.executors import inline

    inside = [0.0]

    def timed(*values: Any) -> None:
        start = time.process_time()
        carry_out(*values)
        inside[0] += time.process_time() - start

    inline.carry_out = timed  # type: ignore[assignment]
    begin = time.process_time()
    result = (_study if what == "study" else _sweep)(place, size)
    whole = time.process_time() - begin
    assert len(list((result.folder / "runs").iterdir())) == size
    files = [path for path in result.folder.rglob("*") if path.is_file()]
    return {
        "runs": size, "cpu_seconds": round(whole, 1), "cpu_seconds_a_run": round(inside[0] / size, 3),
        "drivers_share": round(1 - inside[0] / whole, 3),
        "driver_cpu_milliseconds_a_run": round(1000 * (whole - inside[0]) / size, 1), "files": len(files),
        "mib": round(sum(path.stat().st_size for path in files) / 2**20, 1),
        "report_mib": round((result.folder / "report.html").stat().st_size / 2**20, 2),
    }  # fmt: skip


def _spec(name: str, seeds: int) -> Spec:
    return Spec(
        name=name, ladder=Ladder(students=STUDENTS[:1]), contaminations=("dialogue",), doses=Doses(dose=40, first=40),
        evaluation=Evaluation(benchmarks=({"name": "maths", "items_per_depth": 4},), probe_items=4, perturbed="never"),
        fine_tuning=Optimiser(batch_size=40), seeds=seeds, keep="none",
    )  # fmt: skip


def _study(place: Path, size: int) -> Any:
    from dataclasses import replace

    arms = 5
    spec = replace(_spec("study", size // arms), shifts=SHIFTS)
    return run_study(spec, output=place, store=place / "store", workers=0, stack="off", quiet=True)


def _sweep(place: Path, size: int) -> Any:
    from dataclasses import replace

    points = len(STUDENTS) * len(SHIFTS)
    study = replace(_spec("sweep", -(-size // points)), ladder=Ladder(students=STUDENTS), shifts=SHIFTS)
    spec = SweepSpec(study, (Target(skill="maths"),), Search("random", round_size=8), Stop(0.0, runs=size))
    return run_sweep(spec, executor=executor_of("inline"), output=place, store=place / "store", quiet=True)


if __name__ == "__main__":
    main(__doc__, measured, (250, 500, 2000), (125, 250, 1000))
