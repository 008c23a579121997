"""How a large study and a large sweep weigh: memory, files, seconds, and the report of 2,000 runs.

The records are synthetic, written by formula and not measured: what is tested is the machinery that joins, reads and
shows them, which does not know the difference. Of the study every part is what a run leaves (ledger parts, scores, a
completion marker with hashes), so that reading the runs back and checking them is measured as assembly does it. Of the
sweep the trials are told to the same journal that a sweep keeps. Each size is a process of its own, so that its peak
memory is its own. Seconds are the processor's, since a machine that others use as well would make any other longer.

    python speed/load.py --runs 500 1000 2000 --trials 250 500 1000 --output results/speed/load.json
"""

from __future__ import annotations

import dataclasses
import io
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from apart import main

from forgetting.analysis.scores import score_rows
from forgetting.record.files import RunFolder, jsonl, write_atomically
from forgetting.record.run_files import SCHEMA, read_marker, read_part, sealed_part
from forgetting.record.schema import ADDED, LEDGER_COLUMNS
from forgetting.record.seals import file_hash, write_sealed

DOSES, ITEMS, ARMS = (0, 40, 160, 640), 20, 10
STUDENTS = {"10k": 10_016, "34k": 34_240, "100k": 101_376, "175k": 175_104}


def measured(place: Path, what: str, size: int) -> dict[str, Any]:
    """A study or a sweep of that size."""
    return (study if what == "study" else sweep)(place, size)


def study(place: Path, runs: int) -> dict[str, Any]:
    """Write the runs, read them back as assembly does, build every view, open the page."""
    from forgetting.report import build
    from forgetting.report.result import load

    folder, keys = place / "study", [*_keys(runs)]
    begin = time.process_time()
    for number, key in enumerate(keys):
        _write_run(folder, key, number)
    written, begin = time.process_time() - begin, time.process_time()
    tables, lines = [], []
    for student, arm, seed in keys:
        run = RunFolder(folder / "runs" / f"{student}-{arm}-d0-s{seed}")
        read_marker(run)
        own = pa.concat_tables(read_part(run, dose)[0] for dose in run.doses())
        tables.append(own)
        lines.append(jsonl(map(dataclasses.asdict, score_rows(own.to_pandas(), {"maths": 0.0}, {"maths": 1}))))
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), buffer, compression="zstd")
    write_atomically(folder / "ledger.parquet", buffer.getvalue().to_pybytes())
    write_atomically(folder / "scores.jsonl", "".join(lines))
    write_sealed(folder / "record.json", _record())
    joined, begin = time.process_time() - begin, time.process_time()
    result = load(folder)
    frame = len(result.to_frame())
    loaded, begin = time.process_time() - begin, time.process_time()
    build.write_views(result, ("curves", "figures", "html"))
    page, begin = time.process_time() - begin, time.process_time()
    build.write_views(result, ("tensorboard",))
    events = time.process_time() - begin
    return {
        "runs": runs, "score_rows": frame, "files": sum(p.is_file() for p in folder.rglob("*")),
        "cpu_seconds_written": round(written, 1), "cpu_seconds_joined": round(joined, 1),
        "cpu_seconds_loaded": round(loaded, 1),
        "cpu_seconds_report": round(page, 1), "report_mib": round((folder / "report.html").stat().st_size / 2**20, 2),
        "cpu_seconds_tensorboard": round(events, 1), "cpu_seconds_open": _opening(folder / "report.html"),
        "tensorboard_mib": round(sum(p.stat().st_size for p in folder.rglob("*tfevents*")) / 2**20, 1),
    }  # fmt: skip


def sweep(place: Path, trials: int) -> dict[str, Any]:
    """Ask for and tell trials by the journal of a sweep, then open it again as a driver does that goes on."""
    import optuna

    from forgetting.sweep.storage import JOURNAL, open_storage

    storage = open_storage("", place)
    own = optuna.create_study(storage=storage, study_name="load", sampler=optuna.samplers.RandomSampler(seed=0))
    begin = time.process_time()
    for _ in range(trials):
        trial = own.ask()
        trial.suggest_categorical("student", list(STUDENTS))
        trial.suggest_categorical("shift", [1.0, 0.5, 0.2])
        for name in ("retention", "variance", "flops"):
            trial.set_user_attr(name, 0.5)
        own.tell(trial, 0.1)
    told, begin = time.process_time() - begin, time.process_time()
    again = optuna.load_study(storage=open_storage("", place), study_name="load")
    assert len(again.get_trials(deepcopy=False)) == trials
    opened = time.process_time() - begin
    size = (place / JOURNAL).stat().st_size / 2**20
    return {
        "trials": trials, "cpu_seconds_told": round(told, 1), "cpu_milliseconds_each": round(1000 * told / trials, 1),
        "cpu_seconds_opened_again": round(opened, 2), "journal_mib": round(size, 2),
    }  # fmt: skip


def _keys(runs: int) -> list[tuple[str, str, int]]:
    arms = [f"dialogue-shift{(number + 1) / ARMS:g}" for number in range(ARMS)]
    seeds = -(-runs // (len(STUDENTS) * ARMS))
    return [(s, a, n) for s in STUDENTS for a in arms for n in range(seeds)][:runs]


def _write_run(folder: Path, key: tuple[str, str, int], number: int) -> None:
    """Everything that a run leaves, by formula."""
    student, arm, seed = key
    run, luck, lines = RunFolder(folder / "runs" / f"{student}-{arm}-d0-s{seed}"), np.random.default_rng(number), []
    frames, names = [], [f"i{n}" for n in range(ITEMS)]
    for dose in DOSES:
        p = 0.95 / (1 + dose / (STUDENTS[student] / 50))
        frame = pd.DataFrame(
            {
                "student": student, "capacity": STUDENTS[student], "arm": arm, "distillation_seed": 0, "seed": seed,
                "dose": dose, "dose_tokens": 12 * dose, "stream_samples": dose, "benchmark": "maths", "skill": "maths",
                "variant": "original", "item": names, "problem": names,
                "template": "t", "depth": [1 + n % 2 for n in range(ITEMS)], "coverage": "common",
                "verdict": np.where(luck.random(ITEMS) < p, "right", "wrong"), "kind": "", "steps_right": 0,
                "steps_total": 1, "answer": [[1, 2, 3]] * ITEMS, "gold_tokens": 4, "nll_sum": 4 * (1.05 - p),
                "base_ce_sum": 4.0, "kl_sum": 0.1,
            }
        ).assign(**ADDED)[list(LEDGER_COLUMNS)]  # fmt: skip
        frames.append(frame)
        buffer = io.BytesIO()
        pq.write_table(sealed_part(pa.Table.from_pandas(frame, schema=SCHEMA, preserve_index=False)), buffer)
        run.ledger.mkdir(parents=True, exist_ok=True)
        run.ledger_part(dose).write_bytes(buffer.getvalue())
    rows = score_rows(pd.concat(frames), {"maths": 0.0}, {"maths": 1})
    lines.append(jsonl(map(dataclasses.asdict, rows)))
    run.scores.write_text("".join(lines))
    files = {str(p.relative_to(run.folder)): file_hash(p) for p in (run.scores, *map(run.ledger_part, DOSES))}
    write_sealed(run.complete, {"fingerprint": "load", "wall_seconds": {"training": 1.0}, "stack": 1, "files": files})


def _record() -> dict[str, Any]:
    settings = {"contamination": {"name": "dialogue"}, "rate_multiple": 1.0, "mitigation": {"name": "none"}}
    arms = dict.fromkeys(arm for _, arm, _ in _keys(len(STUDENTS) * ARMS))
    return {
        "name": "load",
        "arms": [{"name": a, "shift": float(a.removeprefix("dialogue-shift")), **settings} for a in arms],
        "students": [{"name": s, "capacity": c} for s, c in STUDENTS.items()], "seconds": {"training": 1.0},
        "benchmarks": {"maths": {"version": 1, "chance": 0.0, "skill": "maths"}},
    }  # fmt: skip


def _opening(page: Path) -> float:
    """Seconds in which an HTML parser has gone through the page; a browser lays it out as well."""
    from html.parser import HTMLParser

    begin = time.process_time()
    HTMLParser().feed(page.read_text(encoding="utf-8"))
    return round(time.process_time() - begin, 2)


if __name__ == "__main__":
    main(__doc__, measured, (500, 1000, 2000), (250, 500, 1000))
