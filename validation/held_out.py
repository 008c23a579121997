"""Are thresholds right where runs lie above 1, items are alike or the edge is hard? Signed error and coverage.

Kernel priors and the rule for rising paths were chosen on repetitions 0 to 199 of these surfaces; the study begins at
number 1,000, so that it judges them on other draws of the same surfaces.

Repetitions go round all cases and are appended to a file of their own, one line each, so that a run that was stopped
goes on where it was, and one that is stopped early has as many repetitions of every case as of any other.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from coverage import HELD_OUT_REPEATS, HELD_OUT_RUNS, repetition
from surfaces import BASELINE, COARSE, HELD_OUT, MANY_ITEMS, RUNGS, SEED_SD

from forgetting.record.files import write_atomically, write_json
from forgetting.record.provenance import commit, hardware, versions

LARGEST_ERROR, LEAST_COVERAGE = 0.03, 0.88  # what every case must keep: decades, share
FIRST = 1000  # number of the first repetition
Case = tuple[str, str, float]  # surface, design, level
CASES: list[Case] = [
    (name, design, level) for name in HELD_OUT for design in ("grid", "ladder") for level in (0.9, 0.5)
]


def undone(cases: Sequence[Case], repetitions: int, lines: list[dict[str, Any]]) -> Iterator[tuple[Case, int]]:
    """Cases and numbers that no line holds, number by number."""
    done = {(line["surface"], line["design"], line["level"], line["number"]) for line in lines}
    return ((case, n) for n in range(FIRST, FIRST + repetitions) for case in cases if (*case, n) not in done)


def summary(case: Case, lines: list[dict[str, Any]]) -> dict[str, Any]:
    """The row of one case: every verdict but ``covered`` counts as wrong."""
    own = [line for line in lines if (line["surface"], line["design"], line["level"]) == case]
    errors = [line["error"] for line in own if line["error"] is not None]
    widths = [line["decades"] or np.inf for line in own]
    verdicts = Counter(line["verdict"] for line in own)
    error, width = float(np.median(errors or [np.inf])), float(np.median(widths))
    covered = verdicts["covered"] / len(own)
    return {
        "surface": case[0],
        "design": case[1],
        "level": case[2],
        "repetitions": len(own),
        "median_error": round(error, 4) if errors else None,
        "covered": round(covered, 4),
        "standard_error": round(float(np.sqrt(covered * (1 - covered) / len(own))), 4),
        "passes": abs(error) <= LARGEST_ERROR and covered >= LEAST_COVERAGE,
        "median_decades": round(width, 3) if np.isfinite(width) else None,
        "verdicts": dict(sorted(verdicts.items())),
        "commits": sorted({line["commit"] for line in own}),
    }


def _case(row: dict[str, Any]) -> Case:
    return row["surface"], row["design"], row["level"]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    lines = [
        "| surface | design | level | repetitions | median error (decades) | covered | passes | verdicts | width |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in rows:
        verdicts = ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in r["verdicts"].items())
        error = "–" if r["median_error"] is None else f"{r['median_error']:+.3f}"
        lines.append(
            f"| {r['surface']} | {r['design']} | {r['level']} | {r['repetitions']} | {error} "
            f"| {r['covered']:.3f} ± {r['standard_error']:.3f} | {'yes' if r['passes'] else 'NO'} | {verdicts} "
            f"| {r['median_decades']} |"
        )
    return "\n".join(lines) + "\n"


def study(
    about: str | None,
    name: str,
    cases: Sequence[Case],
    repetition: Callable[[Case, int], tuple[str, float, float]],
    settings: dict[str, Any],
) -> None:
    """Repeat, summarise, write."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--repetitions", type=int, default=1000, help="of each case")
    parser.add_argument("--minutes", type=float, default=30.0, help="after which no repetition is begun")
    parser.add_argument("--only", nargs="*", default=[], help="first names of cases; the rows of others are kept")
    parser.add_argument("--raw", type=Path, default=Path(f"{name}.jsonl"), help="one line a repetition; not committed")
    parser.add_argument("--output", type=Path, default=Path(f"results/validation/{name}.json"))
    options = parser.parse_args()
    lines = [json.loads(line) for line in options.raw.read_text().splitlines()] if options.raw.exists() else []
    cases = [case for case in cases if not options.only or case[0] in options.only]
    start, made_by = time.perf_counter(), commit()
    with options.raw.open("a") as file:
        for case, number in undone(cases, options.repetitions, lines):
            if time.perf_counter() - start > 60 * options.minutes:
                break
            verdict, error, decades = repetition(case, number)
            line = dict(zip(("surface", "design", "level"), case, strict=True)) | {
                "number": number,
                "verdict": verdict,
                "error": None if np.isnan(error) else error,
                "decades": None if np.isinf(decades) else decades,
                "commit": made_by,
            }
            lines.append(line)
            print(json.dumps(line), file=file, flush=True)
    begun = {(line["surface"], line["design"], line["level"]) for line in lines}
    rows = [summary(case, lines) for case in cases if case in begun]
    if options.only:
        earlier = json.loads(options.output.read_text())["rows"] if options.output.exists() else []
        own = {_case(row): row for row in rows}
        rows = [own.pop(_case(row), row) for row in earlier] + [*own.values()]
    result = {
        "command": " ".join(["python", *sys.argv]),
        "what": f"signed median error within {LARGEST_ERROR} decades and 90% coverage of at least {LEAST_COVERAGE}",
        "rows": rows,
        **settings,
        "hardware": hardware(),
        "versions": versions(),
    }
    write_json(options.output, result)
    write_atomically(options.output.with_suffix(".md"), table(rows))
    print(table(rows))


if __name__ == "__main__":
    runs = {"grid": f"{len(COARSE)} rungs x {HELD_OUT_REPEATS}", "ladder": f"{HELD_OUT_RUNS} on {len(RUNGS)}"}
    settings = {"baseline": BASELINE, "items": MANY_ITEMS, "seed_sd": SEED_SD, "runs": runs}
    study(__doc__, "held_out", CASES, repetition, settings)
