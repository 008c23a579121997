"""Do students read the keyword or the description? Runs on tasks told both ways in, what hangs on the keyword out.

The keyword dependence of a student is (keyword - description) / (keyword - chance) of its accuracies: 0 where a
description by function serves as well, 1 where nothing is left without the keyword. That of ``rephrased``, another
wording that keeps the keyword, is the control. In a conflict a keyword stands with another operation's description.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import LEARNED_MARGIN
from forgetting.analysis.record_reading import KEYWORDS_FILE
from forgetting.analysis.robustness import place
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.table_checks import check_columns, check_numbers
from forgetting.record.checks import check_names

KEY = ["arm", "benchmark", "student", "capacity", "dose"]
RUN = ["distillation_seed", "seed"]
LOOK = [*KEY, *RUN]
DESCRIBED, OTHER_WORDING = "functional", "rephrased"
CONFLICTS = ("conflict", "conflict_turned")
BY_DESCRIPTION = "misnamed"  # a benchmark whose conflicts are right by the description; of others by the keyword
FOLLOWED = ("description", "name")  # kinds of wrong answers to conflicts, which do what the other one says
ACCURACIES = ("keyword", "description", "both", "twice")
BOUNDED = ("dependence", "rephrased", "beyond_rephrased", "misled", "follows_keyword", "follows_description", "won")
BOUNDS = tuple(f"{name}{end}" for name in BOUNDED for end in ("", "_low", "_high"))
COLUMNS = (*KEY, "students", *ACCURACIES, *BOUNDS, "items")


def keyword_table(study: StudyFolder) -> pd.DataFrame:
    """``keyword_dependence``, made once; of a folder without its ledger what ``keyword_dependence.csv`` has."""
    if "keywords" not in study.kept:
        kept = study.table(KEYWORDS_FILE, _check) if study.ledger is None else pd.DataFrame()
        study.kept["keywords"] = kept.reindex(columns=list(COLUMNS)) if len(kept) else keyword_dependence(study)
    return study.kept["keywords"]


def _check(table: pd.DataFrame, path: Path) -> None:
    """``UsageError`` unless there are all columns, and ``items``, which former versions left out, if it is there."""
    numbers = ["capacity", "dose", "students", *ACCURACIES, *BOUNDS]
    check_columns(table, (*KEY, *numbers), path)
    for name in numbers:
        check_numbers(table, name, path)
    check_numbers(table[table["items"].notna()] if "items" in table else table.assign(items=0), "items", path)
    check_names(table["benchmark"].unique(), "benchmark", path)


def keyword_dependence(study: StudyFolder) -> pd.DataFrame:
    """One row per arm, benchmark, student and dose, means over students that had learned the tasks by keyword.

    ``keyword``, ``description``, ``both`` and ``twice`` are accuracies, the first two over the ``items`` that were
    asked both ways, as HumanEval has no description for some (all, where no description was asked). ``dependence`` is
    the keyword dependence, ``rephrased`` that of another wording, over the items that it and the original share,
    ``beyond_rephrased`` the first less the second; ``misled`` what a foreign keyword in an aside costs against one of
    the task; ``follows_keyword`` and ``follows_description`` the shares of answers to conflicts, mean over both orders,
    and ``won`` the keyword's part of those that follow either: these take the ledger, as do items that were not all
    asked both ways. Of ``misnamed`` the function's name is the keyword, and the docstring the description. Bounds are
    95%, Student's t over students; NaN where a variant was not asked, or the ledger is missing.
    """
    scores = study.scores
    whole = scores[(scores["benchmark"] != PROBE) & scores["depth"].isna()]
    told = whole[whole["variant"].isin((DESCRIBED, *CONFLICTS))]["benchmark"].unique()
    own = whole[whole["benchmark"].isin(told)]
    if own.empty:
        return pd.DataFrame(columns=list(COLUMNS))
    table = own.pivot_table(index=LOOK, columns="variant", values="accuracy", observed=True)
    table["chance"] = own.groupby(LOOK, observed=True)["chance"].first()
    start = table.xs(0, level="dose")
    learned = start.index[start[ORIGINAL] - start["chance"] >= LEARNED_MARGIN - 1e-12]
    table = table.join(_conflicts(study))
    table = table[table.reset_index("dose").index.isin(learned)]
    for name in {"both", "twice", "own_aside", "other_aside"} - set(table):
        table[name] = np.nan
    described, reworded = (_shared(study, own, name).reindex(table.index) for name in (DESCRIBED, OTHER_WORDING))
    table["keyword"] = described["keyword"].fillna(table[ORIGINAL])
    table["description"], table["items"] = described["other"], described["items"]
    for name, pair in (("dependence", described), ("of_rephrased", reworded)):
        table[name] = (pair["keyword"] - pair["other"]) / (pair["keyword"] - table["chance"])
    table["beyond_rephrased"] = table["dependence"] - table["of_rephrased"]
    table["misled"] = table["own_aside"] - table["other_aside"]
    either = table["follows_keyword"] + table["follows_description"]
    table["won"] = table["follows_keyword"] / either.where(either > 0)
    table = table.groupby([*KEY, "distillation_seed"], observed=True).mean()
    rows = list[dict[str, object]]()
    for key, some in table.groupby(KEY, sort=False, observed=True):
        row = dict(zip(KEY, key, strict=True)) | {"students": len(some)}
        row |= {name: float(some[name].mean()) for name in (*ACCURACIES, "items")}
        for name in BOUNDED:
            values = some["of_rephrased" if name == OTHER_WORDING else name].to_numpy(float)
            row |= dict(zip((name, f"{name}_low", f"{name}_high"), mean_interval(values), strict=True))
        rows.append(row)
    found = pd.DataFrame(rows, columns=list(COLUMNS))
    return found.sort_values(["arm", "benchmark", "dose", "capacity"], kind="stable", ignore_index=True)


def _shared(study: StudyFolder, own: pd.DataFrame, variant: str) -> pd.DataFrame:
    """By look, accuracies of the original and of a variant over the items that both have, and how many they are."""
    names = [ORIGINAL, variant]
    if study.ledger is None:  # equally many are the same ones, and of others nobody knows which
        kinds = (own.pivot_table(index=LOOK, columns="variant", values=v, observed=True) for v in ("accuracy", "items"))
        accuracy, asked = (table.reindex(columns=names) for table in kinds)
        same = asked[ORIGINAL] == asked[variant]
        found, items = accuracy[same], asked[ORIGINAL][same]
    else:
        rows = study.ledger[study.ledger["benchmark"].isin(own["benchmark"]) & study.ledger["variant"].isin(names)]
        rows = rows.assign(item=place(rows["item"], rows["variant"]), right=rows["verdict"].eq("right").astype(float))
        wide = rows.pivot_table(index=[*LOOK, "item"], columns="variant", values="right", observed=True)
        looks = wide.reindex(columns=names).dropna().groupby(LOOK, observed=True)
        found, items = looks.mean(), looks[ORIGINAL].count()
    return pd.DataFrame({"keyword": found[ORIGINAL], "other": found[variant], "items": items})


def _conflicts(study: StudyFolder) -> pd.DataFrame:
    """By look, the shares of answers to conflicts that follow the keyword and the description, mean over the orders."""
    names = ["follows_keyword", "follows_description"]
    if study.ledger is None:
        return pd.DataFrame(columns=names, index=pd.MultiIndex.from_tuples([], names=LOOK), dtype=float)
    own = study.ledger[study.ledger["variant"].isin(CONFLICTS)]
    shares = np.array([own["verdict"].eq("right"), own["kind"].isin(FOLLOWED)], dtype=float)
    keyword, description = np.where(own["benchmark"].eq(BY_DESCRIPTION), shares[::-1], shares)
    own = own.assign(follows_keyword=keyword, follows_description=description)
    orders = own.groupby([*LOOK, "variant"], observed=True)[names].mean()
    return orders.groupby(LOOK, observed=True).mean()
