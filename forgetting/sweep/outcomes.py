"""What a finished run says of a target: retention at the target's dose, its variance, or why there is none."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import Status, censored_variance, retention_variance
from forgetting.errors import UsageError
from forgetting.sweep.search_space import SweepSpace


@dataclass(frozen=True)
class RunOutcome:
    """Retention of the target's skill at its dose in one run. NaN unless ``status`` is ``ok``.

    ``variance`` is that of retention, from items alone: two runs of the same point differ by more.
    """

    status: str
    retention: float = math.nan
    variance: float = math.nan
    baseline: float = math.nan  # accuracy at dose 0
    items: int = 0
    censored: bool = False  # ended early, clearly below the level: retention is that of its last look, the most it was
    last_dose: int = 0  # of the run's last look


def outcome(space: SweepSpace, scores: Path) -> RunOutcome:
    """Read a run's ``scores.jsonl``. ``UsageError`` where it does not hold what the target needs."""
    rows = _rows(space, scores)
    if 0 not in rows:
        raise UsageError(f"{scores}: no row of {space.target.skill} at dose 0")
    base, last = rows[0], max(d for d in rows if d <= space.dose)
    now = rows[last]
    accuracy, items, chance = float(base["accuracy"]), int(now["items"]), float(base["chance"])
    if now["retention"] is None:
        status = str(now["status"]) if last else Status.not_learned.name
        return RunOutcome(status, baseline=accuracy, items=items, last_dose=max(rows))
    retention = float(now["retention"])
    variance = retention_variance(float(now["accuracy"]), accuracy, items, chance)
    if censored := last < space.dose:
        variance = censored_variance(retention, variance)
    return RunOutcome(Status.ok.name, retention, variance, accuracy, items, censored, max(rows))


def _rows(space: SweepSpace, scores: Path) -> dict[int, dict[str, Any]]:
    """The run's score rows of the target's skill, by dose."""
    found = {}
    for line in scores.read_text().splitlines():
        row = json.loads(line)
        if (row["benchmark"], row["variant"], row["depth"]) == (space.benchmark, ORIGINAL, space.depth):
            found[int(row["dose"])] = row
    return found
