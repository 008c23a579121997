"""Do 90% intervals of thresholds found by search cover the truth? Surfaces with random edges; noise as in runs."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from surfaces import AT_SHIFT, COARSE, HELD_OUT, ITEMS, RUNGS, SEED_SD, SHIFTS, SURFACES, Search

from forgetting import seeds
from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.level_set.grid import grid
from forgetting.analysis.level_set.sampler import LevelSetSampler
from forgetting.record.files import write_atomically, write_json
from forgetting.record.provenance import commit, hardware, versions

RUNS = {False: 40, True: 80}  # of a search in one and in two dimensions
HELD_OUT_RUNS, HELD_OUT_REPEATS = 35, 5  # of a held-out surface: seven rungs, five seeds
DESIGNS = ("ladder", "continuous", "grid")  # searched on a ladder, searched everywhere, all rungs in turn
CASES = [(name, design, level) for name in SURFACES for design in DESIGNS for level in (0.9, 0.5)]


def repetition(case: tuple[str, str, float], number: int) -> tuple[str, float, float]:
    """One search and its verdict: ``covered``, ``missed``, or a status; its signed error and width in decades."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    name, design, level = case
    held_out = name in HELD_OUT
    surface, rng = (SURFACES | HELD_OUT)[name], seeds.generator(number, name, design, str(level))
    edge = float(rng.uniform(*surface.edges))
    rungs = COARSE if held_out and design == "grid" else RUNGS
    space = surface.space(ladder=design != "continuous", rungs=rungs)
    sampler = LevelSetSampler(level=level, space=space, most_repeats=5 if design == "ladder" else None, seed=number)
    study = optuna.create_study(sampler=sampler)
    for params in grid(space, repeats=HELD_OUT_REPEATS if held_out else 4) if design == "grid" else ():
        study.enqueue_trial(params)
    search = Search(surface, space, study, edge, level, rng)
    search.go_on(HELD_OUT_RUNS if held_out else RUNS[surface.two])
    found = estimate_threshold(
        search.points, search.retention, search.variance, axis="capacity", level=level,
        at=[AT_SHIFT] if surface.two else [],
    )  # fmt: skip
    if not found.located:
        return found.status, float("nan"), float("inf")
    truth = surface.truth(edge, level)
    covered = found.low <= 10**truth <= found.high
    return "covered" if covered else "missed", float(np.log10(found.value)) - truth, found.decades


def right(case: tuple[str, str, float], verdicts: Counter[str]) -> int:
    """How many verdicts are right: the interval covers the truth, or says not monotone of what is not."""
    return verdicts["covered"] + (0 if SURFACES[case[0]].monotone else verdicts["not_monotone"])


def kept(output: Path, surface: str, design: str = "") -> list[dict[str, Any]]:
    """The rows of an earlier result that are not run again, each with the commit that made it."""
    if not (surface or design) or not output.exists():
        return []
    rows: list[dict[str, Any]] = json.loads(output.read_text())["rows"]
    return [row for row in rows if (surface or row["surface"], design or row.get("design", "")) != _place(row)]


def _place(row: dict[str, Any]) -> tuple[str, str]:
    return row["surface"], row.get("design", "")


def main() -> None:
    """Repeat, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=1000, help="of each of six cases of a surface")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--cases", default="", help="a surface; the rows of others are kept")
    parser.add_argument("--design", choices=DESIGNS, default="", help="a design; the rows of others are kept")
    parser.add_argument("--output", type=Path, default=Path("results/validation/coverage.json"))
    options = parser.parse_args()
    start, rows = time.perf_counter(), kept(options.output, options.cases, options.design)
    numbers, made_by = range(options.repetitions), commit()
    chosen = [c for c in CASES if options.cases in ("", c[0]) and options.design in ("", c[1])]
    with ProcessPoolExecutor(options.processes) as pool:
        for case in sorted(chosen, key=lambda c: DESIGNS.index(c[1])):
            done = list(pool.map(repetition, [case] * len(numbers), numbers, chunksize=10))
            verdicts = Counter(verdict for verdict, _, _ in done)
            width = float(np.median([decades for _, _, decades in done]))
            row = {
                "surface": case[0],
                "design": case[1],
                "level": case[2],
                "repetitions": len(done),
                "right": right(case, verdicts) / len(done),
                "verdicts": dict(sorted(verdicts.items())),
                "commit": made_by,
                "median_decades": round(width, 3) if np.isfinite(width) else None,
            }
            rows.append(row)
            print(f"{time.perf_counter() - start:6.0f} s  {row}", flush=True)
            write(rows, options.output)


def write(rows: list[dict[str, Any]], output: Path) -> None:
    """The rows, what they mean and what made them, after every case, so that an interrupted study keeps its cases."""
    rows.sort(key=lambda r: CASES.index((r["surface"], r["design"], r["level"])))
    result = {
        "command": " ".join(["python", *sys.argv]),
        "what": "share of searches whose 90% interval covers the true threshold; every other verdict counts as wrong, "
        "except not_monotone on the surface that is not",
        "rows": rows,
        "items": ITEMS,
        "seed_sd": SEED_SD,
        "runs": {"one dimension": RUNS[False], "two dimensions": RUNS[True]},
        "rungs_log10": RUNGS,
        "shifts": SHIFTS,
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(output, result)
    write_atomically(output.with_suffix(".md"), table(rows))


def table(rows: list[dict[str, object]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| surface | design | level | repetitions | right | verdicts | median width (decades) | commit |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        assert isinstance(r["verdicts"], dict)
        verdicts = ", ".join(f"{n.replace('_', ' ')} {k}" for n, k in r["verdicts"].items())
        lines.append(
            f"| {r['surface']} | {r['design']} | {r['level']} | {r['repetitions']} | {r['right']:.3f} | {verdicts} "
            f"| {r['median_decades']} | {str(r['commit'])[:7]} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
