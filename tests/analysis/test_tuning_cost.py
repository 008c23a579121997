"""What a fine-tuning cost: the dose from which less is kept for good, and how large a loss is not excluded."""

from __future__ import annotations

import math

import numpy as np
import pytest

from forgetting.analysis.curves import ForgettingCurve
from forgetting.analysis.metrics import Status
from forgetting.analysis.tuning_cost import SkillCost, skill_cost

DOSES = np.array([0, 10, 20, 40])


def cost(high: list[float], low: list[float] | None = None, *, learned: bool = True) -> SkillCost:
    bounds = np.array(high), np.array(low or [value - 0.2 for value in high])
    middle = (bounds[0] + bounds[1]) / 2
    if not learned:
        bounds, middle = (np.full(4, np.nan), np.full(4, np.nan)), np.full(4, np.nan)
    accuracy = np.array([0.8, 0.7, 0.6, 0.5])
    status = Status.ok.name if learned else Status.not_learned.name
    return skill_cost(
        ForgettingCurve(
            "s", 1, "a", "sums", "original", None, None, status, DOSES, accuracy, accuracy - 0.1, accuracy + 0.1,
            middle, bounds[1], bounds[0], accuracy, accuracy, accuracy, np.full(4, 50), np.full(4, 1),
        )
    )  # fmt: skip


@pytest.mark.parametrize(
    ("high", "dose"),
    [
        ([1.0, 1.1, 1.1, 1.1], None),
        ([1.0, 1.1, 1.1, 0.9], 40),
        ([1.0, 0.9, 0.9, 0.9], 10),
        ([1.0, 0.9, 1.1, 0.9], 40),  # it came back in between
        ([1.0, 0.9, 0.9, 1.0], None),
    ],
)
def test_a_loss_is_from_the_dose_on_from_which_it_lasts(high: list[float], dose: int | None) -> None:
    assert cost(high).below_from == dose


def test_a_skill_that_was_not_learned_has_no_loss() -> None:
    row = cost([1.0] * 4, learned=False)
    assert not row.learned and row.below_from is None and math.isnan(row.not_excluded) and row.accuracy_0 == 0.8


def test_what_the_interval_does_not_exclude() -> None:
    assert cost([1.0, 1.1, 1.1, 1.0], [1.0, 0.9, 0.9, 0.88]).not_excluded == pytest.approx(0.12)
    assert cost([1.0, 1.2, 1.2, 1.2], [1.0, 1.0, 1.0, 1.05]).not_excluded == 0
