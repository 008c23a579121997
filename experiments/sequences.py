"""What the study of sequences says to the rules that were registered for it, size by size.

    python experiments/sequences.py results/sequences-... results/sequences_replay-...

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
from forgetting.analysis.transfer import measures_of, run_costs
from forgetting.report.result import Result

SKILL = "maths"


def kinds(result: Result) -> dict[str, list[str]]:
    """The arms of each kind."""
    found: dict[str, list[str]] = {}
    for arm in result.record["arms"]:
        if arm["name"] in result.arm_names:
            names = [phase["task"] for phase in arm.get("phases", [])]
            order = arm["contamination"].get("order", "") if names else "original"
            kind = "one kind" if len(set(names)) == 1 and len(names) > 1 else order
            found.setdefault(kind, []).append(str(arm["name"]))
    return found


def told(values: Sequence[float] | pd.Series) -> str:
    """Mean and interval."""
    mean, low, high = mean_interval(np.asarray(values, float))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def skill_rows(result: Result) -> pd.DataFrame:
    """Score rows of the skill over all depths."""
    rows = result.scores[result.scores["depth"].isna() & (result.scores["variant"] == "original")]
    return rows[(rows["benchmark"] != PROBE) & (rows["skill"] == SKILL)]


def main(folder: str, replayed: str) -> None:
    """Print all that the rules ask, a block a size."""
    result = load(folder)
    arms, transfer, rows, kept = kinds(result), result.transfer(), skill_rows(result), skill_rows(load(replayed))
    effects = result.order_effects()
    effects = effects[(effects["skill"] == SKILL) & (effects["scale"] == "hazard")]
    new = transfer.matrices[transfer.matrices["group"] == "new"]
    measured, losses = pd.DataFrame(measures_of(new)), pd.DataFrame(run_costs(result))
    for student in rows.sort_values("capacity")["student"].unique():
        print(f"\n{student}")
        _ends(rows[rows["student"] == student], arms)
        _replay(rows[rows["student"] == student], kept[kept["student"] == student])
        for row in effects[effects["student"] == student].itertuples():
            ends = f"({row.low:+.3f} to {row.high:+.3f})"
            print(f"  rules 1, 3: {row.arms}, {row.effect} {row.level}: {row.value:+.3f} {ends}")
        costs = transfer.costs[(transfer.costs["student"] == student) & (transfer.costs["skill"] == SKILL)]
        for row in costs[costs["arm"].isin(arms["one kind"])].itertuples():
            ends = f"({row.hazard_low:+.3f} to {row.hazard_high:+.3f})"
            print(f"  rule 7: one kind, {row.phase} for the {row.after}. time: {row.hazard:+.3f} {ends}")
        square = losses[
            (losses["student"] == student) & losses["arm"].isin(arms["blocked"]) & (losses["skill"] == SKILL)
        ]
        by_place = square.groupby(["distillation_seed", "after"])["hazard"].mean().unstack()
        print(f"  rule 3: fourth place minus first: {told(by_place[4] - by_place[1])}")
        own = measured[measured["student"] == student]
        for kind, names in arms.items():
            for measure in ("backward", "forward"):
                some = own[own["arm"].isin(names) & (own["measure"] == measure)]
                values = some.groupby("distillation_seed")["value"].mean()
                if values.notna().any():
                    print(f"  rule 5: {measure} transfer of the new tasks, {kind}: {told(values)}")
        for row in transfer.savings[transfer.savings["student"] == student].itertuples():
            ends = f"({row.savings_low:+.2f} to {row.savings_high:+.2f})"
            print(f"  rule 6: savings, {row.arm}, {row.task}: {row.savings:+.2f} {ends}")


def _ends(own: pd.DataFrame, arms: dict[str, list[str]]) -> None:
    """What is left of the skill in each kind of arm, and the differences of rules 2 and 4."""
    last = own[own["dose"] == own["dose"].max()]
    start = own[own["dose"] == 0].groupby("distillation_seed")["accuracy"].mean()
    end = {
        kind: last[last["arm"].isin(names)].groupby("distillation_seed")["accuracy"].mean()
        for kind, names in arms.items()
    }
    print(f"  {SKILL} at the start: {told(start)}")
    for kind, values in end.items():
        print(f"  {SKILL} at the end, {kind}: {told(values)}")
    for kind in ("blocked", "cyclic"):
        print(f"  rule 2: {kind} minus interleaved: {told(end[kind] - end['interleaved'])}")


def _replay(plain: pd.DataFrame, replayed: pd.DataFrame) -> None:
    """What replay keeps of the loss in the order that has it."""
    (arm,) = replayed["arm"].unique()
    plain = plain[plain["arm"] == str(arm).removesuffix("-replay")].set_index(["dose", "distillation_seed"])["accuracy"]
    end = plain.index.get_level_values("dose").max()
    kept = replayed[replayed["dose"] == end].set_index("distillation_seed")["accuracy"]
    print(f"  {SKILL} at the end, {arm}: {told(kept)}; without: {told(plain[end])}")
    share = (kept - plain[end]) / (plain[0] - plain[end])
    print(f"  rule 4: share of the loss that 5% of replay keeps: {told(share)}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
