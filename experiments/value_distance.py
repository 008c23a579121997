"""Accuracy by the distance between a value and its use: counts of a study's copies, kept beside its record.

    python experiments/value_distance.py results/probes-...

Takes the ledger; writes distances.csv, which the report then shows, and prints the slopes.
"""

from __future__ import annotations

import sys

from forgetting import load
from forgetting.analysis.value_distance import counts_of, distance_slopes, write_counts


def main(folders: list[str]) -> None:
    """Write the table of each folder, and print what it says."""
    for folder in folders:
        study = load(folder)
        print(write_counts(study, study.folder))
        print(distance_slopes(counts_of(study)).round(3).to_string(index=False))


if __name__ == "__main__":
    main(sys.argv[1:])
