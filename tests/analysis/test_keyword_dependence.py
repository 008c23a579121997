"""Keyword dependence on outcomes that are counted by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.keyword_dependence import keyword_dependence
from forgetting.analysis.study_folder import StudyFolder


def a_study(ledger: bool = True) -> StudyFolder:
    accuracy = {"original": 0.8, "rephrased": 0.7, "functional": 0.2, "own_aside": 0.3, "other_aside": 0.1}
    poor = {"original": 0.2, "functional": 0.1}
    head = {"arm": "a", "benchmark": "described", "student": "s", "capacity": 10, "dose": 0, "distillation_seed": 0}
    scores = [
        {**head, "seed": seed, "variant": variant, "accuracy": value, "chance": 0.0, "depth": np.nan}
        for seed in (0, 1, 2) for variant, value in (accuracy if seed < 2 else poor).items()
    ]  # fmt: skip
    # Five conflicts in each order: the keyword wins 3 and 1, the description 1 and 2, nobody the rest.
    outcomes = {"conflict": "kkkd-", "conflict_turned": "kdd--"}
    rows = [
        {**head, "seed": seed, "variant": variant, "verdict": "right" if who == "k" else "wrong",
         "kind": "description" if who == "d" else ""}
        for seed in (0, 1) for variant, found in outcomes.items() for who in found
    ]  # fmt: skip
    known: Any = SimpleNamespace(scores=pd.DataFrame(scores), ledger=pd.DataFrame(rows) if ledger else None)
    return cast(StudyFolder, known)


def test_by_hand() -> None:
    (row,) = keyword_dependence(a_study()).to_dict("records")
    assert row["students"] == 2  # the third had not learned the tasks
    assert (row["keyword"], row["description"]) == pytest.approx((0.8, 0.2)) and np.isnan(row["both"])
    assert row["dependence"] == pytest.approx(0.6 / 0.8) == row["dependence_low"]
    assert row["rephrased"] == pytest.approx(0.1 / 0.8) and row["beyond_rephrased"] == pytest.approx(0.5 / 0.8)
    assert row["misled"] == pytest.approx(0.2)
    assert (row["follows_keyword"], row["follows_description"]) == pytest.approx((0.4, 0.3))
    assert row["won"] == pytest.approx(4 / 7)


def test_without_what_it_takes() -> None:
    (row,) = keyword_dependence(a_study(ledger=False)).to_dict("records")
    assert np.isnan(row["won"]) and row["dependence"] == pytest.approx(0.75)
    bare = a_study()
    bare.scores = bare.scores[bare.scores["variant"] == "original"]
    assert keyword_dependence(bare).empty
