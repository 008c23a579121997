"""What ``sweep.json`` says of a sweep: its spec, and at the end, by target, trials, thresholds and calibration.

It is written first with the spec and a signature, then after every round with the hours spent, and last with what was
found; a sweep that goes on reads what is there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forgetting.record.files import RunFolder
from forgetting.record.run_files import read_marker
from forgetting.record.seals import SEAL, read_sealed, write_sealed
from forgetting.record.signing import SIGNATURE, signature
from forgetting.stages.folder import run_folder
from forgetting.study.run import Run
from forgetting.study.spec_files import to_mapping
from forgetting.sweep import thresholds
from forgetting.sweep.driver import Asked
from forgetting.sweep.layout import Sweep
from forgetting.sweep.samplers import level_set
from forgetting.sweep.search_space import SweepSpace
from forgetting.sweep.sweep_spec import Search

SWEEP_FILE = "sweep.json"


def begin_sweep_record(folder: Path, sweep: Sweep) -> dict[str, Any]:
    """Write the sweep's spec and its signature into what its file holds already, and give it all."""
    keep = {**read_sweep_record(folder), "spec": to_mapping(sweep.spec), "fingerprint": sweep.fingerprint}
    keep[SIGNATURE] = signature([keep["spec"], sweep.fingerprint])
    write_sealed(folder / SWEEP_FILE, keep)
    return keep


def add_to_sweep_record(folder: Path, found: Mapping[str, Any]) -> None:
    """Write what was found into the sweep's file, beside what it holds already."""
    write_sealed(folder / SWEEP_FILE, {**read_sweep_record(folder), **found})


def read_sweep_record(folder: Path) -> dict[str, Any]:
    """What the sweep's file holds already; nothing if there is none."""
    path = folder / SWEEP_FILE
    if not path.is_file():
        return {}
    found = read_sealed(path, "delete it, and sweep the same spec again to go on")
    return {name: value for name, value in found.items() if name != SEAL}


def is_behind(kept: dict[str, Any], found: dict[str, Any]) -> bool:
    """Whether the sweep's file and its views are behind what was found; hours alone do not count."""
    plain = json.loads(json.dumps(found))
    return any(plain[name] != kept.get(name) for name in plain if name != "hours")


def target_record(
    own: SweepSpace, search: Search, folder: Path, asked: Sequence[Asked], complete: Sequence[Run], ended: str
) -> dict[str, Any]:
    """What is said of one target: its thresholds from all complete runs, and the trials that were asked for it."""
    seen = thresholds.observe(own, complete, folder)
    check, searched = level_set(own, search), search.method == "level_set"
    return {
        "name": own.name,
        "target": to_mapping(own.target),
        **own.described(),
        "ended": ended,
        "thresholds": [placed.to_dict() for placed in thresholds.estimate_both(own, seen)],
        "trials": [
            {
                **_trial(one),
                **_marked(folder, one.run),
                "holdout": searched and check.is_holdout(one.trial.number),
            }
            for one in asked
        ],
        "grid_runs": len(own.points) * own.repeats,
    }


def _trial(one: Asked) -> dict[str, Any]:
    student, shift = one.point
    return {
        "number": one.trial.number,
        "state": one.trial.state.name.lower(),
        "run": str(one.run),
        "student": student,
        "shift": shift,
        **{name: one.trial.user_attrs.get(name) for name in ("retention", "variance", "flops", "status", "error")},
    }


def _marked(folder: Path, run: Run) -> dict[str, Any]:
    """Of a complete run, whoever asked for it: wall seconds inside it, and the dose at which it was ended early."""
    own = RunFolder(run_folder(folder, run))
    if not own.complete.is_file():
        return {"seconds": None}
    marker = read_marker(own)
    seconds, ended = sum(marker["wall_seconds"].values()), marker.get("pruned_at")
    return {"seconds": round(seconds, 2), **({} if ended is None else {"pruned_at": ended})}
