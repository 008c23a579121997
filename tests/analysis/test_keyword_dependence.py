"""Keyword dependence on outcomes that are counted by hand."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.keyword_dependence import keyword_dependence
from forgetting.analysis.study_folder import StudyFolder


def _fresh(rows: list[dict[str, Any]]) -> pd.DataFrame:
    """Each seed is a student of its own."""
    return pd.DataFrame(rows).assign(distillation_seed=lambda table: table["seed"])


def a_study(ledger: bool = True) -> StudyFolder:
    accuracy = {"original": 0.8, "rephrased": 0.7, "functional": 0.2, "own_aside": 0.3, "other_aside": 0.1}
    poor = {"original": 0.2, "functional": 0.1}
    head = {"arm": "a", "benchmark": "described", "student": "s", "capacity": 10, "dose": 0}
    scores = [
        {**head, "seed": seed, "variant": variant, "accuracy": value, "chance": 0.0, "depth": np.nan, "items": 10}
        for seed in (0, 1, 2) for variant, value in (accuracy if seed < 2 else poor).items()
    ]  # fmt: skip
    rows = [
        {**{name: row[name] for name in (*head, "seed", "variant")}, "kind": "", "item": f"d/{row['variant']}/{item}",
         "verdict": "right" if item < 10 * row["accuracy"] else "wrong"}
        for row in scores for item in range(10)
    ]  # fmt: skip
    # Five conflicts in each order: the keyword wins 3 and 1, the description 1 and 2, nobody the rest.
    outcomes = {"conflict": "kkkd-", "conflict_turned": "kdd--"}
    rows += [
        {**head, "seed": seed, "variant": variant, "verdict": "right" if who == "k" else "wrong",
         "kind": "description" if who == "d" else "", "item": f"d/{variant}/{item}"}
        for seed in (0, 1) for variant, found in outcomes.items() for item, who in enumerate(found)
    ]  # fmt: skip
    known: Any = SimpleNamespace(scores=_fresh(scores), ledger=_fresh(rows) if ledger else None)
    return cast(StudyFolder, known)


def test_by_hand() -> None:
    (row,) = keyword_dependence(a_study()).to_dict("records")
    assert row["students"] == 2  # the third had not learned the tasks
    assert (row["keyword"], row["description"]) == pytest.approx((0.8, 0.2)) and np.isnan(row["both"])
    assert row["dependence"] == pytest.approx(0.6 / 0.8) == row["dependence_low"]
    assert row["rephrased"] == pytest.approx(0.1 / 0.8) and row["beyond_rephrased"] == pytest.approx(0.5 / 0.8)
    assert row["misled"] == pytest.approx(0.2)
    assert (row["follows_keyword"], row["follows_description"]) == pytest.approx((0.4, 0.3))
    assert row["won"] == pytest.approx(4 / 7) and row["items"] == 10


def test_two_runs_of_a_student_are_one_student() -> None:
    study = a_study()
    for table in (study.scores, study.ledger):
        assert table is not None
        table["distillation_seed"] = 0
    (row,) = keyword_dependence(study).to_dict("records")
    assert row["students"] == 1 and row["dependence"] == pytest.approx(0.75) and np.isnan(row["dependence_low"])


def test_items_that_only_one_of_both_has_are_left_out() -> None:
    """As of HumanEval: items 0 to 3 have no description; of the other six 4 are right by keyword, 3 by description."""
    study = a_study()
    assert study.ledger is not None
    own = study.ledger["variant"] == "functional"
    number = study.ledger["item"].str[-1].astype(int)
    study.ledger.loc[own, "verdict"] = np.where(number[own] < 7, "right", "wrong")
    study.ledger = study.ledger[~own | (number > 3)]
    mine = study.scores["variant"] == "functional"
    study.scores.loc[mine, ["accuracy", "items"]] = [0.5, 6]
    (row,) = keyword_dependence(study).to_dict("records")
    assert (row["items"], row["keyword"], row["description"]) == pytest.approx((6, 4 / 6, 3 / 6))
    assert row["dependence"] == pytest.approx(1 / 4) and row["rephrased"] == pytest.approx(0.1 / 0.8)
    study.ledger = None  # nobody knows which items these are
    (row,) = keyword_dependence(study).to_dict("records")
    assert np.isnan([row["dependence"], row["description"], row["items"]]).all() and row["keyword"] == 0.8
    assert row["rephrased"] == pytest.approx(0.1 / 0.8)


def test_without_what_it_takes() -> None:
    (row,) = keyword_dependence(a_study(ledger=False)).to_dict("records")
    assert np.isnan(row["won"]) and row["dependence"] == pytest.approx(0.75)
    bare = a_study()
    bare.scores = bare.scores[bare.scores["variant"] == "original"]
    assert keyword_dependence(bare).empty


def test_where_conflicts_are_right_by_the_description() -> None:
    """A function under another's name, HumanEval's side: who does what the name says follows the keyword."""
    study = a_study()
    for table in (study.scores, study.ledger):
        assert table is not None
        table["benchmark"] = "misnamed"
    assert study.ledger is not None
    study.ledger["kind"] = study.ledger["kind"].replace("description", "name")
    unasked = ("functional", "rephrased")
    study.scores, study.ledger = (one[~one["variant"].isin(unasked)] for one in (study.scores, study.ledger))
    extra = study.scores[study.scores["variant"] == "original"].assign(variant="conflict", accuracy=0.4)
    study.scores = pd.concat([study.scores, extra])
    (row,) = keyword_dependence(study).to_dict("records")
    assert (row["follows_keyword"], row["follows_description"]) == pytest.approx((0.3, 0.4))
    assert row["won"] == pytest.approx(3 / 7) and np.isnan(row["dependence"]) and row["keyword"] == 0.8
