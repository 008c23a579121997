"""What verifiers tell: greedy answers in; how many right and wrong ones each lets pass, out."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.scores import plain_rows
from forgetting.world.coherence import coherent
from forgetting.world.vocabulary import vocabulary

KEY = ["arm", "benchmark", "student", "capacity", "dose"]
RUN = ["distillation_seed", "seed"]
EXACT, LEARNED = "exact check", "learned_verifier"
COLUMNS = (*KEY, "verifier", "students", "answers", "accuracy", "true_positive", "false_positive")


def verifier_rates(ledger: pd.DataFrame, benchmarks: tuple[str, ...] = ("maths",)) -> pd.DataFrame:
    """By student, dose and verifier, over the greedy answers to unperturbed word problems.

    ``true_positive`` is the share of right answers that pass, ``false_positive`` that of wrong ones; NaN where there is
    none. The exact check passes an answer whose parts all hold (``world.coherence``); it knows no student, so
    contamination changes what it is shown, and not the check. A learned verifier, by the name of its way of answering,
    passed an answer for which nothing more was drawn: as many tokens were generated as greedy decoding does.
    """
    words = {index: word for word, index in vocabulary().items()}
    own = ledger[ledger["benchmark"].isin(benchmarks) & (ledger["variant"] == ORIGINAL)]
    greedy = plain_rows(own)
    passed = [coherent(" ".join(words[int(token)] for token in answer)) for answer in greedy["answer"]]
    rows = list[tuple[object, ...]]()
    for name, some in [(EXACT, greedy.assign(passed=passed)), *_learned(own, greedy)]:
        judged = some.assign(right=some["verdict"].eq("right"))
        for key, each in judged.groupby(KEY, sort=False, observed=True):
            shares = [float(each.loc[each["right"] == right, "passed"].mean()) for right in (True, False)]
            rows.append(
                (
                    *key,
                    name,
                    each["distillation_seed"].nunique(),
                    len(each),
                    float(each["right"].mean()),
                    *np.round(shares, 6),
                )
            )
    return pd.DataFrame(rows, columns=list(COLUMNS)).sort_values(KEY, kind="stable", ignore_index=True)


def _learned(own: pd.DataFrame, greedy: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The greedy answers that each learned verifier was shown, and whether it let them pass."""
    if "answering" not in own:
        return
    same = [*KEY, *RUN, "item"]
    plain = greedy.set_index(same)
    for way, asked in own[own["intervention"] == ""].groupby("answering", sort=False, observed=True):
        if str(way).split()[0] == LEARNED:
            shown = plain.loc[pd.MultiIndex.from_frame(asked[same])].reset_index()
            yield str(way), shown.assign(passed=shown["generated"].to_numpy() == asked["generated"].to_numpy())
