"""Does a student that is full of facts forget more maths? By the rules registered for it (experiments/LOG.md).

    python experiments/fact_load.py results/fact_load_none-... results/fact_load_tenth-... results/fact_load-...

The first folder is the control, whose facts tell nothing. Prints, and writes into each folder (``fact_load.csv``,
``fact_load_students.csv``), bits known by dose; then what is kept of maths, its half dose, and what loaded students
keep less than the control's. 95%: Student's t over students, of differences by Welch: loads have students of their own.
The students' manifests are looked up in the store, for the samples that they took.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from forgetting import load
from forgetting.analysis.capacity_readings import arm_looks, crossed
from forgetting.analysis.dose_at import falls_at
from forgetting.analysis.fact_load import fact_runs
from forgetting.analysis.fronts import mean_interval, welch_interval
from forgetting.analysis.learning_paths import floor_of
from forgetting.record.schema import RUN_KEY
from forgetting.record.store import Store, manifest
from forgetting.report.result import Result
from forgetting.spec import from_plain
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import construct

LEVEL, MARGIN, KEPT_MARGIN, SKILL_MARGIN = 0.5, 0.25, 0.05, 0.02
NLLS = (4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 12.0)


def told(value: float, low: float, high: float) -> str:
    """A value with its interval."""
    return f"{value:+.3f} ({low:+.3f} to {high:+.3f})"


def students(result: Result, nlls: Sequence[float]) -> pd.DataFrame:
    """A row a student: maths at dose 0 and at the end, log2 of its half dose, retention at each NLL of the probe."""
    arm = result.record["arms"][0]
    floor = float(arm.get("floor", 0.0)) or floor_of(arm.get("contamination"))
    looks, rows = arm_looks(result, str(arm["name"]), "maths"), []
    facts = fact_runs(result).set_index([*RUN_KEY, "dose"])
    for key, run in looks.groupby(list(RUN_KEY), sort=False):
        run = run.sort_values("dose")
        doses, kept = run["dose"].to_numpy(float), run["retention"].to_numpy(float)
        half = falls_at(doses, kept, LEVEL)
        last = int(doses[-1])
        first, end = (facts.loc[(*key, dose)] for dose in (0, last))
        left = np.array([facts.loc[(*key, int(dose)), "by_fact"] for dose in doses], float)
        facts_half = falls_at(doses, left / left[0], LEVEL) if left[0] else math.nan
        rows.append(
            {
                "seed": int(run["distillation_seed"].iloc[0]),
                "maths": float(run["baseline"].iloc[0]),
                "kept": kept[-1],
                "probe": float(run["probe"].iloc[-1]),
                "log2_half": math.log2(half) if math.isfinite(half) else math.nan,
                "log2_facts_half": math.log2(facts_half) if math.isfinite(facts_half) else math.nan,
                "known": first["known"],
                "known_by_fact": first["by_fact"],
                "left_by_fact": end["by_fact"],
                "per_parameter": first["per_parameter"],
                **{f"at {nll:g}": crossed(run, "retention", nll, floor)[0] for nll in nlls},
            }
        )
    return pd.DataFrame(rows)


def main(control: str, *loads: str) -> None:
    """Print bits, what is kept, and differences; write the tables."""
    results = {folder: load(folder) for folder in (control, *loads)}
    if bare := [folder for folder, result in results.items() if result.ledger is None]:
        raise SystemExit(f"{', '.join(bare)}: without a ledger, as committed studies are; fact_load.yaml makes it")
    found = {folder: students(result, NLLS) for folder, result in results.items()}
    for folder, result in results.items():
        table = result.fact_load()
        table.round(6).to_csv(Path(folder) / "fact_load.csv", index=False)
        found[folder].round(6).to_csv(Path(folder) / "fact_load_students.csv", index=False)
        print(f"\n{folder}\n{table.drop(columns=['student', 'arm']).round(3).to_string(index=False)}")
        for name in found[folder].columns[1:]:
            values = found[folder][name].to_numpy(float)
            if np.isfinite(values).any():
                print(f"  {name}: {told(*mean_interval(values))}, {int(np.isfinite(values).sum())} students")
        print(f"  samples until the target: {taught(result)}")
        both = found[folder]["log2_facts_half"] - found[folder]["log2_half"]
        print(f"  log2 half dose, facts (by fact) less maths: {told(*mean_interval(both.to_numpy(float)))}")
    reached = [nll for nll in NLLS if all(own[f"at {nll:g}"].notna().all() for own in found.values())]
    print(f"\nequal learning: the least NLL that every student reaches is {min(reached, default=math.nan):g}")
    for folder in loads:
        print(f"\n{folder} less {control}")
        for name in ("maths", "log2_half", "kept", *(f"at {nll:g}" for nll in reached)):
            one, other = (found[own][name].to_numpy(float) for own in (folder, control))
            print(f"  {name}: {told(*welch_interval(one, other))}; 90% {told(*welch_interval(one, other, 0.9))}")
        print(f"  log2_half adjusted: {told(*adjusted(found[folder], found[control]))}")
        print(f"  half dose: {verdict(found[folder], found[control])}")
        if reached:
            one, other = (found[own][f"at {reached[0]:g}"].to_numpy(float) for own in (folder, control))
            (value, _, high), (_, low_90, high_90) = (welch_interval(one, other, share) for share in (0.95, 0.9))
            print(f"  equal learning: {judged(value, high, low_90, high_90, KEPT_MARGIN)}")


def taught(result: Result) -> dict[int, tuple[int, str]]:
    """By seed of the student the samples until its target, and why there were no more."""
    study, store, found = construct(from_plain(result.record["spec"])), Store(), {}
    for run in study.runs():
        home = store.find(fingerprint(student_form(study, run.student, run.distillation_seed)))
        if home is not None:
            until = manifest(home)["until"]
            found[run.distillation_seed] = (until["steps"] * study.spec.ladder.distilling.batch_size, until["why"])
    return found


def adjusted(loaded: pd.DataFrame, control: pd.DataFrame, confidence: float = 0.95) -> tuple[float, float, float]:
    """The difference in log2 of the half dose at equal maths at dose 0: least squares, one slope for all students."""
    both = pd.concat([loaded.assign(load=1.0), control.assign(load=0.0)]).dropna(subset=["log2_half"])
    design = np.column_stack([np.ones(len(both)), both["load"], both["maths"]])
    y = both["log2_half"].to_numpy(float)
    if len(y) <= design.shape[1] or np.linalg.matrix_rank(design) < design.shape[1]:
        return math.nan, math.nan, math.nan
    found, *_ = np.linalg.lstsq(design, y, rcond=None)
    freedom = len(y) - design.shape[1]
    variance = float(((y - design @ found) ** 2).sum()) / freedom * np.linalg.inv(design.T @ design)[1, 1]
    half = float(stdtrit(freedom, (1 + confidence) / 2)) * sqrt(variance)
    return float(found[1]), float(found[1]) - half, float(found[1]) + half


def verdict(loaded: pd.DataFrame, control: pd.DataFrame) -> str:
    """By the half dose: what load does; adjusted to equal maths at dose 0 where that differs."""
    skill = welch_interval(loaded["maths"].to_numpy(float), control["maths"].to_numpy(float))[0]
    plain = abs(skill) <= SKILL_MARGIN
    if plain:
        one, other = (own["log2_half"].to_numpy(float) for own in (loaded, control))
        (value, _, high), (_, low_90, high_90) = (welch_interval(one, other, share) for share in (0.95, 0.9))
    else:
        (value, _, high), (_, low_90, high_90) = (adjusted(loaded, control, share) for share in (0.95, 0.9))
    said = judged(value, high, low_90, high_90, MARGIN)
    return f"{said} (maths at dose 0 differs by {skill:+.3f}{'' if plain else ', so adjusted to it'})"


def judged(value: float, high: float, low_90: float, high_90: float, margin: float) -> str:
    """Beyond a margin below 0, within it, or open."""
    if high < 0 and value < -margin:
        return "load costs"
    return "load does not matter" if low_90 > -margin and high_90 < margin else "open"


if __name__ == "__main__":
    main(*sys.argv[1:])
