"""How many bits of facts students know: the NLL of facts whose bits are known in, bits and bits a parameter out.

A fact of H bits whose answer has an NLL of L bits under a student saves H - L of them, and of all facts together their
sum, as arXiv 2404.05405 counts from the mean loss: no less than 0, and a lower bound, since L holds the end token too.
``by_fact`` sums over facts what each saves, no less than 0 each: what is left where some facts are lost so far that
their NLL outweighs all others. It does not cancel the luck of guesses, and it takes the ledger.
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pandas as pd

from forgetting import registry
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import plain_rows
from forgetting.analysis.study_folder import StudyFolder
from forgetting.benchmarks.facts import ANSWER_TOKENS, Facts
from forgetting.contamination.original import Original
from forgetting.errors import UsageError
from forgetting.record.schema import RUN_KEY
from forgetting.world.facts import bits

HEAD = ["student", "capacity", "arm", "dose"]
NUMBERS = ("accuracy", "known", "by_fact", "per_parameter")
RUNS = [*HEAD, "distillation_seed", "seed", "facts", "told", *NUMBERS]
COLUMNS = [*HEAD, "students", "facts", "told", "accuracy", "known", "low", "high", "by_fact", "per_parameter"]


def fact_runs(study: StudyFolder) -> pd.DataFrame:
    """Of each run at each dose the bits it knows; empty where no facts were asked.

    ``facts`` were taught, with ``told`` bits in all. Where some are asked they stand for all.

    Raises:
        UsageError: the facts that were asked are not those that the original distribution taught
    """
    asked = study.record.get("spec", {}).get("evaluation", {}).get("benchmarks", [])
    given = next((value for value in asked if part_name(value) == "facts"), None)
    rows = study.scores[(study.scores["benchmark"] == "facts") & (study.scores["variant"] == ORIGINAL)]
    rows = rows[rows["depth"].isna() & rows["nll"].notna()]
    if given is None or rows.empty:
        return pd.DataFrame(columns=RUNS)
    part = cast(Facts, registry.build("benchmarks", given, "facts"))
    _check_taught(study.record["spec"].get("ladder", {}).get("original", "original"), part)
    count, each = part.fact_count, bits(part.fact_values)
    found = rows[[*HEAD, "distillation_seed", "seed", "accuracy"]].reset_index(drop=True)
    saved = each - ANSWER_TOKENS * rows["nll"].to_numpy(float) / math.log(2)
    known = count * np.maximum(saved, 0)
    found = found.assign(facts=count, told=count * each, known=known, per_parameter=known / found["capacity"])
    return found.assign(by_fact=_by_fact(study, found, count, each))[RUNS]


def _check_taught(original: Any, asked: Facts) -> None:
    taught = registry.build("contamination", original, "ladder.original")
    if not isinstance(taught, Original):
        return
    if not taught.facts or (taught.fact_count, taught.fact_values) != (asked.fact_count, asked.fact_values):
        said = f"{taught.fact_count:,} of {taught.fact_values} values" if taught.facts else "none"
        raise UsageError(
            f"fact_load: must be of the facts that were taught ({said}: ladder.original), got the benchmark's "
            f"{asked.fact_count:,} of {asked.fact_values} values"
        )


def _by_fact(study: StudyFolder, runs: pd.DataFrame, count: int, each: float) -> np.ndarray:
    if study.ledger is None:
        return np.full(len(runs), math.nan)
    rows = plain_rows(study.ledger)
    rows = rows[(rows["benchmark"] == "facts") & (rows["variant"] == ORIGINAL)]
    key = [*RUN_KEY, "dose"]
    saved = (each - rows["nll_sum"] / math.log(2)).clip(lower=0)
    mean = saved.groupby([rows[name] for name in key], observed=True).mean()
    return count * mean.reindex(pd.MultiIndex.from_frame(runs[key])).to_numpy(float)


def fact_load(study: StudyFolder) -> pd.DataFrame:
    """By size, arm and dose: bits told, bits known with their interval over students, and bits a parameter.

    Means over students; ``low`` and ``high`` bound ``known`` at 95%, Student's t over students.
    """
    rows = list[tuple[object, ...]]()
    runs = fact_runs(study)
    for key, own in runs.groupby(HEAD, sort=False, observed=True):
        taught = (len(own), int(own["facts"].iloc[0]), float(own["told"].iloc[0]))
        means = own[list(NUMBERS)].mean()
        ends = mean_interval(own["known"].to_numpy(float))
        rows.append((*key, *taught, means["accuracy"], *ends, means["by_fact"], means["per_parameter"]))
    found = pd.DataFrame(rows, columns=COLUMNS)
    return found.sort_values(["capacity", "arm", "dose"], kind="stable", ignore_index=True)
