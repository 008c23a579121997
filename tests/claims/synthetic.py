"""Synthetic studies with a known truth, written by formula as ledgers: not a measurement of anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis.curves import Curves
from forgetting.analysis.probing import COLUMNS
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import score_rows
from forgetting.record.files import jsonl, write_json
from forgetting.record.schema import ADDED, LEDGER_COLUMNS, PROBING_FILE

Probability = Callable[[int, str, str, int, str, int], float]  # capacity, arm, benchmark, depth, coverage, dose

ARM = {
    "contamination": {"name": "dialogue"}, "shift": 1.0, "rate_multiple": 1.0, "rate_policy": "constant",
    "mitigation": {"name": "none"},
}  # fmt: skip


def arm(name: str, contamination: str | None = None, form: str | None = None, **settings: Any) -> dict[str, Any]:
    """An arm of a record; its contamination is its name unless another is given."""
    source: dict[str, Any] = {"name": contamination or name} | ({"form": form} if form else {})
    return ARM | {"name": name, "contamination": source} | settings


@dataclass
class World:
    """What a synthetic study is made of."""

    accuracy: Probability
    arms: list[dict[str, Any]]
    capacities: tuple[int, ...] = (10_000, 30_000, 100_000)
    seeds: int = 5
    fresh: bool = True
    doses: tuple[int, ...] = (0, 10_000)
    benchmarks: tuple[str, ...] = ("maths",)
    depths: tuple[int, ...] = (1,)
    items: int = 500  # of each benchmark and depth
    wobble: float = 0.01  # standard deviation of accuracy between runs
    dialect: float = 0.0  # share of wrong answers that are right in the dialect
    unparsed: float = 0.0  # share of the others that do not parse
    chances: dict[str, float] = field(default_factory=dict)


def _ledger(world: World) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    frames = []
    for capacity in world.capacities:
        for one in world.arms:
            for seed in range(world.seeds):
                doses = (world.doses[0], world.doses[-1]) if part_name(one["mitigation"]) == "joint" else world.doses
                for dose in doses:
                    frames += _look(world, rng, capacity, one["name"], seed, dose)
    return pd.concat(frames, ignore_index=True)


def _look(world: World, rng: np.random.Generator, capacity: int, name: str, seed: int, dose: int) -> list[pd.DataFrame]:
    frames = []
    luck = world.wobble * (0 if dose == 0 else 1) * rng.standard_normal()
    for benchmark in world.benchmarks:
        for depth in world.depths if benchmark in ("maths", "code") else world.depths[:1]:
            n = world.items
            index = np.arange(n)
            coverage = np.where(index % 4 == 0, "rare", "common")
            p = [world.accuracy(capacity, name, benchmark, depth, kind, dose) for kind in ("rare", "common")]
            p_I = np.clip(np.where(coverage == "rare", *p) + luck, 0, 1)
            # At dose 0 arms share the student and so its outcomes.
            source = np.random.default_rng([capacity, seed * world.fresh, depth, len(benchmark)]) if dose == 0 else rng
            right = source.random(n) < p_I
            fallen = source.random((2, n))
            wrong = np.where(fallen[1] < world.unparsed, "unparsed", "wrong")
            wrong = np.where((fallen[0] < world.dialect) & (dose > 0), "right_in_dialect", wrong)
            frames.append(pd.DataFrame({
                "student": f"{capacity // 1000}k", "capacity": capacity, "arm": name,
                "distillation_seed": seed if world.fresh else 0, "seed": seed, "dose": dose,
                "dose_tokens": 10 * dose, "stream_samples": dose, "benchmark": benchmark, "skill": benchmark,
                "variant": "original", "item": [f"{benchmark}/{depth}/{i:04d}" for i in index],
                "problem": [f"{benchmark}/{depth}/{i:04d}" for i in index],
                "template": [f"t{depth}-{i}" for i in index // 2], "depth": depth, "coverage": coverage,
                "verdict": np.where(right, "right", wrong), "kind": "", "steps_right": right.astype(int),
                "steps_total": 1, "gold_tokens": 4, "nll_sum": 1.0, "base_ce_sum": 1.0, "kl_sum": 0.1,
            }))  # fmt: skip
    return frames


def write_probes(world: World, folder: Path) -> None:
    """Beside a study's ledger: students that lost half of maths to dialogue, which attention alone brings back."""
    restored = {"attention.0": 0.95, "mlp.0": 0.6, "random size attention.0 #0": 0.6, "random size mlp.0 #0": 0.6}
    restored |= {"random change attention.0 #0": 0.65, "random change mlp.0 #0": 0.6}
    rows = []
    for capacity in world.capacities:
        for seed in range(world.seeds):
            looks = {
                (0, "", "greedy"): 0.98,
                (0, "", "wrong_step"): 0.6,
                (1, "", "greedy"): 0.5,
                (1, "", "wrong_step"): 0.1,
            }
            looks |= {(1, f"restore {name}", "greedy"): share for name, share in restored.items()}
            key = (f"{capacity // 1000}k", "dialogue", seed if world.fresh else 0, seed, capacity)
            for (dose, intervention, way), share in looks.items():
                right = [round(world.items * share) - seed % 2 for _ in world.depths]
                head = (*key, dose * world.doses[-1], intervention, way, "maths")
                rows += [(*head, depth, world.items, n, 1.0) for depth, n in zip(world.depths, right, strict=True)]
    pd.DataFrame(rows, columns=list(COLUMNS)).to_csv(folder / PROBING_FILE, index=False)


def write(world: World, folder: Path, ledger: bool = True) -> Path:
    """A study's folder; without its ledger as it is committed small."""
    rows = _ledger(world)
    rows["answer"] = [[1]] * len(rows)
    about = {name: {"version": 1, "chance": world.chances.get(name, 0.0), "skill": name} for name in world.benchmarks}
    folder.mkdir(parents=True)
    rows.assign(**ADDED)[list(LEDGER_COLUMNS)].to_parquet(folder / "ledger.parquet")
    record = {
        "name": folder.name, "benchmarks": about, "arms": world.arms, "students": [],
        "seeds": {"shared_students": not world.fresh},
    }  # fmt: skip
    write_json(folder / "record.json", record)
    if not ledger:
        chances, versions = ({name: value[key] for name, value in about.items()} for key in ("chance", "version"))
        scores = score_rows(rows, chances, versions)
        (folder / "scores.jsonl").write_text(jsonl([dataclasses.asdict(row) for row in scores]))
        Curves().to_frame().to_csv(folder / "curves.csv", index=False)
        (folder / "ledger.parquet").unlink()
    return folder
