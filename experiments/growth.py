"""Do parameters as such protect? Grown, plain and fresh students at equal learning, by the rule registered for it.

    python experiments/growth.py results/growth-... results/growth-...

The first folder has the students that were grown, the second fresh ones of the grown size. Intervals: 95%, Student's t
over students; students of different sizes are not pairs.
"""

from __future__ import annotations

import sys
from math import hypot

import numpy as np
from scipy.special import stdtrit

from forgetting import load
from forgetting.analysis.learning_paths import LearningPath
from forgetting.analysis.metrics import learning
from forgetting.analysis.scores import PROBE

LEVELS = (6.0, 4.0)  # NLL of the new task's probe, nats a token


def retained(folder: str) -> dict[str, np.ndarray]:
    """By size and arm, retention of maths of each student at each level of learning, ``[students, levels]``."""
    scores = load(folder).scores
    scores = scores[scores["depth"].isna()]
    run = ["student", "arm", "distillation_seed", "dose"]
    probe = scores[scores["benchmark"] == PROBE][[*run, "nll"]]
    rows = scores[scores["benchmark"] == "maths"].merge(probe, on=run, suffixes=("", "_new")).sort_values("dose")
    found: dict[str, list[np.ndarray]] = {}
    for (student, arm, _), own in rows.groupby(["student", "arm", "distillation_seed"]):
        numbers = own[["retention", "stream_samples"]].to_numpy(float).T
        path = LearningPath(learning(own["nll_new"], 0.0), *numbers)
        found.setdefault(f"{student} {arm}", []).append(path.at(learning(np.array(LEVELS), 0.0))[0])
    return {name: np.array(values) for name, values in found.items()}


def mean(values: np.ndarray) -> tuple[float, float, int]:
    """Mean, its standard error, and how many there are."""
    known = values[np.isfinite(values)]
    return float(known.mean()), float(known.std(ddof=1) / len(known) ** 0.5), len(known)


def told(value: float, error: float, freedom: int) -> str:
    """A value with its interval."""
    half = float(stdtrit(freedom, 0.975)) * error
    return f"{value:+.3f} ({value - half:+.3f} to {value + half:+.3f})"


def main(grown: str, fresh: str) -> None:
    """Print retention at each level, the differences, and the rule's share."""
    arms = retained(grown) | retained(fresh)
    plain, room = arms["width-32 dialogue"], arms["width-32 dialogue-growth.times3.475"]
    large = arms["width-64 dialogue"]
    for number, level in enumerate(LEVELS):
        print(f"\nNLL {level:g}")
        for name, values in arms.items():
            value, error, count = mean(values[:, number])
            print(f"  retention of maths, {name}: {told(value, error, count - 1)}, {count} students")
        gained, gain_error, count = mean(room[:, number] - plain[:, number])
        print(f"  grown minus plain, paired: {told(gained, gain_error, count - 1)}")
        small, other = mean(plain[:, number]), mean(large[:, number])
        size, size_error, freedom = other[0] - small[0], hypot(small[1], other[1]), min(small[2], other[2]) - 1
        print(f"  fresh of the grown size minus plain: {told(size, size_error, freedom)}")
        share = gained / size
        # The ratio to first order: plain students are in what is gained and in what the size protects.
        own, others = mean(room[:, number] - plain[:, number] + share * plain[:, number])[1], share * other[1]
        error = hypot(own, others) / abs(size)
        print(f"  share of the size's protection that growth gives: {told(share, error, count - 1)}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
