"""Does a calculator in distillation free capacity? Students with and without masked results, by the rule registered.

    python experiments/masked_results.py results/masked_results-... results/unmasked_results-...

The students' manifests are looked up in the store, for the steps that they took. Intervals: 95%, Student's t over
students, paired by seed.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from forgetting import load
from forgetting.analysis.fronts import mean_interval
from forgetting.record.store import Store, manifest
from forgetting.report.result import Result
from forgetting.spec import from_plain
from forgetting.study.fingerprints import fingerprint, student_form
from forgetting.study.study import construct

TOOL, RANDOM = "symbolic", "symbolic results=random"


def steps(result: Result) -> pd.DataFrame:
    """Of each student the steps to the target, why there are no more, and the accuracy of the last check."""
    study, store, rows = construct(from_plain(result.record["spec"])), Store(), []
    for student, seed in dict.fromkeys((run.student, run.distillation_seed) for run in study.runs()):
        home = store.find(fingerprint(student_form(study, student, seed)))
        assert home is not None
        until = manifest(home)["until"]
        rows.append((student.name, seed, until["steps"], until["why"], until["checks"][-1][1]))
    return pd.DataFrame(rows, columns=["student", "seed", "steps", "why", "check"]).set_index(["student", "seed"])


def accuracies(result: Result) -> pd.DataFrame:
    """Of each student and arm, by dose and way of answering."""
    ways = result.other_ways
    index = ["arm", "student", "distillation_seed"]
    return ways.pivot_table(index=index, columns=["dose", "answering"], values="accuracy")


def told(values: pd.Series) -> str:
    """A mean with its interval."""
    mean, low, high = mean_interval(values.to_numpy(float))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def main(masked: str, unmasked: str) -> None:
    """Print what the rule asks."""
    both = [load(folder) for folder in (masked, unmasked)]
    taken = [steps(one) for one in both]
    for name, own in zip(("masked", "unmasked"), taken, strict=True):
        print(f"\n{name}\n{own.to_string()}")
    ratio = np.log2(taken[0]["steps"] / taken[1]["steps"])
    for student, own in ratio.groupby(level="student"):
        print(f"1. {student}: log2 of steps, masked less unmasked {told(own)}")
    one, other = map(accuracies, both)
    dose = max(d for d, _ in one.columns)
    for key, left in one.groupby(level=["arm", "student"]):
        right = other.loc[left.index]
        print(f"\n{key[1]}, {key[0]}")
        print(f"2. with the tool at dose 0, masked less unmasked {told(left[0][TOOL] - right[0][TOOL])}")
        kept = [own[dose][TOOL] / own[0][TOOL] for own in (left, right)]
        print(
            f"3. kept with the tool: masked {told(kept[0])}, unmasked {told(kept[1])}, less {told(kept[0] - kept[1])}"
        )
        for name, own in (("masked", left), ("unmasked", right)):
            means = {f"{way} {at}": round(float(own[at][way].mean()), 3) for at in (0, dose) for way in own[at].columns}
            print(f"4. 5. {name}: {means}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
