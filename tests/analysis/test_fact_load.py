"""Bits of facts, from NLLs that are known."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any, cast

import pandas as pd
import pytest

from forgetting.analysis.fact_load import fact_load, fact_runs
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError

HEAD = {"student": "s", "capacity": 1_000, "arm": "a", "benchmark": "facts", "variant": "original"}


def study(
    nll_bits: dict[tuple[int, int], list[float]], ledger: bool = True, asked: Any = None, values: int = 16,
    taught: Any = None,
) -> StudyFolder:  # fmt: skip
    """Facts of 100 that were taught, by (seed, dose) the NLL of each one's answer in bits."""
    scores, rows = list[dict[str, Any]](), list[dict[str, Any]]()
    for (seed, dose), each in nll_bits.items():
        run = {**HEAD, "distillation_seed": seed, "seed": seed, "dose": dose}
        nll = math.log(2) * sum(each) / len(each) / 4  # a token: three words and the end
        scores.append({**run, "depth": None, "nll": nll, "accuracy": 0.5})
        scores.append({**run, "depth": 1, "nll": 99.0, "accuracy": 0.9})
        rows += [{**run, "item": f"i{n}", "nll_sum": one * math.log(2)} for n, one in enumerate(each)]
    benchmarks = ["maths", asked or {"name": "facts", "fact_count": 100, "fact_values": values, "item_count": 4}]
    original = taught or {"name": "original", "code": 0.0, "facts": 0.45, "fact_count": 100, "fact_values": values}
    record = {"spec": {"evaluation": {"benchmarks": benchmarks}, "ladder": {"original": original}}}
    made: Any = SimpleNamespace(
        scores=pd.DataFrame(scores), record=record, ledger=pd.DataFrame(rows) if ledger else None
    )
    return cast(StudyFolder, made)


def test_bits_by_hand() -> None:
    """Of 12 bits each: 12, 12, 6 and 0 known are 7.5 on average, of 100 facts 750 bits, .75 a parameter."""
    table = fact_load(study({(0, 0): [0, 0, 6, 12], (1, 0): [0, 0, 2, 0]})).set_index("dose")
    assert table.loc[0, "told"] == 1_200 and table.loc[0, "facts"] == 100 and table.loc[0, "students"] == 2
    assert table.loc[0, "known"] == pytest.approx((750 + 1_150) / 2)
    assert table.loc[0, "per_parameter"] == pytest.approx(0.95)
    half = 12.706205 * 200  # Student's t with one degree of freedom, standard error 400 / 2
    assert table.loc[0, "low"] == pytest.approx(950 - half) and table.loc[0, "high"] == pytest.approx(950 + half)


def test_what_is_worse_than_a_guess_counts_by_sum_and_not_by_fact() -> None:
    """One fact known whole and three as far off again: together nothing is saved, by fact a quarter is left."""
    runs = fact_runs(study({(0, 0): [0, 0, 0, 0], (0, 80): [0, 16, 16, 16], (0, 160): [0, 40, 40, 40]}))
    runs = runs.set_index("dose")
    assert runs["known"].to_list() == pytest.approx([1_200, 0, 0])
    assert runs["by_fact"].to_list() == pytest.approx([1_200, 300, 300])


def test_where_there_is_one_answer_nothing_is_known() -> None:
    table = fact_load(study({(0, 0): [0, 0, 0, 0]}, values=1))
    assert table[["told", "known", "by_fact", "per_parameter"]].to_numpy().tolist() == [[0, 0, 0, 0]]


def test_without_the_ledger_the_sum_is_left() -> None:
    runs = fact_runs(study({(0, 0): [0, 0, 6, 12]}, ledger=False))
    assert float(runs["known"].iloc[0]) == pytest.approx(750) and math.isnan(runs["by_fact"].iloc[0])


def test_a_study_without_facts_has_none() -> None:
    assert fact_load(study({(0, 0): [0.0]}, asked="lookup")).empty


def test_settings_of_a_record_that_are_none_are_refused() -> None:
    with pytest.raises(UsageError, match=r"^facts\.fact_count: must be from 1"):
        fact_load(study({(0, 0): [0.0]}, asked={"name": "facts", "fact_count": 0}))


def test_facts_that_were_not_taught_have_no_bits() -> None:
    with pytest.raises(UsageError, match=r"^fact_load: must be .* taught \(none: ladder.original\)"):
        fact_load(study({(0, 0): [0.0]}, taught="original"))
    with pytest.raises(UsageError, match=r"\(100 of 2 values: ladder.original\), got the benchmark's 100 of 16 values"):
        fact_load(study({(0, 0): [0.0]}, taught={"name": "original", "code": 0, "facts": 0.45, "fact_count": 100,
                                                 "fact_values": 2}))  # fmt: skip
