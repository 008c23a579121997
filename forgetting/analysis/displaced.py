"""Did pairs push down what they were to prefer? The stages of one student in, a status out (arXiv 2410.08847).

A stage's note ``chosen_change`` is the mean log-probability of a token of the chosen continuations less that at the
stage's start, over the last tenth of its steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

DISPLACED = -0.1  # nats a token
CHOSEN_COLUMNS = ("chosen_change", "chosen_status")


def chosen(taught: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """``chosen_change``, the least of all stages that have one, and ``chosen_status``: ``displaced``, where it lies
    below ``DISPLACED``, or ``kept``. Empty of a student that no pairs taught.
    """
    notes = [one.get("notes", {}) for one in taught]
    changes = [float(own["chosen_change"]) for own in notes if "chosen_change" in own]
    if not changes:
        return {}
    return dict(zip(CHOSEN_COLUMNS, (min(changes), "displaced" if min(changes) < DISPLACED else "kept"), strict=True))


def count(runs: pd.DataFrame) -> str:
    """How many of the runs that pairs taught are displaced; empty where there are none."""
    told = runs["chosen_status"].dropna()
    return f"{int((told == 'displaced').sum())} of {len(told)}" if len(told) else ""


def said(runs: pd.DataFrame) -> str:
    """A sentence of the branches that pairs taught; empty where there are none."""
    if "chosen_status" not in runs:
        return ""
    once = runs.drop_duplicates(["student", "distillation_seed"])
    counts = {str(name): count(own) for name, own in once.groupby("branch", sort=False)}
    named = ", ".join(f"{name} {told}" for name, told in counts.items() if told)
    return f"Displaced (chosen continuations more than {-DISPLACED:g} nats a token below the start): {named}."
