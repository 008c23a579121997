"""A synthetic study, written by formula: not a measurement of anything.

Every student starts from an accuracy that falls with depth and loses it as a logistic of log dose whose midpoint grows
with capacity; the smallest has not learned maths. Outcomes are drawn from those probabilities with a fixed generator.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.scores import score_rows
from forgetting.record.files import jsonl, write_json
from forgetting.record.schema import ADDED, LEDGER_COLUMNS
from forgetting.report import figures

STUDENTS = {"10k": 10_016, "34k": 34_240, "100k": 101_376}
DOSES = (0, 20, 80, 320, 1280)
ARMS = ("dialogue", "altered_syntax", "dialogue-rate0.25", "noise", "dialogue-rate0")
BENCHMARKS = {
    "maths": {"version": 1, "chance": 0.0, "skill": "maths"},
    "code": {"version": 1, "chance": 0.0, "skill": "code"},
    "lookup": {"version": 2, "chance": 0.1, "skill": "lookup"},
}
REMEDIES = {"dialogue-replay": {"name": "replay", "share": 0.05}, "dialogue-ewc": {"name": "ewc", "strength": 30.0}}
ITEMS = 60


def accuracy(student: str, arm: str, benchmark: str, depth: int, coverage: str, dose: int) -> float:
    """The probability of a right answer, by formula."""
    start = 0.97**depth * (0.25 if (student, benchmark) == ("10k", "maths") else 1.0)
    if benchmark == "lookup" or arm == "dialogue-rate0":
        return start
    half = {"10k": 60, "34k": 200, "100k": 900}[student] / depth * (4 if arm == "dialogue-rate0.25" else 1)
    half *= {"altered_syntax": {"code": 0.2, "maths": 6}[benchmark], "noise": 3}.get(arm, 1)
    half *= 0.5 if coverage == "rare" else 1.0
    return start / (1 + (dose / half) ** 1.6)


def _rows(student: str, arm: str, seed: int, dose: int) -> list[dict[str, Any]]:
    run = {"student": student, "capacity": STUDENTS[student], "arm": arm, "distillation_seed": 0, "seed": seed}
    run |= {"dose": dose, "dose_tokens": 12 * dose, "stream_samples": dose}
    rows: list[dict[str, Any]] = []
    for benchmark, about in BENCHMARKS.items():
        perturbed = ("renamed", "rephrased") if benchmark == "maths" and dose in (DOSES[0], DOSES[-1]) else ()
        for variant in ("original", *perturbed):
            luck = np.random.default_rng([seed, dose, len(student), len(arm), len(benchmark), len(variant)])
            for item in range(ITEMS):
                depth = 1 if benchmark == "lookup" else 1 + item % 3
                coverage = "rare" if item % 4 == 0 else "common"
                p = accuracy(student, arm, benchmark, depth, coverage, dose) * (1 if variant == "original" else 0.8)
                right = bool(luck.random() < p)
                rows.append(run | {
                    "benchmark": benchmark, "skill": about["skill"], "variant": variant,
                    "item": f"{benchmark}-{variant}-{item}", "problem": f"{benchmark}-{item}",
                    "template": f"t{item % 6}", "depth": depth, "coverage": coverage,
                    "verdict": "right" if right else "wrong", "kind": "" if right else "value",
                    "steps_right": int(right), "steps_total": depth, "answer": [1, 2], "gold_tokens": 4,
                    "nll_sum": 4 * (1.05 - p), "base_ce_sum": 4 * (1.1 - p), "kl_sum": 4 * (1 - p) / 10,
                })  # fmt: skip
    for source, shape in (("original", 0.2 + dose / 5000), (arm.split("-", maxsplit=1)[0], 3 / (1 + dose / 100))):
        for item in range(4):
            rows.append(run | {
                "benchmark": "probe", "skill": "probe", "variant": source, "item": f"{source}-{item}",
                "problem": f"{source}-{item}", "template": "p", "depth": 0, "coverage": "common", "verdict": "",
                "kind": "", "steps_right": 0, "steps_total": 0, "answer": [], "gold_tokens": 10,
                "nll_sum": 10 * shape, "base_ce_sum": 11 * shape, "kl_sum": dose / 1000,
            })  # fmt: skip
    return rows


def synthetic_record() -> dict[str, Any]:
    """A record of the synthetic study with every key that the package writes."""
    settings = {"contamination": {"name": "dialogue"}, "shift": 1.0, "rate_multiple": 1.0, "rate_policy": "constant"}
    settings |= {"mitigation": {"name": "none"}, "not_reached": [5120]}
    differing: dict[str, dict[str, Any]] = {
        "altered_syntax": {"contamination": {"name": "altered_syntax"}},
        "dialogue-rate0.25": {"rate_multiple": 0.25},
        "noise": {"contamination": {"name": "noise"}},
        "dialogue-rate0": {"rate_multiple": 0.0},
    }
    return {
        "name": "synthetic", "fingerprint": "0123456789abcdef", "spec": {"seeds": 2, "doses": {"dose": 1280}},
        "arms": [{"name": name} | settings | differing.get(name, {}) for name in ARMS],
        "students": [{"name": s, "capacity": c, "capacity_non_embedding": c // 2} for s, c in STUDENTS.items()],
        "seeds": {"distillation": [0], "contamination": [0, 1], "shared_students": True},
        "versions": {"python": "3.11"}, "hardware": {"processor": "none: synthetic"}, "commit": "synthetic",
        "seconds": {"teach": 1.0, "distil": 2.0, "training": 30.0, "evaluation": 15.0, "report": 2.0},
        "benchmarks": BENCHMARKS, "created": "2025-01-01T00:00:00+00:00",
    }  # fmt: skip


@pytest.fixture(scope="session")
def synthetic_ledger() -> pd.DataFrame:
    """Ledger rows of the synthetic study."""
    rows = [row for s in STUDENTS for a in ARMS for seed in (0, 1) for dose in DOSES for row in _rows(s, a, seed, dose)]
    return pd.DataFrame(rows, columns=list(LEDGER_COLUMNS)).assign(**ADDED)


def write_study(folder: Path, ledger: pd.DataFrame) -> Path:
    """A study folder as the package leaves it, before any view is built."""
    folder.mkdir(parents=True, exist_ok=True)
    ledger.to_parquet(folder / "ledger.parquet")
    chances = {name: float(about["chance"]) for name, about in BENCHMARKS.items()}  # type: ignore[arg-type]
    versions = {name: int(about["version"]) for name, about in BENCHMARKS.items()}  # type: ignore[call-overload]
    (folder / "scores.jsonl").write_text(jsonl(map(asdict, score_rows(ledger, chances, versions))))
    write_json(folder / "record.json", synthetic_record())
    return folder


@pytest.fixture(scope="session")
def remedied_ledger(synthetic_ledger: pd.DataFrame) -> pd.DataFrame:
    """Replay learns as plain tuning does and loses what the noise arm loses; ewc learns nothing."""
    few = synthetic_ledger["benchmark"].isin(["code", "probe"])
    small = synthetic_ledger[(synthetic_ledger["student"] == "34k") & few]
    plain = small[small["arm"].isin(["dialogue", "dialogue-rate0.25"])]
    probes = small["benchmark"] == "probe"
    own = small[(small["arm"] == "dialogue") & probes]
    replay = pd.concat([small[(small["arm"] == "noise") & ~probes], own]).assign(arm="dialogue-replay")
    stuck = small[(small["arm"] == "dialogue-rate0") & ~probes]
    still = own[own["dose"] == 0]
    idle = [stuck, *(still.assign(dose=dose) for dose in sorted(stuck["dose"].unique()))]
    return pd.concat([plain, replay, pd.concat(idle).assign(arm="dialogue-ewc")], ignore_index=True)


def write_remedied(folder: Path, ledger: pd.DataFrame) -> Path:
    """A study folder of the synthetic study with two remedies."""
    write_study(folder, ledger)
    record = synthetic_record()
    own = {arm["name"]: arm for arm in record["arms"]}
    more = [own["dialogue"] | {"name": name, "mitigation": part} for name, part in REMEDIES.items()]
    write_json(folder / "record.json", record | {"arms": [own["dialogue"], own["dialogue-rate0.25"], *more]})
    return folder


@pytest.fixture(scope="session")
def study_folder(synthetic_ledger: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic study on disk."""
    return write_study(tmp_path_factory.mktemp("study") / "synthetic", synthetic_ledger)


@pytest.fixture(scope="session")
def small_folder(synthetic_ledger: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The part of the synthetic study that the views as a whole are tested on: two students, three arms."""
    small = synthetic_ledger["arm"].isin(["dialogue", "dialogue-rate0.25", "noise"]) & (
        synthetic_ledger["student"] != "100k"
    )
    return write_study(tmp_path_factory.mktemp("small") / "synthetic", synthetic_ledger[small])


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """For what is not about figures, which take longer than all else of a page."""
    monkeypatch.setattr(figures, "figures", lambda study: {})
