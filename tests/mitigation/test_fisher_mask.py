"""The hard mask: the weights with the largest Fisher information stay bit for bit, and all others are trained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from forgetting.errors import UsageError
from forgetting.mitigation.ewc import EWC
from forgetting.mitigation.fisher_mask import FisherMask
from forgetting.testing.small import differing, model, samples, weights
from tests.mitigation.test_ewc import gradient_of_each
from tests.mitigation.tuning import by_hand, fitted

PART = FisherMask(0.1, prompts=5, draws=3, max_new_tokens=12, seed=4)


def held(part: FisherMask, seed: int = 0) -> dict[str, Tensor]:
    memory = part.prepare(model(seed), samples(part.memory_samples(), seed=1))
    assert memory is not None
    return memory.held


def test_those_with_the_largest_information_over_all_tensors_are_held() -> None:
    each = gradient_of_each(model(0), EWC(prompts=5, draws=3, max_new_tokens=12, seed=4))
    found = held(PART)
    fisher = torch.cat([torch.stack([one[name].square() for one in each]).mean(0).flatten() for name in found])
    chosen = torch.cat([own.flatten() for own in found.values()])
    assert int(chosen.sum()) == round(0.1 * len(chosen))
    assert float(fisher[chosen].min()) >= (1 - 1e-4) * float(fisher[~chosen].max()) > 0
    assert len({round(float(own.double().mean()), 3) for own in found.values()}) > 3  # not alike in each tensor


def test_a_fit_is_bit_for_bit_a_plain_loop_in_which_they_are_put_back() -> None:
    one, other = model(0), model(0)
    start = weights(other)
    mask = fitted(one, PART).held

    def after(name: str, weight: Tensor) -> None:
        weight[mask[name]] = start[name][mask[name]]

    by_hand(other, after)
    assert not differing(one.state(), other.state())
    for name, weight in one.state().items():
        assert torch.equal(weight[mask[name]], start[name][mask[name]])
    moved = sum(int((w != start[n]).sum()) for n, w in one.state().items())
    total = sum(w.numel() for w in start.values())
    assert 0.5 * total < moved <= total - round(0.1 * total)


@pytest.mark.parametrize("share", [0.05, 0.4, 0.95])  # at the last, weights without any information too
def test_the_control_holds_as_many_by_chance(share: float) -> None:
    chosen = held(FisherMask(share, prompts=2, draws=1))
    drawn = [held(FisherMask(share, random=True, seed=seed)) for seed in (0, 0, 1)]
    count = round(share * sum(own.numel() for own in chosen.values()))
    assert {sum(int(own.sum()) for own in one.values()) for one in (chosen, *drawn)} == {count}
    assert not differing(drawn[0], drawn[1]) and differing(drawn[0], drawn[2]) and differing(drawn[0], chosen)
    assert FisherMask(share, random=True).memory_samples() == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 1.0}, "share: must be from 0 to below 1, got 1.0"),
        ({"share": -0.1}, "share: must be from 0 to below 1, got -0.1"),
        ({"prompts": 0}, "prompts: must be 1 or more, got 0"),
        ({"draws": 0}, "draws: must be 1 or more, got 0"),
    ],
)
def test_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=rf"^fisher_mask\.{message}"):
        FisherMask(**given)
