"""Ceilings at equal learning (claim C8): what students keep that are taught together, or replay half of the stream.

    python experiments/ceilings.py results/cause-eda9ac35 results/remedies-c37da12d

First of the study of the cause: accuracy of maths of students that were taught dialogue beside everything else, over
that of plain students before any dialogue, and the NLL of dialogue that they reach. A plain student that learns less
cannot be short of room for what these hold. Then of the remedies: the path that starts from the same weights as plain
tuning and has half of its stream from the original data, at levels of NLL. Intervals: 95%, Student's t over students.
"""

from __future__ import annotations

import sys

import numpy as np
import pandas as pd

from forgetting import load
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.learning_paths import LearningPath
from forgetting.analysis.metrics import learning
from forgetting.analysis.scores import PROBE

LEVELS = (6.0, 4.0, 3.0, 2.5)  # NLL of dialogue, nats a token
ARM = ["student", "arm", "distillation_seed"]


def looks(folder: str) -> pd.DataFrame:
    """Accuracy and retention of maths with the NLL of dialogue, a row a look."""
    scores = load(folder).scores
    whole = scores[scores["depth"].isna()]
    probe = whole[(whole["benchmark"] == PROBE) & (whole["variant"] != ORIGINAL)]
    maths = whole[(whole["benchmark"] == "maths") & (whole["variant"] == ORIGINAL)]
    found = maths.merge(probe[[*ARM, "dose", "nll"]], on=[*ARM, "dose"], suffixes=("", "_new"))
    return found.sort_values("dose")


def told(values: np.ndarray) -> str:
    """A mean with its interval, and of how many students."""
    value, low, high = mean_interval(values)
    return f"{value:.3f} ({low:.3f} to {high:.3f}), {int(np.isfinite(values).sum())} students"


def main(cause: str, remedies: str) -> None:
    """Print both ceilings by size."""
    table = looks(cause)
    for size in dict.fromkeys(table.sort_values("capacity")["student"]):
        own = table[table["student"] == size].set_index("distillation_seed")
        before = own[(own["arm"] == "dialogue") & (own["dose"] == 0)]["accuracy"]
        joint, plain = (
            own[own["arm"] == arm].sort_values("dose").groupby(level=0).last() for arm in ("dialogue-joint", "dialogue")
        )
        kept = (joint["accuracy"] / before).reindex(before.index).to_numpy(float)
        print(f"{size}, taught together: {told(kept)}, at NLL {told(joint['nll_new'].to_numpy(float))};")
        print(f"  plain tuning ends at NLL {told(plain['nll_new'].to_numpy(float))}")
    table = looks(remedies)
    for size in dict.fromkeys(table.sort_values("capacity")["student"]):
        for arm in ("dialogue", "dialogue-replay.share0.5"):
            runs = table[(table["student"] == size) & (table["arm"] == arm)].groupby("distillation_seed")
            paths = [
                LearningPath(
                    learning(own["nll_new"], 0.0), *own[["retention", "stream_samples"]].astype(float).to_numpy().T
                )
                for _, own in runs
            ]
            kept_SL = np.array([path.at(learning(np.array(LEVELS), 0.0))[0] for path in paths])
            levels = (f"NLL {level:g}: {told(kept_SL[:, i])}" for i, level in enumerate(LEVELS))
            print(f"{size} {arm}: " + "; ".join(levels))


if __name__ == "__main__":
    main(*sys.argv[1:3])
