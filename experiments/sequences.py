"""What the study of sequences says to the rules that were registered for it, size by size.

    python experiments/sequences.py results/sequences-...

Intervals: 95%, Student's t over students.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np
import pandas as pd

from forgetting import load
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.scores import PROBE
from forgetting.report.result import Result

SKILL = "maths"


def kinds(result: Result) -> dict[str, list[str]]:
    """The arms of each kind, plain and with replay."""
    found: dict[str, list[str]] = {}
    for arm in result.record["arms"]:
        if arm["name"] in result.arm_names:
            names = [name for name, _ in arm.get("phases", [])]
            order = arm["contamination"].get("order", "") if names else "original"
            kind = "one kind" if len(set(names)) == 1 and len(names) > 1 else order
            label = kind + (" + replay" if arm["mitigation"]["name"] == "replay" else "")
            found.setdefault(label, []).append(str(arm["name"]))
    return found


def told(values: Sequence[float] | pd.Series) -> str:
    """Mean and interval."""
    mean, low, high = mean_interval(np.asarray(values, float))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def main(folder: str) -> None:
    result = load(folder)
    arms, transfer = kinds(result), result.transfer()
    rows = result.scores[result.scores["depth"].isna() & (result.scores["variant"] == "original")]
    rows = rows[(rows["benchmark"] != PROBE) & (rows["skill"] == SKILL)]
    effects = result.order_effects()
    effects = effects[(effects["skill"] == SKILL) & (effects["scale"] == "hazard")]
    matrices = transfer.matrices[transfer.matrices["group"] == "new"]
    for student in result.curves:
        print(f"\n{student}")
        own = rows[rows["student"] == student]
        last = own[own["dose"] == own["dose"].max()]
        end = {kind: last[last["arm"].isin(names)].groupby("distillation_seed")["accuracy"].mean()
               for kind, names in arms.items()}  # fmt: skip
        start = own[own["dose"] == 0].groupby("distillation_seed")["accuracy"].mean()
        print(f"  {SKILL} at the start {told(start)}")
        for kind, values in end.items():
            print(f"  {SKILL} at the end, {kind}: {told(values)}")
        for kind in ("blocked", "cyclic"):
            print(f"  rule 2, {kind} minus interleaved: {told(end[kind] - end['interleaved'])}")
        for kind in ("blocked", "cyclic", "interleaved", "one kind"):
            share = (end[f"{kind} + replay"] - end[kind]) / (start - end[kind])
            print(f"  rule 4, share of the loss that 5% of replay keeps, {kind}: {told(share)}")
        for name in effects["arms"].unique():
            some = effects[(effects["student"] == student) & (effects["arms"] == name)]
            for row in some.itertuples():
                print(
                    f"  rules 1, 3: {name} {row.effect} {row.level}: {row.value:+.3f} ({row.low:+.3f} to {row.high:+.3f})"
                )
        wanted = transfer.measures[(transfer.measures["student"] == student) & (transfer.measures["group"] == "new")]
        for kind, names in arms.items():
            for measure in ("backward", "forward"):
                each = [_by_student(matrices, student, name, measure) for name in names]
                some = [values for values in each if len(values)]
                if some and len(wanted):
                    print(
                        f"  rule 5, {measure} transfer of the new tasks, {kind}: {told(pd.concat(some, axis=1).mean(axis=1))}"
                    )
        for row in transfer.savings[transfer.savings["student"] == student].itertuples():
            print(
                f"  rule 6, savings, {row.arm}, {row.task}: {row.savings:+.2f} ({row.savings_low:+.2f} to {row.savings_high:+.2f})"
            )


def _by_student(matrices: pd.DataFrame, student: str, arm: str, measure: str) -> pd.Series:
    from forgetting.analysis.transfer import measures_of

    own = pd.DataFrame(measures_of(matrices[(matrices["student"] == student) & (matrices["arm"] == arm)]))
    if own.empty:
        return pd.Series(dtype=float)
    return own[own["measure"] == measure].set_index("distillation_seed")["value"].dropna()


if __name__ == "__main__":
    main(sys.argv[1])
