"""The record of a study, joined from its runs' last: their ledgers and scores in, the files of its folder out."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from forgetting.analysis.diverged import diverged
from forgetting.analysis.other_ways import way_tables
from forgetting.analysis.scores import plain_rows, score_rows
from forgetting.errors import UsageError
from forgetting.record.files import RunFolder, jsonl, write_atomically
from forgetting.record.run_files import read_marker, read_part, read_rows
from forgetting.record.schema import ANSWERING_FILE, FAILURES_FILE, PASSING_FILE, PROBING_FILE
from forgetting.record.seals import file_hash, write_sealed
from forgetting.record.store import Store
from forgetting.stages.failed_answers import failed_answers
from forgetting.stages.folder import run_folder
from forgetting.stages.study_record import study_record
from forgetting.study.fingerprints import fingerprint, run_form
from forgetting.study.run import Run
from forgetting.study.study import Study

JOINED = ("ledger.parquet", "scores.jsonl", ANSWERING_FILE, PASSING_FILE, PROBING_FILE, FAILURES_FILE)


def assemble(
    study: Study,
    folder: Path,
    store: Store,
    made: dict[str, float],
    wall_seconds: float,
    commits: list[str],
    runs: Sequence[Run] | None = None,
) -> None:
    """Join the ledgers and scores of ``runs`` (by default all), in the given order; ``record.json`` is written last.

    Runs that were ended early stand in the record under ``pruned``, with the dose of their last look; those whose
    student became no finite numbers under ``diverged``, with the first such dose. ``notes`` are what mitigations told.
    """
    runs = study.runs() if runs is None else runs
    seconds: dict[str, float] = {stage: round(s, 2) for stage, s in made.items()}
    tables, lines, pruned, rates = [], [], list[dict[str, Any]](), dict[str, dict[str, Any]]()
    unverified, broken, failed = list[str](), list[dict[str, Any]](), list[pd.DataFrame]()
    notes = list[dict[str, Any]]()
    chances = {b.short_name(): b.chance for b in study.benchmarks}
    numbers = {b.short_name(): b.version for b in study.benchmarks}
    for run in runs:
        own, expected = RunFolder(run_folder(folder, run)), list(run.looks)
        marker = read_marker(own, fingerprint(run_form(study, run)))
        if (ended := marker.get("pruned_at")) is not None:
            pruned.append({**dataclasses.asdict(run.key), "dose": ended})
            expected = [dose for dose in expected if dose <= ended]
        if own.doses() != expected:
            raise UsageError(
                f"study: {str(own.folder)!r} has doses {own.doses()}, not {expected}; delete it and resume"
            )
        parts = [read_part(own, dose) for dose in own.doses()]
        if own.interventions.is_file():
            parts.append(read_rows(own, own.interventions))
        ledger = pa.concat_tables(part for part, _ in parts)
        tables.append(ledger)
        rows = plain_rows(ledger.to_pandas())
        lines.append(jsonl(dataclasses.asdict(row) for row in score_rows(rows, chances, numbers)))
        broken += [{**dataclasses.asdict(run.key), "dose": int(dose)} for dose in diverged(rows)["dose"]]
        failed.append(failed_answers(study, run, rows))
        if "files" not in marker or marker.get("unverified") or not all(verified for _, verified in parts):
            unverified.append(str(run))
        if "matched" in marker:
            rates.setdefault(run.arm.name, {})[run.student.name] = marker["matched"]
        if "notes" in marker:
            notes.append({**dataclasses.asdict(run.key), **marker["notes"]})
        for name, value in marker["wall_seconds"].items():
            seconds[f"runs: {name}"] = round(seconds.get(f"runs: {name}", 0.0) + value, 2)
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), buffer, compression="zstd")
    write_atomically(folder / "ledger.parquet", buffer.getvalue().to_pybytes())
    write_atomically(folder / "scores.jsonl", "".join(lines))
    write_atomically(folder / FAILURES_FILE, pd.concat(failed).to_csv(index=False))
    _write_other_ways(study, folder, pa.concat_tables(tables).to_pandas())
    whole = {**seconds, "study": round(wall_seconds, 2)}
    record = study_record(study, store, folder, runs, whole, commits, rates)
    record |= ({"pruned": pruned} if pruned else {}) | ({"unverified": unverified} if unverified else {})
    record |= {"notes": notes} if notes else {}
    record["diverged"] = broken
    record["files"] = {n: file_hash(folder / n) for n in JOINED if (folder / n).is_file()}
    write_sealed(folder / "record.json", record)


def _write_other_ways(study: Study, folder: Path, ledger: pd.DataFrame) -> None:
    """The tables of other ways of answering and of interventions, from the joined ledger."""
    if not (study.answering or study.interventions):
        return
    chances = {b.short_name(): b.chance for b in study.benchmarks}
    ks = {way.label: way.passes() for way in study.answering if way.passes()}
    for name, table in way_tables(ledger, chances, ks).items():
        write_atomically(folder / name, table.to_csv(index=False, float_format="%.6g"))
