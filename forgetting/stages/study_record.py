"""What the record of a study says beside its scores: a study, its runs and its store in, plain values out."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from forgetting.contracts import Benchmark, Contamination
from forgetting.models.checkpoint import Checkpoint
from forgetting.record.provenance import hardware, versions
from forgetting.record.store import Store, manifest
from forgetting.sandbox.pool import layers
from forgetting.stages.folder import noise_floors
from forgetting.study.arms import Arm
from forgetting.study.fingerprints import canonical, fingerprint, student_form, study_fingerprint
from forgetting.study.run import Run
from forgetting.study.study import Study


def study_record(
    study: Study,
    store: Store,
    folder: Path,
    runs: Sequence[Run],
    seconds: dict[str, float],
    commits: list[str],
    rates: dict[str, dict[str, Any]],
) -> dict[str, Any]:
    """What ``record.json`` says of a study: its spec, arms, students, seeds, benchmarks, and where and how it ran.

    ``rates`` are those that were matched, by arm and student; ``seconds`` wall seconds by stage.
    """
    spec, measured = study.spec, {run.arm.name for run in runs}
    students: dict[str, dict[str, Any]] = {}
    for run in runs:
        about, weights = _student_record(study, run, store)
        entry = students.setdefault(run.student.name, {"name": run.student.name, **about, "weights": {}})
        entry["weights"][str(run.distillation_seed)] = weights
        if branch := study.branches.get(run.student.name):
            entry |= {"branch": branch.name, "trunk": branch.of.name, "trunk_stages": len(study.stages)}
            entry.setdefault("taught", {})[str(run.distillation_seed)] = _taught(study, run, store)
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


def _taught(study: Study, run: Run, store: Store) -> list[dict[str, Any]]:
    """By stage of a run's student: the method, steps, samples, their pool, why it ended, accuracy on validation items,
    seconds (wall; of the processor those of training), notes.
    """
    found = []
    for number, stage in enumerate(study.stages_of(run.student), 1):
        home = store.find(fingerprint(student_form(study, run.student, run.distillation_seed, stages=number)))
        made = manifest(home) if home is not None else {}  # of a store that was cleared meanwhile only the end is known
        until, seconds = made.get("until", {}), made.get("wall_seconds", {})
        checks, fit = until.get("checks", []), stage.fit
        steps, processor = until.get("steps", -(-fit.samples // fit.batch_size)), made.get("processor_seconds", {})
        found.append({
            "method": stage.method.short_name(),
            "steps": steps,
            "samples": min(fit.samples, steps * fit.batch_size),
            "pool": fit.pool,
            **({"why": until["why"], "accuracy": checks[-1][1]} if checks else {}),
            **({"moved": made["moved"]} if "moved" in made else {}),
            "seconds": seconds,
            **({"processor_seconds": processor["training"]} if "training" in processor else {}),
            **({"notes": made["notes"]} if "notes" in made else {}),
        })  # fmt: skip
    return found


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


def _phases(contamination: Contamination) -> dict[str, Any]:
    """Of a sequence its stretches in order, and the tasks that have probes of their own."""
    phases = [{"task": name, "dose": dose} for name, dose in contamination.blocks()]
    return {"phases": phases, "tasks": list(contamination.learned())} if phases else {}


def _arm_record(study: Study, arm: Arm) -> dict[str, Any]:
    reached, spec = study.reached(arm), study.spec
    return {
        **arm.described(),
        **({"original": True} if study.language == "natural" and arm.contamination == study.original else {}),
        "rate_policy": arm.optimiser(spec.fine_tuning).rate_policy,
        **({"floor": round(floor, 6)} if (floor := arm.contamination.floor()) else {}),
        **({"data": told} if (told := arm.contamination.told()) else {}),
        **_phases(arm.contamination),
        "doses": list(reached),
        "not_reached": [d for d in spec.doses.values() if d not in reached],
    }
