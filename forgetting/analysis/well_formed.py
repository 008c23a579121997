"""How many answers of a look were well-formed, and how many of those right: a ledger in, counts out.

An answer to a word problem of the embedded world is well-formed if all its steps are equations and a final answer
follows; right or wrong is another question. Any other answer is if its benchmark could read it. Retention *given
well-formed* sets a loss of form apart from one of skill: a student whose openings are garbled may still reason.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forgetting.analysis import metrics
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.scores import PROBE
from forgetting.record.schema import RUN_KEY
from forgetting.world import vocabulary
from forgetting.world.steps import read

WELL_FORMED_FILE = "well_formed.csv"
WRITTEN_OUT = ("maths", "traps")  # benchmarks whose answers are steps
LOOK = [*RUN_KEY, "capacity", "benchmark", "dose"]
FEWEST = 20  # well-formed answers from which a share is given


def well_formed_counts(ledger: pd.DataFrame) -> pd.DataFrame:
    """One row a run, benchmark and dose, original items only: ``items``, ``well_formed`` and ``right`` among those."""
    rows = ledger[(ledger["benchmark"] != PROBE) & (ledger["variant"] == ORIGINAL)]
    good = _well_formed(rows)
    counted = rows[LOOK].assign(items=1, well_formed=good, right=good & (rows["verdict"] == "right").to_numpy())
    return counted.groupby(LOOK, sort=False, observed=True).sum().reset_index()


def _well_formed(rows: pd.DataFrame) -> NDArray[np.bool_]:
    good = (rows["verdict"] != "unparsed").to_numpy().copy()
    places = np.flatnonzero(rows["benchmark"].isin(WRITTEN_OUT).to_numpy())
    answers = rows["answer"].to_numpy()
    known: dict[tuple[int, ...], bool] = {}
    for place in places:
        tokens = tuple(answers[place])
        if tokens not in known:
            known[tokens] = is_well_formed(" ".join(_words().get(t, vocabulary.UNK) for t in tokens))
        good[place] = known[tokens]
    return good


def is_well_formed(answer: str) -> bool:
    """Whether a written-out answer is equations throughout, at least one, and a final answer."""
    steps, final = read(answer)
    return final is not None and len(steps) > 0 and None not in steps


@cache
def _words() -> dict[int, str]:
    return {number: word for word, number in vocabulary.vocabulary().items()}


def given_well_formed(counts: pd.DataFrame, chance: float = 0.0) -> pd.DataFrame:
    """The counts with ``rate`` of well-formed answers, ``accuracy`` and ``retention`` of these, and its ``variance``.

    Retention is of the share right among the well-formed, against that at dose 0 of the same run, ``chance`` taken off
    both; NaN where the skill was not learned, or where either look has fewer than 20 well-formed answers.
    """
    run = [name for name in LOOK if name != "dose"]
    start = counts[counts["dose"] == 0].set_index(run)[["right", "well_formed"]]
    before = start.reindex(pd.MultiIndex.from_frame(counts[run]))
    enough = (counts["well_formed"].to_numpy() >= FEWEST) & (before["well_formed"].to_numpy(float) >= FEWEST)
    with np.errstate(divide="ignore", invalid="ignore"):
        accuracy = np.where(enough, counts["right"] / counts["well_formed"], np.nan)
        first = np.where(enough, before["right"].to_numpy(float) / before["well_formed"].to_numpy(float), np.nan)
    retention = metrics.retention(accuracy, first, chance)
    looks = zip(accuracy, first, counts["well_formed"], retention, strict=True)
    variance = [metrics.retention_variance(a, b, int(n), chance) if np.isfinite(r) else np.nan for a, b, n, r in looks]
    rate = counts["well_formed"] / counts["items"]
    return counts.assign(rate=rate, accuracy=accuracy, retention=retention, variance=variance)
