"""What a finished run says of a target: retention at the target's dose, its variance, or why there is none."""

from __future__ import annotations

import math
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.metrics import Status, censored_variance, retention_variance
from forgetting.errors import UsageError
from forgetting.record.field_kinds import NONE, NUMBER, TEXT, WHOLE, check_shape
from forgetting.record.files import RunFolder
from forgetting.record.reading import read_rows
from forgetting.record.run_files import read_marker, remedy
from forgetting.sweep.search_space import SweepSpace

SCORE = {
    "dose": WHOLE, "accuracy": NUMBER, "items": WHOLE, "chance": NUMBER, "retention": (NUMBER, NONE), "status": TEXT,
}  # fmt: skip


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


Made = RunOutcome | str  # what a run showed, or why it failed


def outcome(space: SweepSpace, run: RunFolder) -> RunOutcome:
    """Read a complete run's scores. ``UsageError`` where they do not hold what the target needs, or are damaged."""
    rows = _rows(space, run)
    if 0 not in rows:
        raise UsageError(f"{run.scores}: no row of {space.target.skill} at dose 0")
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


def outcome_to_come(space: SweepSpace, run: RunFolder, future: Future[None]) -> Future[Made]:
    """The outcome of a run once it is done; a failed run's message; what the user can mend is raised on."""
    made: Future[Made] = Future()

    def finish(ended: Future[None]) -> None:
        try:
            error = ended.exception()
            if isinstance(error, UsageError | OSError | KeyboardInterrupt):
                made.set_exception(error)
            else:
                made.set_result(outcome(space, run) if error is None else str(error).strip().splitlines()[0])
        except BaseException as error:  # noqa: BLE001 (the driver raises it)
            made.set_exception(error)

    future.add_done_callback(finish)
    return made


def _rows(space: SweepSpace, run: RunFolder) -> dict[int, dict[str, Any]]:
    """The run's score rows of the target's skill, by dose, after its files were seen to be as they were written."""
    read_marker(run)
    try:
        wanted = (space.benchmark, ORIGINAL, space.depth)
        own = [r for r in read_rows(run.scores) if (r["benchmark"], r["variant"], r["depth"]) == wanted]
        for row in own:
            check_shape(row, SCORE, "")
    except (KeyError, UsageError) as error:
        raise UsageError(f"{run.scores}: has rows that are no scores ({error}); {remedy(run)}") from None
    return {row["dose"]: row for row in own}
