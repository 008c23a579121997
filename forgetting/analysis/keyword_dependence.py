"""Do students read the keyword or the description? Runs on tasks told both ways in, what hangs on the keyword out.

The keyword dependence of a student is (keyword - description) / (keyword - chance) of its accuracies: 0 where a
description by function serves as well, 1 where nothing is left without the keyword. That of ``rephrased``, another
wording that keeps the keyword, is the control. In a conflict a keyword stands with another operation's description.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import LEARNED_MARGIN
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder

KEY = ["arm", "benchmark", "student", "capacity", "dose"]
RUN = ["distillation_seed", "seed"]
DESCRIBED, OTHER_WORDING = "functional", "rephrased"
CONFLICTS = ("conflict", "conflict_turned")
BY_DESCRIPTION = "misnamed"  # a benchmark whose conflicts are right by the description; of others by the keyword
FOLLOWED = ("description", "name")  # kinds of wrong answers to conflicts, which do what the other one says
ACCURACIES = {"keyword": ORIGINAL, "description": DESCRIBED, "both": "both", "twice": "twice"}
BOUNDED = ("dependence", "rephrased", "beyond_rephrased", "misled", "follows_keyword", "follows_description", "won")
COLUMNS = (*KEY, "students", *ACCURACIES, *(f"{name}{end}" for name in BOUNDED for end in ("", "_low", "_high")))


def keyword_dependence(study: StudyFolder) -> pd.DataFrame:
    """One row per arm, benchmark, student and dose, means over students that had learned the tasks by keyword.

    ``keyword``, ``description``, ``both`` and ``twice`` are accuracies. ``dependence`` is the keyword dependence,
    ``rephrased`` that of another wording, ``beyond_rephrased`` the first less the second; ``misled`` what a foreign
    keyword in an aside costs against one of the task; ``follows_keyword`` and ``follows_description`` the shares of
    answers to conflicts, mean over both orders, and ``won`` the keyword's part of those that follow either: these take
    the ledger. Of ``misnamed`` the function's name is the keyword, and the docstring the description. Bounds are 95%,
    Student's t over students; NaN where a variant was not asked.
    """
    scores = study.scores
    whole = scores[(scores["benchmark"] != PROBE) & scores["depth"].isna()]
    told = whole[whole["variant"].isin((DESCRIBED, *CONFLICTS))]["benchmark"].unique()
    own = whole[whole["benchmark"].isin(told)]
    if own.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    table = own.pivot_table(index=[*KEY, *RUN], columns="variant", values="accuracy", observed=True)
    table["chance"] = own.groupby([*KEY, *RUN], observed=True)["chance"].first()
    table = table.join(_conflicts(study))
    start = table.xs(0, level="dose")
    learned = start.index[start[ORIGINAL] - start["chance"] >= LEARNED_MARGIN - 1e-12]
    table = table[table.reset_index("dose").index.isin(learned)]
    for name in {*ACCURACIES.values(), OTHER_WORDING, "own_aside", "other_aside"} - set(table):
        table[name] = np.nan
    above = table[ORIGINAL] - table["chance"]
    table["dependence"] = (table[ORIGINAL] - table[DESCRIBED]) / above
    table["of_rephrased"] = (table[ORIGINAL] - table[OTHER_WORDING]) / above
    table["beyond_rephrased"] = table["dependence"] - table["of_rephrased"]
    table["misled"] = table["own_aside"] - table["other_aside"]
    either = table["follows_keyword"] + table["follows_description"]
    table["won"] = table["follows_keyword"] / either.where(either > 0)
    table = table.groupby([*KEY, "distillation_seed"], observed=True).mean()
    rows = list[dict[str, object]]()
    for key, some in table.groupby(KEY, sort=False, observed=True):
        row = dict(zip(KEY, key, strict=True)) | {"students": len(some)}
        row |= {name: float(some[variant].mean()) for name, variant in ACCURACIES.items()}
        for name in BOUNDED:
            values = some["of_rephrased" if name == OTHER_WORDING else name].to_numpy(float)
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), mean_interval(values), strict=True))
        rows.append(row)
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.sort_values(["arm", "benchmark", "dose", "capacity"], kind="stable", ignore_index=True)


def _conflicts(study: StudyFolder) -> pd.DataFrame:
    """By look, the shares of answers to conflicts that follow the keyword and the description, mean over the orders."""
    names = ["follows_keyword", "follows_description"]
    if study.ledger is None:
        return pd.DataFrame(columns=names, index=pd.MultiIndex.from_tuples([], names=[*KEY, *RUN]), dtype=float)
    own = study.ledger[study.ledger["variant"].isin(CONFLICTS)]
    shares = np.array([own["verdict"].eq("right"), own["kind"].isin(FOLLOWED)], dtype=float)
    keyword, description = np.where(own["benchmark"].eq(BY_DESCRIPTION), shares[::-1], shares)
    own = own.assign(follows_keyword=keyword, follows_description=description)
    orders = own.groupby([*KEY, *RUN, "variant"], observed=True)[names].mean()
    return orders.groupby([*KEY, *RUN], observed=True).mean()
