"""Probes of a finished student, counted: a ledger in, right answers of each variant, way of answering and depth out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.scores import PROBE
from forgetting.record.schema import RUN_KEY

HEAD = [*RUN_KEY, "capacity", "dose", "intervention", "answering", "benchmark", "depth"]
COLUMNS = (*HEAD, "items", "right", "nll")


def probing_counts(ledger: pd.DataFrame) -> pd.DataFrame:
    """One row for each run, look, intervention, way of answering, benchmark and depth, greedy answers included.

    Of looks at which there is something beside greedy decoding, and of dose 0 of the same runs. ``items`` counts
    answers, ``right`` those that are; ``nll`` is that of the gold answers in nats a token, NaN of other ways of
    answering. The new task's probe is the benchmark ``probe`` (depth 0), of which nothing is graded.
    """
    asked = ledger[(ledger["variant"] == ORIGINAL) | (ledger["benchmark"] == PROBE)]
    looks, runs = (pd.MultiIndex.from_frame(asked[names]) for names in ([*RUN_KEY, "dose"], [*RUN_KEY]))
    other = (asked["answering"] != "greedy") | (asked["intervention"] != "")
    start = (asked["dose"] == 0).to_numpy() & runs.isin(runs[other.to_numpy()])
    asked = asked[looks.isin(looks[other.to_numpy()]) | start]
    asked = asked.assign(
        depth=asked["depth"].where(asked["benchmark"] != PROBE, 0).astype(int),
        right=asked["verdict"].eq("right").to_numpy(int),
    )
    groups = asked.groupby(HEAD, sort=False, observed=True)
    found = groups.agg(
        items=("item", "size"), right=("right", "sum"), nll=("nll_sum", "sum"), tokens=("gold_tokens", "sum")
    ).reset_index()
    per_token = found["nll"] / found["tokens"].where(found["tokens"] > 0, np.nan)
    return found.assign(nll=per_token)[list(COLUMNS)]


def accuracies(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of graded answers with ``accuracy``, and empty text where a file has none."""
    if table.empty:
        return pd.DataFrame(columns=[*COLUMNS, "accuracy"])
    graded = table[table["benchmark"] != PROBE]
    return graded.assign(
        accuracy=graded["right"] / graded["items"], intervention=graded["intervention"].fillna("").astype(str)
    )
