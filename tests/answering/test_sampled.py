"""Sampled answers of a small model, and pass@k against the estimator's own definition: the mean over all subsets."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.other_ways import other_ways, passing_table
from forgetting.answering.sampled import Sampled
from forgetting.contracts import Sampling
from forgetting.errors import UsageError
from forgetting.testing.small import model

PROMPTS = [[5, 6, 7], [9, 30, 41, 52], [8]]


def test_answers_are_those_that_the_model_draws() -> None:
    way, made = Sampled(samples=4, temperature=1.0, top_p=1.0, seed=3), model(3)
    found = way.answers(made, PROMPTS, max_new_tokens=5, batch_items=8)
    asked = [prompt for prompt in PROMPTS for _ in range(4)]
    drawn = made.generate([asked], max_new_tokens=5, sampling=Sampling(1.0, 1.0, 3, samples=4))[0]
    assert [one.generated for own in found for one in own] == [len(row) for row in drawn]
    assert [one.cut for own in found for one in own] == [row[-1] not in made.ends for row in drawn]


def ledger(right: list[list[bool]], way: str, dose: int) -> pd.DataFrame:
    """Rows of one benchmark: items x samples."""
    return pd.DataFrame([
        {"student": "10k", "capacity": 10, "arm": "a", "distillation_seed": 0, "seed": 0, "dose": dose,
         "benchmark": "maths", "skill": "maths", "variant": "original", "item": f"i{i}", "answering": way,
         "sample": s, "generated": 3, "intervention": "", "verdict": "right" if one else "wrong"}
        for i, own in enumerate(right) for s, one in enumerate(own)
    ])  # fmt: skip


def test_the_estimate_is_the_mean_over_all_subsets() -> None:
    right = np.random.default_rng(0).random((12, 6)) < 0.4
    table = passing_table(ledger(right.tolist(), "sampled", 0), {"sampled": (1, 2, 4)})
    for row in table.itertuples():
        by_hand = np.mean([[own[list(c)].any() for c in combinations(range(6), int(row.k))] for own in right])
        assert row.value == pytest.approx(by_hand)
        assert 0 <= row.low <= row.value <= row.high <= 1 and (row.items, row.samples) == (12, 6)
    assert list(table.value) == sorted(table.value)


def test_each_way_is_kept_against_itself_at_dose_0() -> None:
    rows = [
        ledger([[True]] * 8 + [[False]] * 2, "greedy", 0), ledger([[True, True]] * 6 + [[False, True]] * 4, "s", 0),
        ledger([[True]] * 4 + [[False]] * 6, "greedy", 9), ledger([[True, False]] * 8 + [[False, False]] * 2, "s", 9),
    ]  # fmt: skip
    table = other_ways(pd.concat(rows), {"maths": 0.0}).set_index(["dose", "answering"])
    assert table.accuracy.to_dict() == {(0, "greedy"): 0.8, (0, "s"): 0.8, (9, "greedy"): 0.4, (9, "s"): 0.4}
    assert table.retention.to_dict() == pytest.approx(
        {(0, "greedy"): 1, (0, "s"): 1, (9, "greedy"): 0.5, (9, "s"): 0.5}
    )
    assert table.loc[(9, "s"), "items"] == 10 and table.loc[(9, "s"), "samples"] == 2
    spread = np.std([0.5] * 8 + [0.0] * 2, ddof=1) / np.sqrt(10)  # over items, whatever the number of samples
    assert table.loc[(9, "s"), "high"] == pytest.approx(0.4 + 1.959964 * spread, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 2, "ks": (1, 3)}, r"^sampled\.ks: must be one or several from 1 to the 2 samples, got"),
        ({"ks": ()}, r"^sampled\.ks: must be one or several"),
        ({"temperature": 0.0}, r"^sampling\.temperature: must be above 0"),
        ({"top_p": 1.5}, r"^sampling\.top_p: must be above 0 and at most 1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        Sampled(**settings)
