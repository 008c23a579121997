"""Runs in which a student has become no finite numbers: ledger rows in, a row for each such run out.

Answers of such a student are graded like any others, and all are wrong; that is no forgetting, and has to be said.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from forgetting.record.schema import RUN_KEY

COLUMNS = (*RUN_KEY, "dose")


def diverged(ledger: pd.DataFrame) -> pd.DataFrame:
    """Student, arm and seeds of each run in which the loss of a gold answer is not finite, and the first such dose.

    ``ledger`` has the greedy answers (``scores.plain_rows``), which all have their gold answer's loss.
    """
    bad = ~np.isfinite(ledger["nll_sum"].to_numpy(float)) & (ledger["gold_tokens"].to_numpy(float) > 0)
    rows = ledger.loc[bad, list(COLUMNS)].astype({"student": str, "arm": str})
    found: pd.DataFrame = rows.groupby(list(RUN_KEY), sort=False, as_index=False)["dose"].min()
    return found
