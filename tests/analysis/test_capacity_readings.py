"""Thresholds read in three ways: answers by hand, counts by hand, students whose thresholds are known."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.capacity_readings import READINGS, arm_looks, capacity_thresholds
from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.well_formed import FEWEST, given_well_formed, is_well_formed, well_formed_counts
from forgetting.errors import UsageError
from forgetting.record.schema import ScoreRow
from forgetting.world.vocabulary import vocabulary

SIZES = (10_000, 20_000, 40_000, 80_000)
NLL = {0: 18.0, 100: 6.0, 200: 3.5}  # of the probe, by dose


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        ("12 + 5 = 17 ; 17 - 3 = 14 ; answer 14", True),
        ("12 + 5 = 30 ; answer 2", True),  # wrong, but said in form
        ("18 28 subtract > 18 - 2 = 14 ; answer 14", False),  # a garbled opening, and the right number
        ("12 + 5 = 17 ; hello ; answer 17", False),
        ("12 + 5 = 17", False),
        ("answer 14", False),
        ("", False),
    ],
)
def test_form_is_equations_and_a_final_answer(answer: str, good: bool) -> None:
    assert is_well_formed(answer) is good


def ledger_row(answer: str, verdict: str, dose: int, **more: Any) -> dict[str, Any]:
    tokens = [vocabulary()[word] for word in answer.split()]
    return {"student": "s", "arm": "dialogue", "distillation_seed": 0, "seed": 0, "capacity": 9, "benchmark": "maths",
            "variant": "original", "dose": dose, "verdict": verdict, "answer": tokens, **more}  # fmt: skip


def test_counts_and_retention_by_hand() -> None:
    formed, garbled = "1 + 1 = 2 ; answer 2", "1 1 > = 2 ; answer 2"
    rows = [ledger_row(formed, "right", 0)] * 36 + [ledger_row(formed, "wrong", 0)] * 4
    rows += [ledger_row(formed, "right", 9)] * 10 + [ledger_row(formed, "wrong", 9)] * 10
    rows += [ledger_row(garbled, "right", 9)] * 15 + [ledger_row("", "unparsed", 9)] * 5
    rows += [ledger_row(formed, "right", 9, variant="renamed"), ledger_row("", "", 9, benchmark="probe")]
    rows += [ledger_row("2", "right", 9, benchmark="lookup"), ledger_row("", "unparsed", 9, benchmark="lookup")]
    counts = well_formed_counts(pd.DataFrame(rows))
    told = counts.set_index(["benchmark", "dose"])[["items", "well_formed", "right"]]
    assert told.loc[("maths", 9)].tolist() == [40, 20, 10] and told.loc[("lookup", 9)].tolist() == [2, 1, 1]
    found = given_well_formed(counts).set_index(["benchmark", "dose"])
    assert found.loc[("maths", 9), "rate"] == 0.5
    assert found.loc[("maths", 9), "retention"] == pytest.approx((10 / 20) / (36 / 40))
    fewer = counts.assign(well_formed=counts["well_formed"].where(counts["dose"] == 0, FEWEST - 1))
    assert math.isnan(given_well_formed(fewer).set_index(["benchmark", "dose"]).loc[("maths", 9), "retention"])


def study(kept: Callable[[float], float], stuck: int = 0, form: float = 1.0, slow: int = 0) -> StudyFolder:
    """Eight students a size whose retention at dose 200 is ``kept`` of log10 of their parameters, about a scatter.

    ``stuck`` students of each size know little at dose 0; ``form`` is the share of well-formed answers at the last
    dose, of which all that is retained is right; ``slow`` students of each size never get below NLL 6.
    """
    rows, counts = list[dict[str, Any]](), list[dict[str, Any]]()
    for size in SIZES:
        for student in range(8):
            rng = np.random.default_rng([size, student])
            base = 0.4 if student < stuck else 0.95
            last = float(np.clip(kept(math.log10(size)) + 0.03 * rng.normal(), 0, 1))
            last = 0.1 if student < stuck else last
            run = {"student": f"{size}", "capacity": size, "arm": "dialogue", "distillation_seed": student,
                   "seed": student}  # fmt: skip
            for dose, share in ((0, 1.0), (100, 0.99), (200, last)):
                nll = 6.5 if dose and student < slow else NLL[dose]
                row = dict.fromkeys(ScoreRow.__dataclass_fields__) | run | {"dose": dose, "variant": "original"}
                rows.append(row | {"benchmark": "maths", "skill": "maths", "items": 500, "chance": 0.0, "status": "ok",
                                   "accuracy": base * share, "retention": share,
                                   "delta_nll": -math.log(max(share, 1e-3))})  # fmt: skip
                rows.append(row | {"benchmark": "probe", "skill": "dialogue", "variant": "new", "nll": nll})
                well = round(500 * (form if dose == 200 else 1))
                right = min(well, round(500 * base * share))
                counts.append(run | {"benchmark": "maths", "dose": dose, "items": 500, "well_formed": well,
                                     "right": right})  # fmt: skip
    found = StudyFolder(Path("simulated"), {"arms": [{"name": "dialogue", "contamination": {"name": "dialogue"}}]})
    found.__dict__ |= {"scores": pd.DataFrame(rows), "ledger": None, "arm_names": ("dialogue",),
                       "well_formed": pd.DataFrame(counts)}  # fmt: skip
    return found


def rising(size: float) -> float:
    return float(np.clip(0.5 + (size - 4.45) * 1.2, 0.0, 1.0))


def test_the_threshold_is_where_students_were_made_to_cross() -> None:
    found = capacity_thresholds(study(rising), dose=200, levels=(0.5,), nll=(3.5,)).set_index(["at", "reading"])
    for at in ("dose 200", "probe NLL 3.5"):  # every student learns alike here, so the two agree
        for reading in READINGS:
            row = found.loc[(at, reading)]
            assert row["status"] == "located" and row["students"] == 32 and row["not_reached"] == 0
            assert row["low"] <= 10**4.45 <= row["high"] and row["high"] / row["low"] < 2.01


def test_what_is_lost_in_form_is_not_lost_given_form() -> None:
    looks = arm_looks(study(lambda _: 0.5, form=0.5), "dialogue", "maths")
    last = looks[looks["dose"] == 200]
    assert last["retention"].mean() == pytest.approx(0.5, abs=0.03)
    assert last["given well-formed"].mean() > 0.9 and set(last["well_formed"]) == {0.5}


def test_students_that_never_learn_as_much_are_counted_and_stuck_ones_can_be_left_out() -> None:
    at_learning = capacity_thresholds(study(rising, slow=3), dose=200, levels=(0.5,), nll=(3.5,))
    by_place = at_learning[at_learning["reading"] == "retention"].set_index("at")
    assert by_place.loc["probe NLL 3.5", ["students", "not_reached"]].tolist() == [20, 12]
    assert by_place.loc["dose 200", ["students", "not_reached"]].tolist() == [32, 0]
    every, without = (
        capacity_thresholds(study(rising, stuck=2), dose=200, levels=(0.5,), nll=(), leave_out_stuck=out).iloc[0]
        for out in (False, True)
    )
    assert (every["students"], without["students"]) == (32, 24)
    assert without["value"] < every["value"] or every["status"] != "located"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"skill": "math"}, "skill: .*maths"),
        ({"arms": ["dialog"]}, "arm: .*dialogue"),
        ({"dose": 150}, "dose: .*100, 200"),
        ({"levels": (1.5,)}, "levels: .*below 1"),
        ({"nll": (0.0,)}, "nll: .*entropy of dialogue"),
    ],
)
def test_bad_calls_are_one_line(given: dict[str, Any], line: str) -> None:
    with pytest.raises(UsageError, match=line):
        capacity_thresholds(study(rising), **({"dose": 200, "nll": (3.5,)} | given))
