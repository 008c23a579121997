"""A synthetic sweep, written by formula: not a measurement of anything.

Retention of maths is a logistic of log capacity whose middle moves up with dose and with shift; at shift .05 hardly
anything is lost. The true threshold at level .5 and dose 1,280 is 30 thousand parameters at shift 1.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forgetting.analysis.curves import Curves
from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.metrics import retention_variance
from forgetting.record.files import jsonl, write_json
from forgetting.record.schema import ScoreRow

SIZES = {"10k": 9_952, "14k": 14_230, "20k": 19_800, "34k": 33_900, "50k": 50_600, "70k": 70_100, "100k": 99_700}
ARMS = {
    "dialogue-constant": (1.0, "constant"),
    "dialogue-shift0.5-constant": (0.5, "constant"),
    "dialogue-shift0.05-constant": (0.05, "constant"),
    "dialogue-inverse_width": (1.0, "inverse_width"),
}
DOSES, DOSE, SEEDS, ITEMS, LEVELS = (0, 80, 320, 1280), 1280, 5, 500, (0.9, 0.5)
MIDDLE = math.log10(30_000)


def retention(capacity: int, arm: str, dose: int) -> float:
    """The true retention."""
    shift, policy = ARMS[arm]
    middle = MIDDLE + 0.35 * math.log10(max(dose, 1) / DOSE) + 0.8 * math.log10(shift)
    if policy == "inverse_width":
        middle -= 0.25
    return 1 / (1 + math.exp(-9 * (math.log10(capacity) - middle)))


def score(student: str, arm: str, seed: int, dose: int) -> dict[str, Any]:
    """One score row, its accuracy drawn with a fixed generator."""
    capacity = SIZES[student]
    luck = np.random.default_rng([seed, dose, capacity, len(arm)])
    true = retention(capacity, arm, dose) if dose else 1.0
    wobble = 0.03 * luck.standard_normal() if dose else 0.0
    accuracy = luck.binomial(ITEMS, 0.96 * min(max(true + wobble, 0), 1)) / ITEMS if dose else 0.96
    row: dict[str, Any] = dict.fromkeys(ScoreRow.__dataclass_fields__)
    return row | {
        "student": student, "capacity": capacity, "arm": arm, "distillation_seed": seed, "seed": seed, "dose": dose,
        "dose_tokens": 12 * dose, "stream_samples": round(dose / ARMS[arm][0]), "benchmark": "maths", "version": 1,
        "skill": "maths", "variant": "original", "depth": None, "items": ITEMS, "chance": 0.0, "accuracy": accuracy,
        "retention": accuracy / 0.96, "relative_drop": 1 - accuracy / 0.96, "drop_points": 96 - 100 * accuracy,
        "status": "ok", "lost": max(0.96 - accuracy, 0), "gained": 0.0,
    }  # fmt: skip


def target(rows: list[dict[str, Any]], arms: list[str], name: str) -> dict[str, Any]:
    """A target as ``sweep.json`` has it: every run a trial, every fourth after the first eight a hold-out."""
    policy = ARMS[arms[0]][1]
    shifts = sorted(ARMS[arm][0] for arm in arms)
    own = [r for r in rows if r["arm"] in arms and r["dose"] == DOSE]
    trials = [
        {
            "number": n, "state": "complete", "run": f"{r['student']}-{r['arm']}-d{r['seed']}-s{r['seed']}",
            "student": r["student"], "shift": ARMS[r["arm"]][0], "retention": r["retention"],
            "variance": retention_variance(r["accuracy"], 0.96, ITEMS, 0.0), "flops": 2e7 * r["capacity"],
            "seconds": r["capacity"] / 1e4, "status": "ok", "error": None, "holdout": n >= 8 and n % 4 == 0,
        }
        for n, r in enumerate(own)
    ]  # fmt: skip
    points = np.array([[math.log10(SIZES[t["student"]]), t["shift"]] for t in trials])[:, : 1 + (len(shifts) > 1)]
    placed = []
    for shift in shifts:
        for level in LEVELS:
            found = estimate_threshold(
                points, [t["retention"] for t in trials], [t["variance"] for t in trials], axis="capacity", level=level,
                at=(shift,) if len(shifts) > 1 else (),
            )  # fmt: skip
            placed.append({"place": shift, **found.to_dict()})
    settings = {
        "axis": "capacity", "skill": "maths", "dose": DOSE, "levels": list(LEVELS), "contamination": "dialogue",
        "shifts": shifts, "students": [], "rate_multiple": 1.0, "rate_policy": policy,
    }  # fmt: skip
    return {
        "name": name, "target": settings, "dose": DOSE, "contamination": {"name": "dialogue"}, "rate_policy": policy,
        "benchmark": "maths", "depth": None, "students": list(SIZES), "ended": "every point has all its seeds",
        "arms": [{"shift": ARMS[arm][0], "name": arm} for arm in sorted(arms, key=lambda a: ARMS[a][0])],
        "thresholds": placed, "trials": trials, "grid_runs": len(trials),
    }  # fmt: skip


def write_sweep(folder: Path) -> Path:
    """A small folder of the synthetic sweep: record, scores, an empty table of curves, and ``sweep.json``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [score(s, a, seed, dose) for s in SIZES for a in ARMS for seed in range(SEEDS) for dose in DOSES]
    (folder / "scores.jsonl").write_text(jsonl(rows))
    Curves().to_frame().to_csv(folder / "curves.csv", index=False)
    settings = {"contamination": {"name": "dialogue"}, "mitigation": {"name": "none"}}
    arms = [
        {"name": name, **settings, "shift": shift, "rate_multiple": 1.0, "rate_policy": policy, "not_reached": []}
        for name, (shift, policy) in ARMS.items()
    ]
    write_json(folder / "record.json", {
        "name": "synthetic_sweep", "fingerprint": "fedcba9876543210", "spec": {"seeds": SEEDS}, "arms": arms,
        "students": [{"name": s, "capacity": c, "capacity_non_embedding": c // 2} for s, c in SIZES.items()],
        "seeds": {"distillation": list(range(SEEDS)), "contamination": list(range(SEEDS)), "shared_students": False},
        "versions": {"python": "3.11"}, "hardware": {"processor": "none: synthetic"}, "commit": "synthetic",
        "seconds": {"search": 30.0, "study": 31.0}, "created": "2025-01-01T00:00:00+00:00",
        "benchmarks": {"maths": {"version": 1, "chance": 0.0, "skill": "maths"}},
    })  # fmt: skip
    targets = [
        target(rows, list(ARMS)[:3], "capacity-dialogue-constant-maths-dose1280"),
        target(rows, list(ARMS)[3:], "capacity-dialogue-inverse_width-maths-dose1280-shift1"),
    ]
    write_json(folder / "sweep.json", {"spec": {}, "fingerprint": "f", "targets": targets, "runs": 140, "hours": 0.1})
    return folder


@pytest.fixture(scope="session")
def sweep_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic sweep on disk."""
    return write_sweep(tmp_path_factory.mktemp("sweep") / "synthetic_sweep")
