"""How much two halves of a look's items, and its runs, differ by chance: graded ledger rows in, the floor out."""

from __future__ import annotations

import pandas as pd

from forgetting.analysis import statistics


def floor_of(rows: pd.DataFrame) -> tuple[int, float, float, float, float]:
    """The noise floor of the first run's items, and the standard deviation of accuracy over runs (NaN for one run)."""
    right = pd.Series(rows["verdict"].to_numpy(object) == "right", index=rows.index)
    accuracies = right.groupby([rows["distillation_seed"], rows["seed"]]).mean()
    first = (rows["distillation_seed"] == accuracies.index[0][0]) & (rows["seed"] == accuracies.index[0][1])
    floor = statistics.noise_floor(right[first].to_numpy(), [str(p) for p in rows.loc[first, "problem"]])
    spread = float(accuracies.std()) if len(accuracies) > 1 else float("nan")
    return floor.items, floor.accuracy, floor.difference, floor.standard_error, spread
