"""Garbled, hidden and lost: shares by hand on a made table of probes, their controls, and what is not counted."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.lost_shares import lost_shares, probe_effects, probed_runs
from forgetting.analysis.probing import COLUMNS, probing_counts
from forgetting.analysis.student_ratios import mean, ratio
from forgetting.analysis.study_folder import StudyFolder

AFTER = {"greedy": (50, 20)}  # right of 100 at depths 1 and 2
FULL = {
    ("", "grammar"): (60, 30), ("twin", "grammar"): (4, 2), ("twin", "greedy"): (0, 0),
    ("", "forced_opening"): (70, 40), ("", "forced_opening other=True"): (0, 0),
    ("", "forced_opening tokens=0"): (100, 60), ("", "forced_opening tokens=0 other=True"): (0, 0),
    ("", "output_biases"): (55, 25), ("", "output_biases shuffled=True"): (60, 20),
    ("relearning k=10", "greedy"): (80, 60), ("relearning k=10 of the twin", "greedy"): (0, 0),
    ("relearning k=50", "greedy"): (90, 80), ("relearning k=50 of the twin", "greedy"): (10, 10),
    ("relearning k=50 on lookup", "greedy"): (55, 30),
}  # fmt: skip


def study(found: dict[tuple[str, str], tuple[int, int]], before: tuple[int, int] = (100, 90), students: int = 3) -> Any:
    """Students that are all alike."""
    rows = []
    for seed in range(students):
        looks = {(0, "", "greedy"): before, (1280, "", "greedy"): AFTER["greedy"]}
        looks |= {(1280, *key): right for key, right in found.items()}
        for (dose, intervention, way), each in looks.items():
            for depth, right in enumerate(each, 1):
                rows.append(
                    ("w", "dialogue", seed, seed, 1000, dose, intervention, way, "maths", depth, 100, right, 1.0)
                )
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return cast(StudyFolder, SimpleNamespace(probing=table))


def test_every_probe_stands_minus_its_control() -> None:
    table = probe_effects(study(FULL)).set_index("probe")
    loss = 0.95 - 0.35
    assert table["students"].eq(3).all() and np.allclose(table["before"], 0.95) and np.allclose(table["after"], 0.35)
    assert table.loc["grammar", "net"] == pytest.approx((0.10 - 0.03) / loss)
    assert table.loc["opening", "net"] == pytest.approx(0.20 / loss)  # a control that harms counts as nothing
    # At depth 2 a step less to do is worth .5 - .2; at depth 1 the step is the whole solution.
    assert table.loc["first step", "recovered"] == pytest.approx(0.20 / loss)
    assert table.loc["first step", "net"] == pytest.approx((0.40 - 0.30) / 2 / loss)
    assert table.loc["biases", "net"] == pytest.approx(((0.05 - 0.10) + (0.05 - 0.0)) / 2 / loss)
    assert table.loc["relearning, 50", "net"] == pytest.approx((0.50 - 0.10) / loss)
    assert not [name for name in table.index if "lookup" in name]


def test_three_shares_add_up_and_the_best_probe_is_garbled() -> None:
    (row,) = lost_shares(study(FULL)).to_dict("records")
    assert row["status"] == "ok" and row["probe"] == "opening" and row["k"] == 50
    assert row["garbled"] == pytest.approx(0.20 / 0.60) and row["hidden"] == pytest.approx((0.40 - 0.20) / 0.60)
    assert row["garbled"] + row["hidden"] + row["lost"] == pytest.approx(1.0)


def test_what_comes_back_twice_is_cut_off() -> None:
    """A probe at decoding that brings everything back leaves nothing hidden, and nothing is beyond the whole."""
    (row,) = lost_shares(study(FULL | {("", "forced_opening"): (100, 100)})).to_dict("records")
    assert (row["garbled"], row["hidden"], row["lost"]) == (1.0, 0.0, 0.0)
    (row,) = lost_shares(study(FULL | {("relearning k=50", "greedy"): (50, 20)})).to_dict("records")
    assert row["hidden"] == 0.0 and row["lost"] == pytest.approx(1 - 0.20 / 0.60)


def test_nothing_is_said_where_little_was_lost_or_probes_lack() -> None:
    (row,) = lost_shares(study(FULL, before=(55, 20))).to_dict("records")
    assert row["status"] == "too little lost" and np.isnan(row.get("garbled", np.nan))
    assert probe_effects(study(FULL, before=(55, 20))).empty
    (row,) = lost_shares(study({("", "grammar"): (60, 30)})).to_dict("records")
    assert row["status"] == "probes missing"
    assert not probed_runs(study(FULL, before=(20, 20)))  # was never learned
    assert lost_shares(study({}))["status"].tolist() == ["probes missing"]  # nothing beside greedy decoding
    assert lost_shares(cast(StudyFolder, SimpleNamespace(probing=pd.DataFrame()))).empty


def test_a_probe_fitted_to_the_benchmarks_own_skill_is_that_probe() -> None:
    """Of code, biases are fitted on programs; those fitted on word problems stand beside and say nothing of it."""
    ways = ("output_biases", "output_biases shuffled=True")
    renamed = {way: way.replace("output_biases", "output_biases skill=code") for way in ways}
    own = {(what, renamed.get(way, way)): right for (what, way), right in FULL.items()}
    made = study(own | {("", "output_biases"): (0, 0), ("", "output_biases shuffled=True"): (0, 0)})
    made.probing["benchmark"] = "code"
    of_code, of_maths = (probe_effects(one).set_index("probe")["net"] for one in (made, study(FULL)))
    assert of_code["biases"] == of_maths["biases"] and of_code["grammar"] == of_maths["grammar"]


def test_a_ratio_of_means_has_students_as_units() -> None:
    """Against the closed form where the whole is constant: Student's t of a mean."""
    found = mean([0.1, 0.2, 0.6])
    error = np.std([0.1, 0.2, 0.6], ddof=1) / np.sqrt(3)
    assert found.value == pytest.approx(0.3) and found.high - found.value == pytest.approx(4.302652730 * error)
    same = ratio([0.2, 0.4], [0.4, 0.8])  # every student has the same share: no scatter of the ratio
    assert (same.value, same.low, same.high) == pytest.approx((0.5, 0.5, 0.5))
    assert np.isnan(ratio([0.2], [0.4]).low) and np.isnan(ratio([], []).value)


def test_intervals_cover_the_share_of_many_students() -> None:
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(400):
        loss = rng.uniform(0.3, 0.9, 6)
        found = ratio(0.4 * loss + rng.normal(0, 0.05, 6), loss)
        hits += found.low <= 0.4 <= found.high
    assert 0.91 <= hits / 400 <= 0.99


def test_counts_are_those_of_the_ledger() -> None:
    def rows(dose: int, intervention: str, answering: str, right: list[bool], benchmark: str = "maths") -> pd.DataFrame:
        return pd.DataFrame({
            "student": "w", "arm": "a", "distillation_seed": 0, "seed": 0, "capacity": 10, "dose": dose,
            "intervention": intervention, "answering": answering, "benchmark": benchmark, "depth": [1, 1, 2, 2],
            "variant": "original" if benchmark == "maths" else "dialogue", "item": list("abcd"),
            "verdict": np.where(right, "right", "wrong"), "nll_sum": 2.0, "gold_tokens": 4,
        })  # fmt: skip

    greedy = rows(0, "", "greedy", [True, True, True, False])
    plain = rows(640, "", "greedy", [True] * 4)  # a look with nothing beside it
    last = rows(1280, "", "greedy", [False] * 4)
    others = [rows(0, "", "grammar", [True] * 4), rows(1280, "twin", "greedy", [False, True, False, False])]
    probe = rows(1280, "twin", "greedy", [False] * 4, "probe")
    found = probing_counts(pd.concat([greedy, plain, last, *others, probe]))
    assert set(found["dose"]) == {0, 1280}
    alone = probing_counts(pd.concat([greedy, plain, last, others[1]]))  # dose 0 is what all is compared with
    assert set(alone["dose"]) == {0, 1280} and probing_counts(pd.concat([greedy, last])).empty
    key = ["dose", "intervention", "answering", "benchmark", "depth"]
    right = found.set_index(key)["right"]
    assert right[0, "", "greedy", "maths", 2] == 1 and right[1280, "twin", "greedy", "maths", 1] == 1
    own = found.set_index(key).xs((1280, "twin", "greedy", "probe", 0))
    assert own["items"] == 4 and own["nll"] == pytest.approx(0.5)
