"""Orderings on simulated students in which they hold, are broken, or cannot be told."""

from __future__ import annotations

import math
from typing import Any

import pytest

from forgetting.analysis.orderings import ORDERINGS, Ordering, orderings
from tests.analysis.test_fronts import replay, study


def verdicts(students: int = 8, noise: float = 0.01, **lost: float) -> dict[tuple[str, str], str]:
    """By ordering and method, where each method loses so much a nat of log NLL."""
    parts: dict[str, tuple[Any, float]] = {
        "dialogue": ("none", 1.0),
        "low": ({"name": "low_rate", "multiple": 0.5}, 1.0),
        "wise": ({"name": "wise_ft", "alpha": 0.5}, 1.0),
        "replay": (replay(0.05), 1.0),
        "written": ({"name": "self_replay", "prompts": "given", "share": 0.05}, 1.0),
        "ewc": ({"name": "ewc", "strength": 10.0}, 1.0),
        "lora": ({"name": "lora", "rank": 2}, 1.0),
    }
    arms = {name: (*part, lost.get(name, 0.3)) for name, part in parts.items()}
    table = orderings(study(arms, students, noise=noise)).to_dict("records")
    return {(row["ordering"], row["method"]): row["verdict"] for row in table}


def test_where_the_literature_is_right() -> None:
    found = verdicts(low=0.2, replay=0.05, written=0.05, ewc=0.25, lora=0.25, wise=0.2)
    assert found == {
        ("S1", "all rates"): "pass", ("S2", "replay"): "pass", ("S2", "self_replay"): "pass", ("S5", "lora"): "pass",
        ("S6", "ewc"): "pass", ("S9", "wise_ft"): "pass",
    }  # fmt: skip


def test_where_it_is_wrong() -> None:
    found = verdicts(low=0.3, replay=0.5, written=0.2, ewc=0.1, lora=0.1, wise=0.05)
    assert {found[key] for key in found if key != ("S1", "all rates")} == {"fail"}


def test_of_one_student_nothing_is_told() -> None:
    assert set(verdicts(students=1, low=0.2, replay=0.05).values()) == {"open"}


@pytest.mark.parametrize(
    ("claimed", "low", "high", "expected"),
    [
        ("more", 0.01, 0.2, "pass"), ("more", -0.1, 0.2, "open"), ("more", -0.2, -0.1, "fail"),
        ("no more", -0.3, 0.04, "pass"), ("no more", 0.0, 0.1, "open"), ("no more", 0.06, 0.1, "fail"),
        ("alike", -0.04, 0.04, "pass"), ("alike", -0.1, 0.04, "open"), ("alike", 0.06, 0.1, "fail"),
        ("alike", -0.2, -0.1, "fail"), ("more", math.nan, math.nan, "open"), ("alike", math.nan, math.nan, "open"),
    ],
)  # fmt: skip
def test_verdicts(claimed: Any, low: float, high: float, expected: str) -> None:
    assert Ordering("S0", "", "", "a", "b", claimed).verdict(low, high) == expected


def test_a_study_without_the_methods_has_no_rows() -> None:
    assert orderings(study({"dialogue": ("none", 1.0, 0.3)}, 4)).empty
    few = orderings(study({"dialogue": ("none", 1.0, 0.3), "ewc": ({"name": "ewc", "strength": 1.0}, 1.0, 0.3)}, 4))
    assert few[["ordering", "method", "against"]].to_numpy().tolist() == [["S6", "ewc", "plain"]]
    assert len({ordering.says for ordering in ORDERINGS}) == len(ORDERINGS)
