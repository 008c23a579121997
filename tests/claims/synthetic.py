"""Synthetic studies with a known truth, written by formula as ledgers: not a measurement of anything."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis.curves import Curves
from forgetting.analysis.failures import COUNTS
from forgetting.analysis.probing import COLUMNS
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import plain_rows, score_rows
from forgetting.claims import ClaimVerdict, Rules, judge, read_rules
from forgetting.record.files import jsonl, write_json
from forgetting.record.schema import ADDED, FAILURES_FILE, LEDGER_COLUMNS, PROBING_FILE

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
    ways: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """Other ways of answering of maths in ``ways_arm``: what they add at dose 0 and after it, tokens an answer."""
    ways_arm: str = "high"
    branches: dict[str, float] = field(default_factory=dict)  # by name, how many times as much each endures
    late: tuple[str, ...] = ()  # branches that do not arrive at the skill that was asked for
    variants: dict[str, Callable[[int], float]] = field(default_factory=dict)
    """Variants of every benchmark in ``ways_arm``: the share of right answers that each takes, by capacity."""


Rows = dict[str, Any]  # a look's rows by column: arrays of one length, or one value for all


def _ledger(world: World) -> pd.DataFrame:
    rng = np.random.default_rng(7)
    looks: list[Rows] = []
    for capacity in world.capacities:
        for one in world.arms:
            for seed in range(world.seeds):
                doses = (world.doses[0], world.doses[-1]) if part_name(one["mitigation"]) == "joint" else world.doses
                for dose in doses:
                    ways = one["name"] == world.ways_arm and dose in (world.doses[0], world.doses[-1])
                    for branch, times in world.branches.items() or (("", 1.0),):
                        named = f"{capacity // 1000}k" + (f"-{branch}" if branch else "")
                        plain = _look(world, rng, capacity, one["name"], seed, dose, times)
                        own = list(plain)
                        if one["name"] == world.ways_arm:
                            own += [rows for look in plain for rows in _variants(world, look, seed, dose)]
                        if ways:
                            own += _ways(world, [rows for rows in plain if rows["benchmark"] == "maths"] or plain[:1],
                                         seed, dose)  # fmt: skip
                        looks += [{"student": named, **rows} for rows in own]
    return _frame(looks)


def _frame(looks: list[Rows]) -> pd.DataFrame:
    """One table of all looks; pandas would take most of its time to put each look's columns in one by one."""
    columns = list(dict.fromkeys(name for rows in looks for name in rows))
    lengths = [len(rows["item"]) for rows in looks]
    found = {}
    for name in columns:
        values = [rows.get(name) for rows in looks]
        found[name] = (
            np.concatenate(values) if all(isinstance(value, np.ndarray) for value in values)
            else np.repeat(pd.Series(values), lengths).to_numpy() if not any(map(_many, values))
            else np.concatenate([np.broadcast_to(v, n) for v, n in zip(values, lengths, strict=True)])
        )  # fmt: skip
    return pd.DataFrame(found)


def _many(value: Any) -> bool:
    return isinstance(value, np.ndarray)


@cache
def _items(benchmark: str, depth: int, count: int) -> Rows:
    """What is the same at every look."""
    index = np.arange(count)
    names = np.array([f"{benchmark}/{depth}/{i:04d}" for i in index], object)
    return {
        "benchmark": benchmark, "skill": benchmark, "variant": "original", "item": names, "problem": names,
        "template": np.array([f"t{depth}-{i}" for i in index // 2], object), "depth": depth,
        "coverage": np.where(index % 4 == 0, "rare", "common").astype(object), "kind": "",
        "steps_total": 1, "gold_tokens": 4, "nll_sum": 1.0, "base_ce_sum": 1.0, "kl_sum": 0.1,
    }  # fmt: skip


def _look(
    world: World, rng: np.random.Generator, capacity: int, name: str, seed: int, dose: int, times: float
) -> list[Rows]:
    found = []
    luck = world.wobble * (0 if dose == 0 else 1) * rng.standard_normal()
    for benchmark in world.benchmarks:
        for depth in world.depths if benchmark in ("maths", "code") else world.depths[:1]:
            n = world.items
            items = _items(benchmark, depth, n)
            felt = round(dose / times)
            p = [world.accuracy(capacity, name, benchmark, depth, kind, felt) for kind in ("rare", "common")]
            p_I = np.clip(np.where(items["coverage"] == "rare", *p) + luck, 0, 1)
            # At dose 0 arms share the student and so its outcomes.
            source = np.random.default_rng([capacity, seed * world.fresh, depth, len(benchmark)]) if dose == 0 else rng
            right = source.random(n) < p_I
            fallen = source.random((2, n))
            wrong = np.where(fallen[1] < world.unparsed, "unparsed", "wrong")
            wrong = np.where((fallen[0] < world.dialect) & (dose > 0), "right_in_dialect", wrong)
            found.append(items | {
                "capacity": capacity, "arm": name,
                "distillation_seed": seed if world.fresh else 0, "seed": seed, "dose": dose,
                "dose_tokens": 10 * dose, "stream_samples": dose,
                "verdict": np.where(right, "right", wrong).astype(object), "steps_right": right.astype(int),
            })  # fmt: skip
    return found


def _variants(world: World, plain: Rows, seed: int, dose: int) -> list[Rows]:
    """The items of a look in other wordings."""
    found = []
    for number, (name, cost) in enumerate(world.variants.items()):
        fallen = np.random.default_rng([seed, dose, number, 1]).random(len(plain["item"])) < cost(plain["capacity"])
        items = np.array([item.replace("/", f"/{name}/", 1) for item in plain["item"]], object)
        verdict = np.where(fallen & (plain["verdict"] == "right"), "wrong", plain["verdict"])
        found.append(plain | {"variant": name, "item": items, "verdict": verdict})
    return found


def _ways(world: World, plain: list[Rows], seed: int, dose: int) -> list[Rows]:
    """Other answers to the items of a look: so many wrong ones more are right, or right ones wrong."""
    found = []
    right = np.concatenate([rows["verdict"] == "right" for rows in plain])
    ends = np.cumsum([len(rows["item"]) for rows in plain])[:-1]
    for number, (label, (before, after, tokens)) in enumerate(world.ways.items()):
        rng = np.random.default_rng([seed, dose, number, len(right)])
        more = after if dose else before
        share = more / max((~right).mean(), 1e-9) if more > 0 else -more / max(right.mean(), 1e-9)
        flipped = right ^ ((rng.random(len(right)) < share) & (right == (more < 0)))
        for rows, own in zip(plain, np.split(flipped, ends), strict=True):
            verdict = np.where(own, "right", "wrong").astype(object)
            found.append(rows | {"verdict": verdict, "answering": label, "generated": tokens})
    return found


def _students(world: World) -> list[dict[str, Any]]:
    """Of a record: nothing where no student branches."""
    found = []
    for capacity in world.capacities:
        for branch in world.branches:
            end = {"why": "cap", "accuracy": 0.8} if branch in world.late else {"why": "reached", "accuracy": 0.95}
            own = {"method": branch, "steps": 20, "samples": 640, "pool": 320, "moved": 0.1, **end}
            stages = [{"method": "off_policy", "steps": 10, "samples": 320}, own]
            found.append({
                "name": f"{capacity // 1000}k-{branch}", "branch": branch, "trunk": f"{capacity // 1000}k",
                "capacity": capacity,
                "trunk_stages": 1, "taught": {str(seed): stages for seed in range(world.seeds)},
            })  # fmt: skip
    return found


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


def write_failures(world: World, folder: Path) -> None:
    """Beside a study's ledger: half of the answers wrong after dialogue and noise, most in the ways that C3 names."""
    rows = []
    for capacity in world.capacities:
        for name, share in (("dialogue", 0.9), ("noise", 0.3)):
            for seed in range(world.seeds):
                for dose, wrong in ((0, 1 + seed), (world.doses[-1], world.items // 2)):
                    key = (f"{capacity // 1000}k", capacity, name, "maths", dose, seed if world.fresh else 0, seed)
                    named = round(share * wrong)
                    rows += [(*key, "", "", world.items - wrong), (*key, "intrusion", "", wrong - named)]
                    rows.append((*key, "symbol_error", "slip", named))
    pd.DataFrame(rows, columns=COUNTS).to_csv(folder / FAILURES_FILE, index=False)


def write(world: World, folder: Path, ledger: bool = True) -> Path:
    """A study's folder; without its ledger as it is committed small."""
    rows = _ledger(world)
    rows["answer"] = [[1]] * len(rows)
    plain: dict[str, Any] = ADDED | {"generated": 16}
    rows = rows.assign(**{k: rows[k].fillna(v) if k in rows else v for k, v in plain.items()})
    about = {name: {"version": 1, "chance": world.chances.get(name, 0.0), "skill": name} for name in world.benchmarks}
    folder.mkdir(parents=True)
    rows[list(LEDGER_COLUMNS)].to_parquet(folder / "ledger.parquet")
    record = {
        "name": folder.name, "benchmarks": about, "arms": world.arms, "students": _students(world),
        "seeds": {"shared_students": not world.fresh},
    }  # fmt: skip
    write_json(folder / "record.json", record)
    if not ledger:
        chances, versions = ({name: value[key] for name, value in about.items()} for key in ("chance", "version"))
        scores = score_rows(plain_rows(rows), chances, versions)
        (folder / "scores.jsonl").write_text(jsonl([dataclasses.asdict(row) for row in scores]))
        Curves().to_frame().to_csv(folder / "curves.csv", index=False)
        (folder / "ledger.parquet").unlink()
    return folder


@cache
def rules() -> Rules:
    """The package's rules, read once."""
    return read_rules()


def verdicts(claims: tuple[str, ...], *paths: Path) -> dict[str, ClaimVerdict]:
    """These claims alone judged, by the package's rules: all others would cost ten times as much."""
    mine = {name: rules().claims[name] for name in claims}
    return {found.claim: found for found in judge(paths, dataclasses.replace(rules(), claims=mine))}
