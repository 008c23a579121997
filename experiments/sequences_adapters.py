"""What the study of adapters in sequences says to the rules that were registered for it, size by size.

    python experiments/sequences_adapters.py results/sequences_adapters-...

Intervals: 95%, Student's t over students, the two orders being averaged first.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from forgetting import load
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.learning_paths import mitigation
from forgetting.analysis.transfer import measures_of
from forgetting.own_model.plans import words
from forgetting.report.result import Result

STUDENT = ["student", "distillation_seed"]
# Of a row: what is measured, of which group of tasks; log-likelihoods in nats a token.
MEASURED = {
    "maths at the end": ("maths", "accuracy"), "code at the end": ("code", "accuracy"),
    "log-likelihood of the new tasks at the end": ("new", "average"),
    "backward transfer of the new tasks": ("new", "backward"),
}  # fmt: skip
ORTHOGONAL = "O-LoRA, strength 0.5"
PAIRS = (  # (rule, the first, the second that it is held against)
    ("1", ORTHOGONAL, "LoRA"),
    ("2", ORTHOGONAL, "O-LoRA, strength 0"),
    ("2", "O-LoRA, strength 5", "O-LoRA, strength 0"),
    ("beside", "O-LoRA, strength 0", "LoRA"),
    ("4", ORTHOGONAL, "plain tuning"),
    ("4", ORTHOGONAL, "rate x 0.25"),
)


def ways(result: Result) -> dict[str, str]:
    """By arm its way to train, in words."""
    found = dict[str, str]()
    for arm in result.record["arms"]:
        own = dict(mitigation(arm))
        if own["name"] == "o_lora":
            found[str(arm["name"])] = f"O-LoRA, strength {own['strength']:g}"
        else:
            found[str(arm["name"])] = "LoRA" if own["name"] == "lora" else words(own)
    return found


def by_student(result: Result) -> pd.DataFrame:
    """A row a size, student and way, a column for each of ``MEASURED``."""
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
    return pd.DataFrame(frames).reset_index()


def told(values: pd.Series) -> str:
    """Mean and interval."""
    mean, low, high = mean_interval(np.asarray(values, float))
    return f"{mean:+.3f} ({low:+.3f} to {high:+.3f})"


def main(folder: str) -> None:
    """Print all that the rules ask, a block a size."""
    result = load(folder)
    frame = by_student(result)
    for size, own in frame.groupby("student", sort=False):
        print(f"\n{size}")
        for name in MEASURED:
            wide = own.pivot(index="distillation_seed", columns="way", values=name)
            for way in dict.fromkeys(ways(result).values()):
                print(f"  {name}, {way}: {told(wide[way])}")
            for rule, first, second in PAIRS:
                print(f"  rule {rule}: {name}, {first} minus {second}: {told(wide[first] - wide[second])}")


if __name__ == "__main__":
    main(sys.argv[1])
