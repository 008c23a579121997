"""Interval evaluation: runs of 10,000 dialogues and their controls, 500 items a skill, measured as before and as now.

In pairs, on shipped students.

Before: as at commit 343d8ed (``before.py``). Now: the engine as it is. Both sides train the same runs; their ledgers
are compared row by row.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import torch
from before import Before

from forgetting.contracts import Model
from forgetting.evaluation import looks
from forgetting.evaluation.bench import Bench
from forgetting.evaluation.evaluator import Evaluator
from forgetting.record.files import RunFolder, write_json
from forgetting.record.provenance import commit, hardware, versions
from forgetting.record.store import Store
from forgetting.spec import Doses, Evaluation, Ladder, PartValue, Spec
from forgetting.stages import contaminate
from forgetting.study.run import Run
from forgetting.study.study import Study, construct

STUDENTS = ("10k", "20k", "34k", "100k", "175k")
BENCHMARKS: tuple[PartValue, ...] = (
    {"name": "maths", "items_per_depth": 166},
    {"name": "code", "items_per_depth": 166},
    {"name": "traps", "items_per_form": 166},
    {"name": "lookup", "item_count": 500},
    {"name": "classification", "item_count": 500},
)


class BeforeBench(Bench):
    """Evaluators as they were."""

    def _made(self, study: Study, base: Model, run: RunFolder) -> Evaluator:
        return Before(base, study.benchmarks, [], "", study.spec.evaluation)


def run(study: Study, key: Run, folder: Path, store: Store, bench: Bench) -> tuple[dict[str, float], float]:
    """Wall seconds by stage of one run, and in all."""
    looks.same_weights = (lambda *_: False) if isinstance(bench, BeforeBench) else looks.same_weights
    if isinstance(bench, BeforeBench):
        bench.stop()  # it knew nothing of the run before
    start = time.perf_counter()
    contaminate.contaminate(study, key, folder, store, bench=bench)
    return json.loads(RunFolder(folder).complete.read_text())["wall_seconds"], time.perf_counter() - start


def ledger(folder: Path) -> pd.DataFrame:
    """All rows of a run."""
    return pd.concat([pq.read_table(p).to_pandas() for p in sorted((folder / "ledger").iterdir())], ignore_index=True)


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", nargs="+", default=["34k"], help="rungs of the ladder")
    parser.add_argument("--seeds", type=int, default=1, help="contamination seeds of each arm")
    parser.add_argument("--store", type=Path, default=Path("nowhere"), help="students that are not shipped")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a machine that is shared")
    parser.add_argument("--tiny", action="store_true", help="few items, a short stream: does the script work at all?")
    parser.add_argument("--output", type=Path, default=Path("results/speed/interval_evaluation.json"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.clock == "cpu":  # one thread: on an idle machine the two clocks agree
        time.perf_counter = time.process_time
    measured = Evaluation(benchmarks=BENCHMARKS, max_new_tokens=48)
    spec = Spec(
        name="interval_evaluation", ladder=Ladder(students=STUDENTS), contaminations=("dialogue",),
        controls=("original", "noise"), doses=Doses(dose=10_000, first=160), keep="none",
    )  # fmt: skip
    if options.tiny:
        few: tuple[PartValue, ...] = ({"name": "maths", "items_per_depth": 2}, {"name": "lookup", "item_count": 4})
        measured = dataclasses.replace(measured, benchmarks=few, probe_items=1)
        spec = dataclasses.replace(spec, doses=Doses(dose=64, first=32), controls=())
    study = construct(dataclasses.replace(spec, evaluation=measured, seeds=options.seeds))
    real, rows, sides = looks.same_weights, [], {"before": BeforeBench(), "now": Bench()}
    with tempfile.TemporaryDirectory() as home:
        keys = [key for name in options.students for key in study.runs() if key.student.name == name]
        for place, key in enumerate(keys):
            row: dict[str, Any] = {"run": str(key)}
            for side in list(sides) if place % 2 == 0 else list(sides)[::-1]:
                looks.same_weights = real
                folder = Path(home) / side / "runs" / str(key)
                stages, whole = run(study, key, folder, Store(options.store), sides[side])
                row |= {f"{side} {name}": seconds for name, seconds in stages.items()}
                row |= {f"{side} whole": round(whole, 3)}
            one, other = (ledger(Path(home) / side / "runs" / str(key)) for side in sides)
            row["answers"] = len(one)
            row["answers differing"] = int((one["answer"].map(list) != other["answer"].map(list)).sum())
            row["verdicts differing"] = int((one["verdict"] != other["verdict"]).sum())
            rows.append(row)
            print(row, flush=True)
    table = pd.DataFrame(rows)
    total = table.drop(columns="run").sum()
    ratio = total["before evaluation"] / total["now evaluation"]
    share = {side: float(total[f"{side} evaluation"] / total[f"{side} whole"]) for side in sides}
    result = {
        "what": "seconds of interval evaluation, as it was over as it is, same runs",
        "clock": options.clock,
        "ratio": round(float(ratio), 2),
        "ratio_by_run": {r["run"]: round(r["before evaluation"] / r["now evaluation"], 2) for r in rows},
        "share_of_wall_time": {side: round(s, 3) for side, s in share.items()},
        "runs": rows,
        "commit": commit(),
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.output, result)
    print(
        f"evaluation {total['before evaluation']:.1f} s before, {total['now evaluation']:.1f} s now: {ratio:.2f} times"
    )
    print(f"share of the runs' wall time: {share['before']:.0%} before, {share['now']:.0%} now")
    print(f"answers that differ: {int(total['answers differing'])} of {int(total['answers'])}")


if __name__ == "__main__":
    main()
