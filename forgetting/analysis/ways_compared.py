"""Ways of answering side by side: accuracies of runs in, gains by size out, with majority voting as the control.

Between greedy decoding and the votes that were measured, a student's accuracy under majority voting is taken along the
logarithm of the generated tokens; what costs less than greedy decoding is held against that, what costs more than the
most votes against those.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import Floats

GREEDY, MAJORITY, LOOPED = "greedy", "majority", "looped"
KEY = ["arm", "benchmark", "student", "capacity", "answering"]
STUDENT = "distillation_seed"
COLUMNS = (
    *KEY, "dose", "students", "tokens_before", "before", "tokens", "after", "after_low", "after_high", "gain_before",
    "gain", "over_majority", "low", "high",
)  # fmt: skip


def ways_compared(ways: pd.DataFrame) -> pd.DataFrame:
    """One row per arm, benchmark, student and way: mean accuracy over students at dose 0 and at the last dose.

    ``gain_before`` and ``gain`` are over greedy decoding, ``over_majority`` over majority voting with as many tokens,
    after the last dose; ``low`` and ``high`` bound it, ``after_low`` and ``after_high`` accuracy: 95%, Student's t over
    students, NaN for one student. ``over_majority`` is NaN where no votes were asked for.

    Args:
        ways: as in ``answering.csv``; interventions are left out
    """
    if len(ways):  # of looped ones passes are counted, not tokens: looped_students.py
        ways = ways[~ways["answering"].astype(str).str.startswith(LOOPED)]
    plain = ways[ways["intervention"].fillna("") == ""] if len(ways) else ways
    rows = list[dict[str, object]]()
    for (arm, benchmark, student, capacity), own in plain.groupby(KEY[:4], sort=False) if len(plain) else ():
        dose = int(own["dose"].max())
        if dose == 0 or own["answering"].nunique() < 2:
            continue
        table = own.pivot_table(index=STUDENT, columns=["dose", "answering"], values=["accuracy", "generated"])
        for way in own["answering"].unique():
            head = dict(zip(KEY, (arm, benchmark, student, capacity, way), strict=True))
            if ("accuracy", dose, way) in table:
                rows.append({**head, "dose": dose, **_row(table, str(way), dose)})
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.sort_values(["arm", "benchmark", "capacity"], kind="stable", ignore_index=True)


def _row(table: pd.DataFrame, way: str, dose: int) -> dict[str, object]:
    now, tokens = (table[name, dose, way].to_numpy(float) for name in ("accuracy", "generated"))
    greedy = table["accuracy", dose, GREEDY].to_numpy(float)
    nothing = np.full(len(now), np.nan)
    known = ("accuracy", 0, way) in table
    then = table["accuracy", 0, way].to_numpy(float) if known else nothing
    base = table["accuracy", 0, GREEDY].to_numpy(float) if ("accuracy", 0, GREEDY) in table else nothing
    votes = [name for name in table["accuracy", dose].columns if str(name).split()[0] == MAJORITY]
    over = now - _at_equal_tokens(table, [GREEDY, *votes], tokens, dose) if votes else nothing
    return {
        "students": len(now),
        "tokens_before": float(table["generated", 0, way].mean()) if known else np.nan,
        "before": float(then.mean()), "tokens": float(tokens.mean()), "after": float(now.mean()),
        **dict(zip(("after_low", "after_high"), mean_interval(now)[1:], strict=True)),
        "gain_before": float((then - base).mean()), "gain": float((now - greedy).mean()),
        "over_majority": float(over.mean()), **dict(zip(("low", "high"), mean_interval(over)[1:], strict=True)),
    }  # fmt: skip


def _at_equal_tokens(table: pd.DataFrame, names: list[str], tokens: Floats, dose: int) -> Floats:
    """Accuracy of each student under majority voting with so many tokens."""
    found = []
    for row, own in enumerate(tokens):
        place = np.array([table["generated", dose, name].iloc[row] for name in names], float)
        value = np.array([table["accuracy", dose, name].iloc[row] for name in names], float)
        order = np.argsort(place)
        found.append(np.interp(np.log(own), np.log(place[order]), value[order]))
    return np.array(found)
