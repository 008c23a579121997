"""The headline of section 4.2 from a measured sweep: thresholds by every reading, orderings, the baseline of students.

    python experiments/headline.py results/section_4_2-...

writes ``capacity_thresholds.csv`` (every arm at one dose, altered syntax at half of it; dialogue at shifts 1 and .5 at
equal learning too; in three readings, the headline also without the stuck students), ``orderings.csv``,
``students.csv`` (by size: students, accuracy at dose 0, steps taken and why no more) and the figure ``headline.png``
into the folder, and prints what the README says.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from forgetting import load
from forgetting.analysis.capacity_readings import arm_looks
from forgetting.analysis.learning_paths import multiple
from forgetting.errors import run_script
from forgetting.record.store import Store, manifest
from forgetting.report.result import Result

DOSE, NLL = 1280, (6.0, 4.0, 3.0)
HEADLINE = "dialogue-shift0.5-constant"
MATHS = ("dialogue", "original", "noise")


def thresholds(result: Result) -> pd.DataFrame:
    """Of every arm that trains: maths, or code after altered syntax; the headline once more without the stuck."""
    found = []
    for arm in result.arm_names:
        if multiple(result.arm(arm).settings) == 0:  # the sham
            continue
        skill, dose = ("maths", DOSE) if arm.startswith(MATHS) else ("code", DOSE // 2)
        print(arm, skill, flush=True)
        whole = arm.startswith("dialogue") and "0.05" not in arm  # at 5% of a stream nobody learns as much
        own = result.capacity_thresholds(skill, dose=dose, arms=[arm], nll=NLL if whole else ())
        found.append(own.assign(skill=skill))
    without = result.capacity_thresholds("maths", dose=DOSE, arms=[HEADLINE], nll=(), leave_out_stuck=True)
    return pd.concat([*found, without.assign(skill="maths")], ignore_index=True)


def students(result: Result) -> pd.DataFrame:
    """By size: how many students, accuracy of maths at dose 0, how many are stuck; steps and why, if stored."""
    looks = arm_looks(result, HEADLINE, "maths")
    start = looks[looks["dose"] == 0]
    taken: dict[tuple[str, int], dict[str, Any]] = {}
    hashes = {
        str(mark): (str(known["name"]), int(seed))
        for known in result.record["students"]
        for seed, mark in known["weights"].items()
    }
    for home in Store(None).root.glob("*/manifest.json"):
        about = manifest(home.parent)
        if (key := hashes.get(str(about.get("files", {}).get("model.safetensors")))) is not None:
            taken[key] = about.get("until", {})
    rows = []
    for (name, capacity), own in start.groupby(["student", "capacity"], sort=False):
        why = [taken[key] for seed in own["distillation_seed"] if (key := (str(name), int(seed))) in taken]
        rows.append({
            "student": name, "parameters": capacity, "students": own["distillation_seed"].nunique(),
            "maths": own["baseline"].mean(), "lowest": own["baseline"].min(), "highest": own["baseline"].max(),
            "stuck": int(own["stuck"].sum()), "steps": pd.Series([w.get("steps") for w in why]).median(),
            **{reason: sum(w.get("why") == reason for w in why) if why else None
               for reason in ("reached", "plateau", "cap")},
        })  # fmt: skip
    return pd.DataFrame(rows)


def main() -> None:
    """Read, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    result = load(given.folder)
    found = thresholds(result)
    tables = {"capacity_thresholds": found, "orderings": result.orderings(), "students": students(result)}
    for name, table in tables.items():
        table.to_csv(given.folder / f"{name}.csv", index=False, float_format="%.6g")
        print(f"\n{name}\n{table.to_string()}")
    shown = found[(found["arm"] == HEADLINE) & ~found["stuck_left_out"]]
    result.plot_capacity(HEADLINE, thresholds=shown).savefig(given.folder / "headline.png")


if __name__ == "__main__":
    run_script(main)
