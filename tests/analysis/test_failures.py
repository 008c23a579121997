"""Counts of failures and their composition: from a ledger made by hand, against plain loops."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forgetting.analysis.failures import COUNTS, composition, counts_of, failure_counts, world_texts
from forgetting.analysis.metrics import wilson
from forgetting.analysis.study_folder import StudyFolder
from forgetting.benchmarks.maths import Maths
from forgetting.world.vocabulary import vocabulary

PART = Maths(items_per_depth=6, depths=(1, 2))
WORDS = vocabulary()


def ledger(seeds: int = 2, students: int = 1) -> pd.DataFrame:
    """At dose 0 all is gold but one slip; at dose 80 a third intrudes, a third is empty; of each seed and student."""
    rows: list[dict[str, Any]] = []
    for student in range(students):
        for seed in range(seeds):
            for dose in (0, 80):
                for place, item in enumerate(PART.items()):
                    answer = item.answer.split()
                    if dose and place % 3 == 0:
                        answer = ["tea", *answer[:-1], "0"]
                    elif dose and place % 3 == 1 and (place < 5 or student == 0):
                        answer = []
                    elif place == 0:
                        answer[-1] = answer[4] = str(int(answer[4]) % 40 + 1)
                    rows.append({
                        "student": "10k", "capacity": 10_016, "arm": "dialogue", "distillation_seed": student,
                        "seed": seed, "dose": dose, "benchmark": "maths", "variant": "original", "item": item.id,
                        "problem": item.problem, "answer": np.array([WORDS[word] for word in answer], np.int32),
                        "verdict": PART.grade([item], [" ".join(answer)])[0].verdict, "kind": "",
                    })  # fmt: skip
    return pd.DataFrame(rows)


def record() -> dict[str, Any]:
    return {
        "benchmarks": {"maths": {"version": PART.version, "chance": 0.0}},
        "spec": {"evaluation": {"max_new_tokens": 48, "benchmarks": [
            {"name": "maths", "items_per_depth": 6, "depths": [1, 2]}, "lookup"]}},
    }  # fmt: skip


def test_counts_add_up_to_answers() -> None:
    rows = ledger()
    counts = failure_counts(rows, [PART], 48, world_texts)
    assert list(counts.columns) == COUNTS
    assert (counts.groupby(["dose", "seed"])["answers"].sum() == 12).all()
    last = counts[(counts["dose"] == 80) & (counts["seed"] == 0)].set_index("failure")["answers"]
    assert last.to_dict() == {"": 4, "intrusion": 4, "empty": 4}
    first = counts[(counts["dose"] == 0) & (counts["seed"] == 1)].set_index("failure")
    assert first.loc["symbol_error", ["kind", "answers"]].tolist() == ["slip", 1]
    cut = failure_counts(rows, [PART], 5, world_texts)  # no answer in steps is that short
    assert set(cut.loc[cut["dose"] == 80, "failure"]) == {"", "empty", "truncated"}


def test_shares_of_one_student_are_wilsons_over_items() -> None:
    table = composition(failure_counts(ledger(seeds=2), [PART], 48, world_texts)).set_index(["dose", "failure"])
    found = table.loc[(80, "intrusion")]
    assert (found["items"], found["students"], found["accuracy"]) == (12, 1, pytest.approx(1 / 3))
    assert (found["per_item"], found["given_wrong"]) == (pytest.approx(1 / 3), pytest.approx(0.5))
    low, high = wilson(4, 12)  # the second stream is no more items
    assert (found["per_item_low"], found["per_item_high"]) == (pytest.approx(float(low)), pytest.approx(float(high)))
    assert (found["per_item_rise"], found["given_wrong_rise"]) == (pytest.approx(1 / 3), pytest.approx(0.5))
    assert table.loc[(0, "symbol_error"), "given_wrong_rise"] == 0


def test_shares_of_several_students_scatter_over_students() -> None:
    table = composition(failure_counts(ledger(seeds=1, students=3), [PART], 48, world_texts))
    found = table.set_index(["dose", "failure"]).loc[(80, "empty")]
    empty, asked, wrong = np.array([4, 2, 2]), np.array([12, 12, 12]), np.array([8, 6, 6])
    mean = (empty / asked).mean()
    half = stats.t.ppf(0.975, 2) * (empty / asked).std(ddof=1) / np.sqrt(3)
    assert found["per_item"] == pytest.approx(mean)
    assert found["per_item_high"] == pytest.approx(mean + half)
    share = empty.sum() / wrong.sum()
    error = np.sqrt(((empty - share * wrong) ** 2).sum() * 3 / 2) / wrong.sum()
    assert found["given_wrong_low"] == pytest.approx(max(0, share - stats.t.ppf(0.975, 2) * error))


def test_right_answers_by_wrong_steps_are_no_wrong_answers() -> None:
    counts = failure_counts(ledger(), [PART], 48, world_texts)
    changed = counts.assign(failure=counts["failure"].replace("empty", "right_by_wrong_steps"))
    table = composition(changed).set_index(["dose", "failure"])
    assert np.isnan(table.loc[(80, "right_by_wrong_steps"), "given_wrong"])
    assert table.loc[(80, "intrusion"), "given_wrong"] == 1
    assert table.loc[(80, "none"), "per_item"] == pytest.approx(1 / 3)
    assert table.loc[(80, "intrusion"), "accuracy"] == pytest.approx(2 / 3)


def test_kinds_and_the_dose_nearest_to_an_accuracy() -> None:
    counts = failure_counts(ledger(), [PART], 48, world_texts)
    assert set(composition(counts, accuracy=0.4)["dose"]) == {80}
    table = composition(counts, kinds=True, accuracy=0.9)
    assert table[["dose", "failure", "kind"]].to_numpy().tolist() == [[0, "none", ""], [0, "symbol_error", "slip"]]


def test_an_older_study_is_classed_afterwards() -> None:
    rows = ledger()
    afterwards = counts_of(StudyFolder(Path(), record(), rows))
    pd.testing.assert_frame_equal(afterwards, failure_counts(rows, [PART], 48, world_texts))
    told = StudyFolder(Path(), record())
    told.__dict__["failure_counts"] = afterwards
    pd.testing.assert_frame_equal(counts_of(told), afterwards)


@pytest.mark.parametrize("what", ["version", "seed", "huge", "unknown", "no ledger"])
def test_items_that_this_version_would_not_ask_are_not_classed(what: str) -> None:
    about, rows = record(), None if what == "no ledger" else ledger()
    if what == "version":
        about["benchmarks"]["maths"]["version"] = 0
    setting = about["spec"]["evaluation"]["benchmarks"][0]
    setting |= {"seed": {"seed": 1}, "huge": {"items_per_depth": 10**9}, "unknown": {"colour": "red"}}.get(what, {})
    assert counts_of(StudyFolder(Path(), about, rows)).empty
