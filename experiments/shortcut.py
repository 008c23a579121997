"""Does a world in which the mean of two speeds is commoner tempt its students? By the rule registered for it.

    python experiments/shortcut.py results/shortcut-... results/shortcut_usual-... results/shortcut_rare-...

Of the traps, the share answered with the mean of the speeds by that mean's own steps, by dose. Intervals: 95%, over
students; of differences between worlds, whose students are no pairs, by Welch.
"""

from __future__ import annotations

import sys

import numpy as np

from forgetting import load
from forgetting.analysis.fronts import mean_interval, welch_interval

TRAPS_AMONG_ITEMS, TRAP_DEPTH, CONTROL_DEPTH = 0.5, 5, 2


def told(value: float, low: float, high: float) -> str:
    """A value with its interval."""
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def tempted(folder: str) -> dict[int, np.ndarray]:
    """By dose, of each student the share of traps that it answers with the mean."""
    counts = load(folder).failure_counts
    assert counts is not None
    own = counts[counts["benchmark"] == "traps"]
    own = own.assign(tempted=own["answers"].where(own["failure"] == "shortcut", 0))
    runs = own.groupby(["dose", "distillation_seed"])[["answers", "tempted"]].sum()
    share = runs["tempted"] / (TRAPS_AMONG_ITEMS * runs["answers"])
    return {int(dose): some.to_numpy(float) for dose, some in share.groupby(level="dose")}


def right(folder: str, depth: int) -> dict[int, np.ndarray]:
    """By dose, each student's accuracy on traps, or on their controls."""
    scores = load(folder).scores
    own = scores[(scores["benchmark"] == "traps") & (scores["depth"] == depth)]
    return {int(dose): some["accuracy"].to_numpy(float) for dose, some in own.groupby("dose")}


def main(tempting: str, *others: str) -> None:
    """Print shares and accuracies by world and dose, and what the tempting world adds."""
    shares = {folder: tempted(folder) for folder in (tempting, *others)}
    for folder, by_dose in shares.items():
        print(f"\n{folder}")
        traps, controls = (right(folder, depth) for depth in (TRAP_DEPTH, CONTROL_DEPTH))
        for dose, share in by_dose.items():
            own = [told(*mean_interval(values)) for values in (share, traps[dose], controls[dose])]
            print(f"  dose {dose:,}: tempted {own[0]}; traps right {own[1]}; controls right {own[2]}")
            if dose:
                print(f"    tempted, minus dose 0: {told(*mean_interval(share - by_dose[0]))}")
    for other in others:
        print(f"\n{tempting} minus {other}")
        for dose, share in shares[tempting].items():
            print(f"  dose {dose:,}: tempted {told(*welch_interval(share, shares[other][dose]))}")


if __name__ == "__main__":
    main(*sys.argv[1:])
