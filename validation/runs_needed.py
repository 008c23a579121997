"""How many runs until the interval of a threshold is .15 decades wide? One estimate, five ways to choose points."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from coverage import kept
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.samplers import BaseSampler, GPSampler, RandomSampler, TPESampler
from surfaces import AT_SHIFT, HIGH, ITEMS, LOW, SEED_SD, SURFACES, Search

from forgetting import seeds
from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.level_set.grid import grid
from forgetting.analysis.level_set.sampler import LevelSetSampler
from forgetting.record.files import write_atomically, write_json
from forgetting.record.provenance import commit, hardware, versions

WIDTH = 0.15  # decades
STEP = 0.1  # decades between rungs: 18 of them, and five shifts
# Runs after which the width is looked at.
LOOKS = (12, 15, 18, 22, 26, 31, 37, 44, 53, 64, 77, 92, 110, 132, 158, 190, 228)
GP_LOOKS = tuple(n for n in LOOKS if n <= 64)  # of GPSampler, which takes too long for more
WAYS = ("level_set", "grid", "random", "tpe", "gp")
CASES = [(name, level) for name in SURFACES for level in (0.9, 0.5)]


def sampler(way: str, space: dict[str, BaseDistribution], level: float, number: int) -> BaseSampler:
    """The sampler of a way; the grid enqueues its points."""
    if way == "level_set":
        return LevelSetSampler(level=level, space=space, seed=number)
    others = {"tpe": TPESampler, "gp": GPSampler}
    return others.get(way, RandomSampler)(seed=number)


def repetition(case: tuple[str, float], way: str, number: int) -> tuple[float, str]:
    """Runs until the interval is narrow enough (or what is not monotone is called so), and the verdict then."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name, level = case
    surface, rng = SURFACES[name], seeds.generator(number, "runs needed", name, str(level))
    edge = float(rng.uniform(*surface.edges))
    space: dict[str, BaseDistribution] = {"capacity": FloatDistribution(LOW, HIGH, step=STEP)}
    if surface.two:
        space["shift"] = FloatDistribution(0.1, 0.9, step=0.2)
    study = optuna.create_study(sampler=sampler(way, space, level, number))
    score = abs if way in ("tpe", "gp") else float  # optimisers can only be told to come near the level
    search = Search(surface, space, study, edge, level, rng, score)
    if way == "grid":
        for params in grid(space, repeats=1 + LOOKS[-1] // 18):
            study.enqueue_trial(params)
    for look in GP_LOOKS if way == "gp" else LOOKS:
        search.go_on(look - len(search.points))
        found = estimate_threshold(
            search.points, search.retention, search.variance, axis="capacity", level=level,
            at=[AT_SHIFT] if surface.two else [],
        )  # fmt: skip
        if found.located and found.decades <= WIDTH:
            return look, "covered" if found.low <= 10 ** surface.truth(edge, level) <= found.high else "missed"
        if found.status == "not_monotone":
            return look, "missed" if surface.monotone else "not_monotone"
    return float("inf"), "not reached"


def main() -> None:
    """Repeat, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=50, help="of every surface, level and way")
    parser.add_argument("--gp-repetitions", type=int, default=3, help="of those of GPSampler")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cases", default="", help="a surface; the rows of others are kept")
    parser.add_argument("--ways", nargs="+", default=WAYS)
    parser.add_argument("--output", type=Path, default=Path("results/validation/runs_needed.json"))
    options = parser.parse_args()
    start, rows = time.perf_counter(), kept(options.output, options.cases)
    made_by = commit()
    with ProcessPoolExecutor(options.processes) as pool:
        for case in [c for c in CASES if options.cases in ("", c[0])]:
            for way in options.ways:
                numbers = range(options.gp_repetitions if way == "gp" else options.repetitions)
                done = list(pool.map(repetition, [case] * len(numbers), [way] * len(numbers), numbers))
                runs = np.asarray([n for n, _ in done])
                reached = [verdict for _, verdict in done if verdict != "not reached"]
                quantiles = [float(q) for q in np.quantile(runs, (0.25, 0.5, 0.75), method="higher")]
                row = {
                    "surface": case[0],
                    "level": case[1],
                    "way": way,
                    "repetitions": len(done),
                    "median_runs": finite(quantiles[1]),
                    "quartiles": [finite(quantiles[0]), finite(quantiles[2])],
                    "commit": made_by,
                    "reached": len(reached),
                    "right_when_reached": round(1 - reached.count("missed") / len(reached), 3) if reached else None,
                }
                rows.append(row)
                print(f"{time.perf_counter() - start:6.0f} s  {row}", flush=True)
                write(rows, options.output, options.ways)


def write(rows: list[dict[str, Any]], output: Path, ways: Sequence[str]) -> None:
    """The rows, what they mean and what made them, after every row, so that an interrupted study keeps its rows."""
    rows.sort(key=lambda r: (CASES.index((r["surface"], r["level"])), WAYS.index(r["way"])))
    result = {
        "command": " ".join(["python", *sys.argv]),
        "what": f"runs until the 90% interval is at most {WIDTH} decades wide, looked at after {list(LOOKS)} runs; "
        "null: not within the last of them (for gp: within 64); not_monotone counts as reached",
        "rows": rows,
        "items": ITEMS,
        "seed_sd": SEED_SD,
        "rungs": f"log10 capacity {LOW} to {HIGH} in steps of {STEP}; shift .1 to .9 in steps of .2",
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(output, result)
    write_atomically(output.with_suffix(".md"), table(rows, ways))


def finite(runs: float) -> int | None:
    """Runs, or None where the width was not reached."""
    return int(runs) if np.isfinite(runs) else None


def table(rows: list[dict[str, Any]], ways: Sequence[str]) -> str:
    """Median runs by surface and way as Markdown."""
    lines = [
        f"Median runs until the interval is {WIDTH} decades wide (at most {LOOKS[-1]}; gp {GP_LOOKS[-1]}). In "
        "brackets: how many repetitions got there, and the share of those whose verdict was right then.",
        "",
        "| surface | level | " + " | ".join(ways) + " |",
        "| --- | --- |" + " --- |" * len(ways),
    ]
    for name, level in CASES:
        found = {r["way"]: r for r in rows if (r["surface"], r["level"]) == (name, level)}
        cells = [_cell(found[way], GP_LOOKS if way == "gp" else LOOKS) for way in ways if way in found]
        lines.append(f"| {name} | {level} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(row: dict[str, Any], looks: Sequence[int]) -> str:
    runs = row["median_runs"] or f"over {looks[-1]}"
    right = "" if row["right_when_reached"] is None else f", {row['right_when_reached']:.2f} right"
    return f"{runs} ({row['reached']}/{row['repetitions']}{right})"


if __name__ == "__main__":
    main()
