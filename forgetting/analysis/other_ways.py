"""Other ways of answering, and students after interventions: a ledger in, accuracy of each beside the plain one out.

Accuracy is the mean over items of the share of an item's answers that are right, with a 95% interval over items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from forgetting.analysis import metrics
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.probing import probing_counts
from forgetting.analysis.scores import PROBE, passing
from forgetting.record.schema import ANSWERING_FILE, PASSING_FILE, PROBING_FILE, RUN_KEY

WAY = ["intervention", "answering"]
HEAD = [*RUN_KEY, "capacity", "dose"]
COLUMNS = (
    *HEAD, *WAY, "benchmark", "skill", "items", "samples", "accuracy", "low", "high", "retention",
    "generated", "parsed",
)  # fmt: skip


def way_tables(
    ledger: pd.DataFrame, chances: Mapping[str, float], ks: Mapping[str, Sequence[int]]
) -> dict[str, pd.DataFrame]:
    """Every table of other ways of answering and of interventions, by the name of its file; ``ks`` as in pass@k."""
    found = {ANSWERING_FILE: other_ways(ledger, chances), PROBING_FILE: probing_counts(ledger)}
    return found | ({PASSING_FILE: passing_table(ledger, ks)} if ks else {})


def other_ways(ledger: pd.DataFrame, chances: Mapping[str, float]) -> pd.DataFrame:
    """One row per (run, dose, intervention, answering, benchmark) of the unperturbed items, greedy decoding included.

    Only looks at which there is something beside greedy decoding; empty where there is none. ``retention`` is against
    the same way of answering at dose 0, NaN where the skill was not learned or the way was not measured there;
    ``generated`` is the mean of tokens written for an answer, ``parsed`` the share of answers that parse.
    """
    if "answering" not in ledger:
        return pd.DataFrame(columns=list(COLUMNS))
    graded = ledger[(ledger["benchmark"] != PROBE) & (ledger["variant"] == ORIGINAL)]
    other = (graded["answering"] != "greedy") | (graded["intervention"] != "")
    looks = pd.MultiIndex.from_frame(graded[HEAD])
    graded = graded[looks.isin(looks[other.to_numpy()])]
    rows = [_row(dict(zip([*HEAD, *WAY, "benchmark", "skill"], key, strict=True)), own) for key, own in graded.groupby(
        [*HEAD, *WAY, "benchmark", "skill"], sort=False, observed=True)]  # fmt: skip
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    key = [*RUN_KEY, "answering", "benchmark"]
    before = found[(found["dose"] == 0) & (found["intervention"] == "")].set_index(key)["accuracy"]
    before_I = before.reindex(pd.MultiIndex.from_frame(found[key])).to_numpy(float)
    chance_I = found["benchmark"].map(dict(chances)).to_numpy(float)
    learned = np.array([metrics.learned(a, c) for a, c in zip(before_I, chance_I, strict=True)], dtype=bool)
    kept = metrics.retention(found["accuracy"].to_numpy(float), before_I, chance_I)
    return found.assign(retention=np.where(learned, kept, np.nan))


def passing_table(ledger: pd.DataFrame, ks: Mapping[str, Sequence[int]]) -> pd.DataFrame:
    """pass@k with its interval for each run, dose and benchmark, of the ways of answering that ``ks`` names."""
    names, rows = [*HEAD, "answering", "benchmark", "skill"], list[pd.DataFrame]()
    for key, own in ledger[ledger["answering"].isin(list(ks))].groupby(names, sort=False, observed=True):
        found = passing(own, ks[str(key[len(HEAD)])])
        rows.append(pd.concat([pd.DataFrame([key] * len(found), columns=names), found], axis=1))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()


def _row(key: dict[str, object], own: pd.DataFrame) -> dict[str, object]:
    right_I = own["verdict"].eq("right").groupby(own["item"], sort=False).mean().to_numpy(float)
    mean, items = float(right_I.mean()), len(right_I)
    if len(own) == items:
        low, high = map(float, metrics.wilson(right_I.sum(), items))
    else:
        error = float(right_I.std(ddof=1)) / np.sqrt(items) if items > 1 else np.nan
        low, high = np.clip([mean - metrics.Z_95 * error, mean + metrics.Z_95 * error], 0, 1).tolist()
    return {
        **key, "items": items, "samples": len(own) // items, "accuracy": mean, "low": low, "high": high,
        "generated": float(own["generated"].mean()), "parsed": float(own["verdict"].ne("unparsed").mean()),
    }  # fmt: skip
