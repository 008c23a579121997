"""The folder of a study: held by one process, its spec written first, its record joined from its runs' last."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from forgetting import __version__
from forgetting.analysis.scores import passing
from forgetting.contracts import Benchmark
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.record.files import RunFolder, write_atomically, write_json
from forgetting.record.provenance import commit, hardware, versions
from forgetting.record.schema import PASSING_FILE, RUN_KEY
from forgetting.record.store import Store, held, manifest
from forgetting.sandbox.pool import layers
from forgetting.study.arms import Arm
from forgetting.study.fingerprints import canonical, fingerprint, student_form, study_fingerprint
from forgetting.study.run import Run
from forgetting.study.study import Study


def run_folder(folder: Path, run: Run) -> Path:
    """The folder of one run inside its study's."""
    return folder / "runs" / str(run)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Makes and holds the study's folder for this process (where there is flock).

    Raises:
        UsageError: it cannot be made or written, or another process holds it
    """
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".lock").touch()
    with held(folder / ".lock", wait=False) as mine:
        if not mine:
            raise UsageError(f"output: another process is working on {str(folder)!r}")
        yield
    (folder / ".lock").unlink(missing_ok=True)


def prepare(study: Study, folder: Path, stack: int | str = "off") -> list[str]:
    """Write the spec into the study's folder, and give the commits that have worked on it, this one among them.

    ``stack`` stands beside it, since going on otherwise would move the last bits of the numbers.
    """
    file, commits = folder / "spec.json", list[str]()
    with suppress(OSError, ValueError, AttributeError):  # new, or damaged and to be written anew
        commits = json.loads(file.read_text()).get("commits", [])
    commits = list(dict.fromkeys([*commits, commit() or "unknown"]))
    plan = {
        "fingerprint": study_fingerprint(study),
        "spec": dataclasses.asdict(study.spec),
        "version": __version__,
        "commits": commits,
        "stack": stack,
    }
    with _written(folder):
        write_json(file, plan)
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
    for run in runs:
        own, expected = RunFolder(run_folder(folder, run)), list(run.looks)
        if (ended := own.pruned_at()) is not None:
            pruned.append({**dataclasses.asdict(run.key), "dose": ended})
            expected = [dose for dose in expected if dose <= ended]
        if own.doses() != expected:
            raise UsageError(
                f"study: {str(own.folder)!r} has doses {own.doses()}, not {expected}; delete it and resume"
            )
        tables += [pq.ParquetFile(own.ledger_part(dose)).read(use_threads=False) for dose in own.doses()]
        lines.append(own.scores.read_text())
        marker = json.loads(own.complete.read_text())
        if "matched" in marker:
            rates.setdefault(run.arm.name, {})[run.student.name] = marker["matched"]
        for name, value in marker["wall_seconds"].items():
            seconds[f"runs: {name}"] = round(seconds.get(f"runs: {name}", 0.0) + value, 2)
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.concat_tables(tables), buffer, compression="zstd")
    write_atomically(folder / "ledger.parquet", buffer.getvalue().to_pybytes())
    write_atomically(folder / "scores.jsonl", "".join(lines))
    _join_sampled(study, folder, runs)
    whole = {**seconds, "study": round(wall_seconds, 2)}
    record = _record(study, store, folder, runs, whole, commits, rates)
    write_json(folder / "record.json", record | ({"pruned": pruned} if pruned else {}))


def _join_sampled(study: Study, folder: Path, runs: Sequence[Run]) -> None:
    """All sampled answers as one table, and pass@k with its interval for each run, dose and benchmark from it."""
    sampling = study.spec.evaluation.sampling
    if not sampling.samples:
        return
    parts = [sorted(RunFolder(run_folder(folder, run)).passing_part(0).parent.glob("*.parquet")) for run in runs]
    answers = pd.concat([pd.read_parquet(part) for own in parts for part in own], ignore_index=True)
    buffer = io.BytesIO()
    answers.to_parquet(buffer, compression="zstd", index=False)
    write_atomically(folder / "passing.parquet", buffer.getvalue())
    names = [*RUN_KEY, "capacity", "dose", "benchmark", "skill"]
    rows = []
    for key, own in answers.groupby(names, sort=False):
        told = pd.DataFrame([key] * len(sampling.ks), columns=names)
        rows.append(pd.concat([told, passing(own, sampling.ks)], axis=1))
    table = pd.concat(rows)
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
        **({"sandbox": layers()} if any(hasattr(b, "strict_sandbox") for b in study.benchmarks) else {}),
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
    return {name: json.loads(file.read_text()) for name, file in files.items() if file.is_file()}


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
        "doses": list(reached),
        "not_reached": [d for d in spec.doses.values() if d not in reached],
    }
