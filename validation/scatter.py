"""How much do students of one size differ in what they lose, and how many students does a threshold take?

From a measured sweep whose unit is the student: by size, the standard deviation over students of log2 of the dose that
halves a skill, and of how far the logit of accuracy falls to one dose, with its 95% interval (chi-square, n - 1
degrees of freedom).
Students that never lose half, or have lost it before the first dose, have no halving dose and are counted as not
there: of those that are left the scatter errs to the small side. Then whole studies of 2 to 16 students a size are
drawn from what was measured: retention on a logit scale about each size's own mean with its own scatter between
students (what items explain of it taken off), and the items' binomial noise; the estimator of the sweeps is run on
each, and its interval's width is the power.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import special, stats

from forgetting import seeds
from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.metrics import retention_variance
from forgetting.analysis.study_folder import open_study
from forgetting.errors import UsageError, run_script
from forgetting.record.provenance import commit

STUDENTS = (2, 4, 8, 16)
UNIT = ["student", "distillation_seed", "seed"]


def of_arm(scores: pd.DataFrame, skill: str, arm: str) -> pd.DataFrame:
    """Score rows of one skill in one arm, all depths together."""
    return scores[
        (scores["arm"] == arm) & (scores["skill"] == skill) & (scores["variant"] == "original") & scores["depth"].isna()
    ]


def halving_dose(run: pd.DataFrame, level: float = 0.5) -> float:
    """log2 of the dose at which retention falls to the level for good, on lines over log dose; NaN: nowhere."""
    run = run[run["dose"] > 0].sort_values("dose")
    dose, kept = np.log2(run["dose"].to_numpy(float)), run["retention"].to_numpy(float)
    above = np.flatnonzero(kept >= level)
    if not len(above) or above[-1] + 1 == len(kept):
        return float("nan")
    i = above[-1]
    return float(dose[i] + (kept[i] - level) / (kept[i] - kept[i + 1]) * (dose[i + 1] - dose[i]))


def logit_retention(run: pd.DataFrame, dose: int) -> float:
    """The logit of accuracy at the dose minus that at dose 0, half an item added to right and to wrong ones."""
    logits = {}
    for at in (0, dose):
        row = run[run["dose"] == at]
        if row.empty:
            return float("nan")
        right, items = float(row["accuracy"].iloc[0] * row["items"].iloc[0]), float(row["items"].iloc[0])
        logits[at] = np.log((right + 0.5) / (items - right + 0.5))
    return float(logits[dose] - logits[0])


def spread(values: np.ndarray) -> dict[str, Any]:
    """Mean, standard deviation and its 95% interval of the finite values; how many there are and how many are not."""
    known = values[np.isfinite(values)]
    n = len(known)
    if n < 2:
        return {"n": n, "not there": int(len(values) - n), "mean": float(known.mean()) if n else None}
    sd = float(known.std(ddof=1))
    low, high = (sd * np.sqrt((n - 1) / stats.chi2.ppf(q, n - 1)) for q in (0.975, 0.025))
    return {"n": n, "not there": int(len(values) - n), "mean": round(float(known.mean()), 3), "sd": round(sd, 3),
            "low": round(float(low), 3), "high": round(float(high), 3)}  # fmt: skip


def pooled(rows: list[dict[str, Any]]) -> float:
    """The standard deviation within sizes, over all of them."""
    own = [(r["sd"] ** 2, r["n"] - 1) for r in rows if "sd" in r]
    return float(np.sqrt(sum(v * d for v, d in own) / sum(d for _, d in own))) if own else float("nan")


def drawn(runs: pd.DataFrame, students: int, level: float, rng: np.random.Generator) -> Any:
    """One study of so many students a size, drawn from the measured runs (one row a run), and its threshold."""
    sizes = sorted(runs["capacity"].unique())
    own = {size: runs[runs["capacity"] == size] for size in sizes}
    items = int(runs["items"].iloc[0])
    capacity, middle, sd, start = [], [], [], []
    for size, rows in own.items():
        kept = np.clip(rows["retention"].to_numpy(float), 1 / items, 1 - 1 / items)
        noise = [retention_variance(float(a), float(b), items, 0.0) / (r * (1 - r)) ** 2
                 for a, b, r in zip(rows["accuracy"], rows["baseline"], kept, strict=True)]  # fmt: skip
        apart = special.logit(kept).var(ddof=1) - np.mean(noise)  # the items' noise comes again below
        capacity += [math.log10(size)] * students
        middle += [special.logit(kept).mean()] * students
        sd += [math.sqrt(max(0.0, apart))] * students
        start += [rows["baseline"].mean()] * students
    kept = special.expit(np.array(middle) + np.array(sd) * rng.standard_normal(len(middle)))
    base = rng.binomial(items, start) / items
    now = rng.binomial(items, np.clip(start * kept, 0, 1)) / items
    variance = [retention_variance(a, b, items, 0.0) for a, b in zip(now, base, strict=True)]
    return estimate_threshold(np.array(capacity), now / base, variance, axis="capacity", level=level,
                              students=np.arange(len(capacity)))  # fmt: skip


def power(runs: pd.DataFrame, level: float, repetitions: int) -> list[dict[str, Any]]:
    """By students a size: how often the threshold is located, and how wide its 90% interval is in the median."""
    rows = []
    for students in STUDENTS:
        found = [drawn(runs, students, level, seeds.generator(n, "scatter", str(students), str(level)))
                 for n in range(repetitions)]  # fmt: skip
        located = [one.decades for one in found if one.located]
        rows.append({"students": students, "level": level, "repetitions": repetitions,
                     "located": round(len(located) / repetitions, 3),
                     "median_decades": round(float(np.median(located)), 3) if located else None})  # fmt: skip
    return rows


def by_size(scores: pd.DataFrame, skill: str, arm: str, dose: int) -> list[dict[str, Any]]:
    """Scatter of both statistics for each size of an arm."""
    rows = []
    for (student, capacity), of in of_arm(scores, skill, arm).groupby(["student", "capacity"], sort=False):
        runs = [run for _, run in of.groupby(UNIT)]
        fall = np.array([logit_retention(run, dose) for run in runs])
        rows.append({"arm": arm, "student": student, "capacity": int(str(capacity)),
                     "log2 halving dose": spread(np.array([halving_dose(run) for run in runs])),
                     f"change of the logit of accuracy to {dose}": spread(fall)})  # fmt: skip
    return sorted(rows, key=lambda row: row["capacity"])


def points(scores: pd.DataFrame, skill: str, arm: str, dose: int) -> pd.DataFrame:
    """One row a run: retention at the dose, accuracy at dose 0, items."""
    own = of_arm(scores, skill, arm)
    start = own[own["dose"] == 0].set_index(UNIT)["accuracy"]
    now = own[own["dose"] == dose].set_index(UNIT)
    return now.assign(baseline=start).reset_index()


def main() -> None:
    """Read, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--skill", default="maths")
    parser.add_argument("--dose", type=int, default=1280)
    parser.add_argument("--arms", nargs="+", default=["dialogue-constant", "dialogue-shift0.5-constant"])
    parser.add_argument("--repetitions", type=int, default=40)
    parser.add_argument("--output", type=Path, default=Path("results/validation/scatter.json"))
    given = parser.parse_args()
    study = open_study(given.folder)
    scores = pd.DataFrame(study.scores)
    found: dict[str, Any] = {"folder": given.folder.name, "commit": commit(), "skill": given.skill, "arms": {}}
    for arm in given.arms:
        rows = by_size(scores, given.skill, arm, given.dose)
        if not rows:
            known = ", ".join(sorted(scores["arm"].unique()))
            raise UsageError(f"--arms: must have {given.skill} in {given.folder}, got {arm}; its arms: {known}")
        runs = points(scores, given.skill, arm, given.dose)
        if min(runs.groupby("capacity").size(), default=0) < 2 or runs["capacity"].nunique() < 2:
            raise UsageError(f"{given.folder}: must have two sizes of two students or more at dose {given.dose:,}")
        names = [name for name in rows[0] if isinstance(rows[0][name], dict)]
        found["arms"][arm] = {
            "sizes": rows,
            "pooled sd": {name: round(pooled([row[name] for row in rows]), 3) for name in names},
            "power": [row for level in (0.9, 0.5) for row in power(runs, level, given.repetitions)],
        }
        for row in rows:
            print(arm, row["student"], *(f"{name}: {row[name]}" for name in names), sep="  ")
        print("pooled sd", found["arms"][arm]["pooled sd"])
        for one in found["arms"][arm]["power"]:
            print(one)
    given.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    run_script(main)
