"""The rate that a mitigation lends: it is the arm's."""

from __future__ import annotations

from typing import cast

import pytest

from forgetting import registry
from forgetting.contracts import Contamination
from forgetting.errors import UsageError
from forgetting.mitigation.lora import LoRA
from forgetting.mitigation.low_rate import LowRate
from forgetting.spec import Optimiser
from forgetting.study.arms import Arm

NOISE = cast(Contamination, registry.build("contamination", "noise"))


def test_it_is_the_rate_multiple_of_the_arm() -> None:
    given = Optimiser(learning_rate=3e-3)
    low, multiple = Arm("a", NOISE, mitigation=LowRate(0.25)), Arm("a", NOISE, rate_multiple=0.25)
    assert low.optimiser(given) == multiple.optimiser(given)
    assert low.optimiser(given).learning_rate == pytest.approx(7.5e-4, rel=1e-12)


def test_adapters_bring_their_own_rate_and_no_adapters_none() -> None:
    given = Optimiser(learning_rate=1e-3)
    assert Arm("a", NOISE, mitigation=LoRA(multiple=10.0)).optimiser(given).learning_rate == pytest.approx(1e-2)
    assert Arm("a", NOISE, mitigation=LoRA(rank=0, multiple=10.0)).optimiser(given) == given


@pytest.mark.parametrize("multiple", [0.0, -1.0, 1.5, float("nan")])
def test_bad_multiple(multiple: float) -> None:
    with pytest.raises(UsageError, match=r"^low_rate\.multiple: must be above 0 and at most 1, got "):
        LowRate(multiple)
