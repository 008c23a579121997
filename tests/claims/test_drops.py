"""C1 and C2 on synthetic studies whose truth is known."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from forgetting.claims import ClaimVerdict
from tests.claims.synthetic import verdicts

DEVICES = ("rephrased", "renamed", "reordered", "distractor")
Costs = dict[str, Callable[[int], float]]


@pytest.fixture
def found(study: Callable[..., Path], make_arm: Callable[..., dict[str, Any]]) -> Callable[..., ClaimVerdict]:
    number = count()

    def of(claim: str, variants: Costs, **given: Any) -> ClaimVerdict:
        path = study(
            lambda *look: 0.9, [make_arm("high", "dialogue", shift=0.5)], capacities=(10_000, 30_000, 90_000),
            doses=(0, 1000), variants=variants, name=f"study{next(number)}", **given,
        )  # fmt: skip
        return verdicts((claim,), path)[claim]

    return of


def falling(capacity: int) -> float:
    return 3000 / capacity


def steady(capacity: int) -> float:
    return 0.2


def none(capacity: int) -> float:
    return 0.0


def test_small_models_lose_more_under_devices(found: Any) -> None:
    verdict = found("C1", {**dict.fromkeys(DEVICES, falling), "renumbered": none})
    assert verdict.verdict == "supported" and not verdict.exploratory
    assert verdict.parts[0].value == pytest.approx((0.3 + 0.1 + 1 / 30) / 3, abs=0.02)
    assert [rival.state for rival in verdict.rivals] == ["excluded"]
    assert any("shape of the drop" in note for note in verdict.notes)


@pytest.mark.slow
def test_no_order_and_other_items(found: Any) -> None:
    assert found("C1", dict.fromkeys(DEVICES, steady)).verdict == "contradicted"
    verdict = found("C1", dict.fromkeys((*DEVICES, "renumbered"), falling))
    assert verdict.verdict == "inconclusive" and "renumbered" in verdict.reason


def test_descriptions_that_cost_no_more_than_another_wording(found: Any) -> None:
    code = {"benchmarks": ("code",), "depths": (1,)}
    assert found("C2", {"functional": falling, "rephrased": none, "renumbered": none}, **code).verdict == "supported"
    assert found("C2", {"functional": none, "rephrased": steady}, **code).verdict == "contradicted"


def test_without_variants(found: Any) -> None:
    verdict = found("C1", {})
    assert verdict.verdict == "not_testable" and "takes a ledger with maths" in verdict.reason
