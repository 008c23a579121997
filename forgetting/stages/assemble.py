"""The folder of a study: held by one process, its spec written first, its record joined from its runs' last."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from forgetting import __version__
from forgetting.analysis.other_ways import other_ways, passing_table
from forgetting.analysis.scores import plain_rows, score_rows
from forgetting.contracts import Benchmark
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.record.files import RunFolder, jsonl, write_atomically
from forgetting.record.places import check_plain, clean, inside
from forgetting.record.provenance import commit, hardware, versions
from forgetting.record.reading import read_json
from forgetting.record.run_files import read_marker, read_part, read_rows
from forgetting.record.schema import ANSWERING_FILE, PASSING_FILE
from forgetting.record.seals import file_hash, read_sealed, write_sealed
from forgetting.record.signing import SIGNATURE, signature
from forgetting.record.store import Store, held, manifest
from forgetting.sandbox.pool import layers
from forgetting.study.arms import Arm
from forgetting.study.fingerprints import canonical, fingerprint, run_form, student_form, study_fingerprint
from forgetting.study.run import Run
from forgetting.study.study import Study

JOINED = ("ledger.parquet", "scores.jsonl", ANSWERING_FILE, PASSING_FILE)


def run_folder(folder: Path, run: Run) -> Path:
    """The folder of one run inside its study's."""
    return folder / "runs" / str(run)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes and holds the study's folder for this process (where there is flock), and clears what dead ones left.

    Raises:
        UsageError: it cannot be made or written, another process holds it, or a link in it leads elsewhere
    """
    with ExitStack() as lock:
        with _written(folder):
            folder.mkdir(parents=True, exist_ok=True)
            check_plain(*inside(folder))
            if not lock.enter_context(held(folder / ".lock", wait=False)):
                raise UsageError(f"output: another process is working on {str(folder)!r}")
            clean(folder)
        yield


def prepare(study: Study, folder: Path, stack: int | str = "off") -> list[str]:
    """Write the spec into the study's folder, and give the commits that have worked on it, this one among them.

    ``stack`` stands beside it, since going on otherwise would move the last bits of the numbers.
    """
    file, commits = folder / "spec.json", list[str]()
    with suppress(OSError, ValueError):  # new, or damaged and to be written anew
        commits = list(map(str, read_sealed(file, "").get("commits", [])))
    commits = list(dict.fromkeys([*commits, commit() or "unknown"]))
    spec, mark = dataclasses.asdict(study.spec), study_fingerprint(study)
    plan = {"fingerprint": mark, "spec": spec, "version": __version__, "commits": commits, "stack": stack}
    plan[SIGNATURE] = signature([spec, mark])
    with _written(folder):
        write_sealed(file, plan)
    return commits


@contextmanager
def _written(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(f"output: cannot be written, {str(error.filename or folder)!r}: {error.strerror}") from error


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

    Runs that were ended early stand in the record under ``pruned``, with the dose of their last look.
    """
    runs = study.runs() if runs is None else runs
    seconds: dict[str, float] = {stage: round(s, 2) for stage, s in made.items()}
    tables, lines, pruned, rates = [], [], list[dict[str, Any]](), dict[str, dict[str, Any]]()
    unverified = list[str]()
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
        lines.append(
            jsonl(dataclasses.asdict(row) for row in score_rows(plain_rows(ledger.to_pandas()), chances, numbers))
        )
        if "files" not in marker or marker.get("unverified") or not all(verified for _, verified in parts):
            unverified.append(str(run))
        if "matched" in marker:
            rates.setdefault(run.arm.name, {})[run.student.name] = marker["matched"]
        for name, value in marker["wall_seconds"].items():
            seconds[f"runs: {name}"] = round(seconds.get(f"runs: {name}", 0.0) + value, 2)
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), buffer, compression="zstd")
    write_atomically(folder / "ledger.parquet", buffer.getvalue().to_pybytes())
    write_atomically(folder / "scores.jsonl", "".join(lines))
    _write_other_ways(study, folder, pa.concat_tables(tables).to_pandas())
    whole = {**seconds, "study": round(wall_seconds, 2)}
    record = _record(study, store, folder, runs, whole, commits, rates)
    record |= ({"pruned": pruned} if pruned else {}) | ({"unverified": unverified} if unverified else {})
    record["files"] = {n: file_hash(folder / n) for n in JOINED if (folder / n).is_file()}
    write_sealed(folder / "record.json", record)


def _write_other_ways(study: Study, folder: Path, ledger: pd.DataFrame) -> None:
    """Accuracy of other ways of answering and after interventions, and pass@k, from the joined ledger."""
    if not (study.answering or study.interventions):
        return
    table = other_ways(ledger, {b.short_name(): b.chance for b in study.benchmarks})
    write_atomically(folder / ANSWERING_FILE, table.to_csv(index=False, float_format="%.6g"))
    ks = {way.label: way.passes() for way in study.answering if way.passes()}
    if ks:
        table = passing_table(ledger, ks)
        write_atomically(folder / PASSING_FILE, table.to_csv(index=False, float_format="%.6g"))


def _record(
    study: Study,
    store: Store,
    folder: Path,
    runs: Sequence[Run],
    seconds: dict[str, float],
    commits: list[str],
    rates: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    spec, measured = study.spec, {run.arm.name for run in runs}
    students: dict[str, dict[str, Any]] = {}
    for run in runs:
        about, weights = _student_record(study, run, store)
        entry = students.setdefault(run.student.name, {"name": run.student.name, **about, "weights": {}})
        entry["weights"][str(run.distillation_seed)] = weights
    return {
        "name": spec.name,
        "fingerprint": study_fingerprint(study),
        "spec": dataclasses.asdict(spec),
        "canonical": canonical(study),
        "arms": [
            {**_arm_record(study, arm), **({"rates": rates[arm.name]} if arm.name in rates else {})}
            for arm in study.arms
            if arm.name in measured
        ],
        **_teacher_record(study),
        "students": list(students.values()),
        "seeds": {
            "distillation": sorted({run.distillation_seed for run in runs}),
            "contamination": sorted({run.seed for run in runs}),
            "shared_students": not spec.ladder.fresh_students,
            **({"checkpoints": True} if study.teacher is None else {}),
        },
        "benchmarks": {
            b.short_name(): {"version": b.version, "chance": b.chance, "skill": b.skill} for b in study.benchmarks
        },
        **({"left_out": counts} if (counts := left_out(study.benchmarks)) else {}),
        "commit": ", ".join(commits),
        "versions": versions(),
        "hardware": hardware(),
        **({"backend": noise_floors(folder, runs)} if spec.machine.backend.command else {}),
        **({"sandbox": layers()} if any(b.sandboxed for b in study.benchmarks) else {}),
        "seconds": seconds,
        "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def left_out(benchmarks: Sequence[Benchmark]) -> dict[str, dict[str, int]]:
    """By benchmark, how many rows of its source are not asked, by the reason; those that ask all are not named."""
    found = {b.short_name(): b.left_out() for b in benchmarks}
    return {name: counts for name, counts in found.items() if counts}


def noise_floors(folder: Path, runs: Sequence[Run]) -> dict[str, dict[str, Any]]:
    """By run, what the process that wrote the answers adds to a score by itself, as far as runs have measured it."""
    files = {str(run): RunFolder(run_folder(folder, run)).backend for run in runs}
    return {name: read_json(file) for name, file in files.items() if file.is_file()}


def _student_record(study: Study, run: Run, store: Store) -> tuple[dict[str, Any], str]:
    """Sizes of a run's student, of a checkpoint also its source; and the hash of its weights."""
    student = run.student
    source = {"source": student.source} if isinstance(student, Checkpoint) else {}
    if study.teacher is None:
        assert isinstance(student, Checkpoint)
        taken = {"capacity": student.parameters(), "capacity_non_embedding": student.non_embedding()}
        return {**{n: s for n, s in taken.items() if s}, **source}, str(student.form()["weights"])
    home = store.find(fingerprint(student_form(study, student, run.distillation_seed)))
    assert home is not None
    made = manifest(home)
    sizes = {name: made[name] for name in ("capacity", "capacity_non_embedding")}
    return {**sizes, **source}, _weights(made["files"])


def _weights(files: dict[str, str]) -> str:
    """The hash of a stored model's weights; of several files, one over theirs."""
    hashes = sorted(mark for name, mark in files.items() if name.endswith(".safetensors"))
    return hashes[0] if len(hashes) == 1 else hashlib.sha256("".join(hashes).encode()).hexdigest()


def _teacher_record(study: Study) -> dict[str, Any]:
    """Which checkpoint taught; the ladder's own teacher is in the canonical form."""
    teacher = study.teacher
    if not isinstance(teacher, Checkpoint):
        return {}
    return {"teacher": {"name": teacher.name, "source": teacher.source, "weights": str(teacher.form()["weights"])}}


def _arm_record(study: Study, arm: Arm) -> dict[str, Any]:
    reached, spec = study.reached(arm), study.spec
    return {
        **arm.described(),
        **({"original": True} if study.language == "natural" and arm.contamination == study.original else {}),
        "rate_policy": arm.optimiser(spec.fine_tuning).rate_policy,
        **({"data": told} if (told := arm.contamination.told()) else {}),
        "doses": list(reached),
        "not_reached": [d for d in spec.doses.values() if d not in reached],
    }
