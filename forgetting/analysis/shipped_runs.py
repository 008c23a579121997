"""The past runs that ship with the package: what a forecast is made from with no study at hand, and what they kept."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from pathlib import Path

import pandas as pd

from forgetting.analysis.forecast import Forecaster

TABLE = Path(__file__).with_name("past_runs.csv")  # written by validation/forecast.py --ship
WHOLE = Path(__file__).with_name("whole_runs.csv")  # written by validation/advice.py --ship


def shipped_runs() -> pd.DataFrame:
    """Rows of ``past_runs`` of the committed studies, each at several shares of its dose (column ``early``).

    ``study`` and ``commit`` say where a row is from: a study that later ones took the place of is in the history only.
    """
    return pd.read_csv(TABLE, dtype={"commit": str})


@lru_cache(maxsize=1)
def shipped_forecaster() -> Forecaster:
    """What is learned from them, its intervals as wide as for a contamination that no past run had.

    A run that is planned now is of another kind than they are: most of them with replay end at 1,280 samples. On whole
    runs 80% intervals so widened cover .77 to .82 of maths and .65 of code on students that were held out
    (``validation/advice.py``).
    """
    return dataclasses.replace(Forecaster.learned(shipped_runs()), wary=True)


def whole_runs() -> pd.DataFrame:
    """By ``rule`` (a way taken always, or ``what led in pilots that told nothing``) its regret in whole runs of others.

    Regret is retention of maths under the best way minus that under the rule's, both where as much is learned as was
    planned: its mean over ``students`` with the 95% interval, and the ``worst``; ``operations`` are a multiple of plain
    tuning's. ``sizes`` and ``contaminations`` say how many of these the students stand for.
    """
    return pd.read_csv(WHOLE)
