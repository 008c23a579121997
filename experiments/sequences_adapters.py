"""What the study of adapters in sequences says to the rules that were registered for it.

    python experiments/sequences_adapters.py results/sequences_adapters-...

Intervals: 95%, Student's t over students, the two orders being averaged first. *At equal learning* is the maths of a
way minus that of plain tuning at the rate at which it would know the new tasks as well, on a line between its rates in
their mean log-likelihood; a student for whom no rate does counts at the nearest.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from forgetting import load
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.learning_paths import mitigation
from forgetting.analysis.transfer import measures_of
from forgetting.report.result import Result

STUDENT = ["student", "distillation_seed"]
# Of a row: what is measured, of which group of tasks; log-likelihoods in nats a token.
MEASURED = {
    "maths at the end": ("maths", "accuracy"), "code at the end": ("code", "accuracy"),
    "log-likelihood of the new tasks at the end": ("new", "average"),
    "backward transfer of the new tasks": ("new", "backward"),
}  # fmt: skip
SKILL, LEARNED = "maths at the end", "log-likelihood of the new tasks at the end"
EQUAL = "maths at equal learning, minus plain tuning's"
RATES = ("plain tuning", "rate x 0.5", "rate x 0.25")
APART, CONTROL = "O-LoRA .5, rate x 3", "O-LoRA 0, rate x 3"
PAIRS = (  # (rule, the first, the second that it is held against)
    ("1", APART, "LoRA, rate x 3"), ("2", APART, CONTROL), ("beside", CONTROL, "LoRA, rate x 3"),
)  # fmt: skip


def ways(result: Result) -> dict[str, str]:
    """By arm its way to train, in words."""
    found = dict[str, str]()
    for arm in result.record["arms"]:
        own = dict(mitigation(arm))
        rate = f"rate x {own.get('multiple', 1):g}"
        named = {"none": RATES[0], "low_rate": rate, "lora": f"LoRA, {rate}"}
        strength = f"{own.get('strength', 0):g}".removeprefix("0") or "0"
        found[str(arm["name"])] = named.get(own["name"], f"O-LoRA {strength}, {rate}")
    return found


def by_student(result: Result) -> pd.DataFrame:
    """A row a size, student and way, a column for each of ``MEASURED``, and what is left at equal learning."""
    named, rows = ways(result), result.scores[result.scores["depth"].isna()]
    last = rows[(rows["dose"] == rows["dose"].max()) & (rows["variant"] == "original")]
    ends = last[last["skill"].isin(["maths", "code"])].rename(columns={"accuracy": "value"})
    ends = ends.assign(of=ends["skill"], measure="accuracy")
    found = pd.DataFrame(measures_of(result.transfer().matrices)).rename(columns={"group": "of"})
    both = pd.concat([one[["arm", *STUDENT, "of", "measure", "value"]] for one in (ends, found)])
    both["way"] = both["arm"].map(named)
    frames = {
        told: both[(both["of"] == of) & (both["measure"] == measure)].groupby([*STUDENT, "way"])["value"].mean()
        for told, (of, measure) in MEASURED.items()
    }
    frame = pd.DataFrame(frames).reset_index()
    for _, own in frame.groupby(STUDENT):
        rates = own[own["way"].isin(RATES)].sort_values(LEARNED)
        plain = np.interp(own[LEARNED], rates[LEARNED], rates[SKILL])
        frame.loc[own.index, EQUAL] = own[SKILL] - plain
    return frame


def told(values: pd.Series) -> str:
    """Mean and interval."""
    mean, low, high = mean_interval(np.asarray(values, float))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def main(folder: str) -> None:
    """Print all that the rules ask, a block a size."""
    result = load(folder)
    frame, named = by_student(result), list(dict.fromkeys(ways(result).values()))
    for size, own in frame.groupby("student", sort=False):
        print(f"\n{size}")
        for name in (*MEASURED, EQUAL):
            wide = own.pivot(index="distillation_seed", columns="way", values=name)
            for way in named:
                print(f"  {name}, {way}: {told(wide[way])}")
            for rule, first, second in PAIRS:
                print(f"  rule {rule}: {name}, {first} minus {second}: {told(wide[first] - wide[second])}")
        rates = own[own["way"].isin(RATES)].groupby("distillation_seed")[LEARNED]
        low, high = rates.min(), rates.max()
        for way in named:
            learned = own[own["way"] == way].set_index("distillation_seed")[LEARNED]
            outside = int(((learned < low) | (learned > high)).sum())
            print(f"  outside of what rates learn, {way}: {outside} of {len(learned)} students")


if __name__ == "__main__":
    main(sys.argv[1])
