"""What an exact check of steps tells: greedy answers in; how many right and wrong ones it lets pass out."""

from __future__ import annotations

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.world.coherence import coherent
from forgetting.world.vocabulary import vocabulary

KEY = ["arm", "benchmark", "student", "capacity", "dose"]
COLUMNS = (*KEY, "students", "answers", "accuracy", "true_positive", "false_positive")


def verifier_rates(ledger: pd.DataFrame, benchmarks: tuple[str, ...] = ("maths",)) -> pd.DataFrame:
    """By student and dose, over the greedy answers to unperturbed word problems.

    ``true_positive`` is the share of right answers whose parts all hold (``world.coherence``), ``false_positive`` that
    of wrong ones; NaN where there is none. The check itself knows no student, so contamination changes what it is
    shown, and not the check.
    """
    words = {index: word for word, index in vocabulary().items()}
    own = ledger[ledger["benchmark"].isin(benchmarks) & (ledger["variant"] == ORIGINAL)]
    passed = [coherent(" ".join(words[int(token)] for token in answer)) for answer in own["answer"]]
    judged = own[[*KEY, "distillation_seed", "seed"]].assign(right=own["verdict"].eq("right"), passed=passed)
    rows = []
    for key, some in judged.groupby(KEY, sort=False, observed=True):
        shares = [float(some.loc[some["right"] == right, "passed"].mean()) for right in (True, False)]
        students = len(some[["distillation_seed", "seed"]].drop_duplicates())
        rows.append((*key, students, len(some), float(some["right"].mean()), *np.round(shares, 6)))
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(KEY, kind="stable", ignore_index=True)
