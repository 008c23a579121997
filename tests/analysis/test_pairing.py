"""Two measurements of the same items: counts by hand, McNemar against scipy, the interval against its own laws."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from forgetting.analysis.pairing import Comparison, paired
from forgetting.errors import UsageError


def graded(right: list[int], run: int = 0, template: str = "") -> pd.DataFrame:
    items = [f"i{n}" for n in range(len(right))]
    return pd.DataFrame(
        {"run": [(run, run)] * len(right), "item": items, "template": [template or i for i in items],
         "right": np.array(right, bool)}
    )  # fmt: skip


FIRST = [1] * 40 + [1] * 12 + [0] * 3 + [0] * 45
SECOND = [1] * 40 + [0] * 12 + [1] * 3 + [0] * 45


def test_the_table_of_one_run_is_mcnemars() -> None:
    found = paired("maths", graded(FIRST), graded(SECOND).sample(frac=1, random_state=0))
    assert found is not None
    assert (found.both_right, found.lost, found.gained, found.both_wrong) == (40, 12, 3, 45)
    assert found.mcnemar_p == pytest.approx(binomtest(3, 15, 0.5).pvalue)
    assert found.difference == pytest.approx(-0.09) and found.accuracy_first == pytest.approx(0.52)
    error = np.sqrt((12 + 3) / 100 - 0.09**2) / 10  # of the mean of paired differences
    assert found.low == pytest.approx(-0.09 - 1.96 * error, abs=0.01)
    assert found.high == pytest.approx(-0.09 + 1.96 * error, abs=0.01)


def test_the_other_way_round_everything_changes_sides() -> None:
    one, two = paired("m", graded(FIRST), graded(SECOND)), paired("m", graded(SECOND), graded(FIRST))
    assert one is not None and two is not None
    assert (one.lost, one.gained, one.low, one.mcnemar_p) == (two.gained, two.lost, -two.high, two.mcnemar_p)


def test_where_nothing_differs_the_interval_is_not_empty() -> None:
    found = paired("m", graded(FIRST), graded(FIRST))
    assert found is not None and found.mcnemar_p == 1 and found.difference == 0
    assert found.low == pytest.approx(-(1.96**2) / (100 + 1.96**2), abs=1e-4) and found.high == -found.low


def test_an_item_counts_once_however_many_runs_answered_it() -> None:
    one = pd.concat([graded(FIRST, 0), graded(FIRST, 1)])
    two = pd.concat([graded(SECOND, 0), graded(SECOND, 1)])
    found = paired("m", one, two)
    assert found is not None and (found.runs, found.items, found.lost, found.gained) == (2, 100, 12, 3)
    assert found.mcnemar_p == pytest.approx(binomtest(3, 15, 0.5).pvalue)


def test_items_of_one_only_are_left_out_and_counted() -> None:
    found = paired("m", graded(FIRST), graded(SECOND).iloc[10:])
    assert found is not None and (found.items, found.left_out, found.both_right) == (90, 10, 30)
    assert paired("m", graded([1]), graded([1]).assign(item="other")) is None
    with pytest.raises(UsageError, match="one answer an item"):
        paired("m", pd.concat([graded([1])] * 2), graded([1]))


def test_it_is_readable_and_json() -> None:
    found = paired("m", graded(FIRST), graded(SECOND))
    assert found is not None
    whole = Comparison("a", "b", (found,))
    assert max(map(len, str(whole).splitlines())) <= 80 and "-0.090 [" in str(whole)
    assert json.loads(whole.to_json())["compared"][0]["lost"] == 12
    assert whole.to_frame()["gained"].tolist() == [3]
