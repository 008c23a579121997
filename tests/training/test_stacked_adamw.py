"""AdamW over a stack against torch's, one replica at a time: rates, clipping, steps, freezing, state."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from forgetting.training.adamw import StackedAdamW

SHAPES = ((3, 2), (4,))


def gradients(step: int, replica: int, seed: int) -> list[Tensor]:
    """What both sides are given at a step, now and then large enough to be clipped."""
    draw = torch.Generator().manual_seed(1000 * seed + 10 * step + replica)
    scale = 5.0 if (step + replica) % 3 == 0 else 0.05
    return [scale * torch.randn(shape, generator=draw) for shape in SHAPES]


def start(replica: int) -> list[Tensor]:
    draw = torch.Generator().manual_seed(replica)
    return [torch.randn(shape, generator=draw) for shape in SHAPES]


def stack(replicas: int) -> list[nn.Parameter]:
    return [nn.Parameter(torch.stack(parts)) for parts in zip(*map(start, range(replicas)), strict=True)]


def torchs(replica: int, steps: int, rate: float, clip: float, decay: float, seed: int) -> list[Tensor]:
    """The weights after torch's own steps at the rate of a warm-up of five."""
    own = [nn.Parameter(p) for p in start(replica)]
    adam = torch.optim.AdamW(own, lr=rate, betas=(0.9, 0.98), weight_decay=decay)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: min(1.0, (step + 1) / 5))
    for step in range(steps):
        for p, g in zip(own, gradients(step, replica, seed), strict=True):
            p.grad = g
        torch.nn.utils.clip_grad_norm_(own, clip)
        adam.step()
        schedule.step()
    return [p.detach() for p in own]


def advance(adam: StackedAdamW, parameters: list[nn.Parameter], steps: range, seed: int) -> None:
    for step in steps:
        adam.param_groups[0]["lr"] = min(1.0, (step + 1) / 5)
        adam.zero_grad()
        replicas = len(parameters[0])
        each = [torch.stack(g) for g in zip(*(gradients(step, r, seed) for r in range(replicas)), strict=True)]
        sum((p * g).sum() for p, g in zip(parameters, each, strict=True)).backward()  # type: ignore[union-attr]
        adam.step()


@settings(max_examples=15, deadline=None)
@given(
    replicas=st.integers(1, 4),
    steps=st.integers(1, 30),
    decay=st.sampled_from([0.0, 0.1]),
    seed=st.integers(0, 100),
)
def test_every_replica_moves_as_torchs_adamw_moves_it(replicas: int, steps: int, decay: float, seed: int) -> None:
    rates = [0.01 * 2**r for r in range(replicas)]
    clips = [0.5 * (r + 1) for r in range(replicas)]
    parameters = stack(replicas)
    adam = StackedAdamW(parameters, torch.tensor(rates), weight_decay=decay, clip_norm_R=torch.tensor(clips))
    advance(adam, parameters, range(steps), seed)
    for r in range(replicas):
        for own, expected in zip(parameters, torchs(r, steps, rates[r], clips[r], decay, seed), strict=True):
            torch.testing.assert_close(own.detach()[r], expected, rtol=2e-6, atol=2e-7)


def test_a_rate_of_zero_changes_nothing() -> None:
    parameters = stack(2)
    adam = StackedAdamW(parameters, torch.tensor([0.0, 0.1]), weight_decay=0.1)
    advance(adam, parameters, range(5), 0)
    for own, first in zip(parameters, stack(2), strict=True):
        assert torch.equal(own[0], first[0])
        assert not torch.equal(own[1], first[1])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_replica_that_diverges_does_not_touch_the_others(bad: float) -> None:
    finals = []
    for poison in (False, True):
        parameters = stack(3)
        adam = StackedAdamW(parameters, torch.full((3,), 0.1), clip_norm_R=torch.ones(3))
        advance(adam, parameters, range(3), 0)
        if poison:
            with torch.no_grad():
                parameters[0][1] = bad
        advance(adam, parameters, range(3, 6), 0)
        finals.append([p.detach().clone() for p in parameters])
    for healthy, other in zip(*finals, strict=True):
        assert torch.equal(healthy[[0, 2]], other[[0, 2]])


def test_the_state_put_back_goes_on_as_if_nothing_had_happened() -> None:
    whole, cut = stack(2), stack(2)
    adam = StackedAdamW(whole, torch.tensor([0.1, 0.2]))
    assert adam.tensors() == [{}, {}]
    advance(adam, whole, range(6), 1)
    first = StackedAdamW(cut, torch.tensor([0.1, 0.2]))
    advance(first, cut, range(3), 1)
    kept = [{name: value.clone() for name, value in tensors.items()} for tensors in first.tensors()]
    second = StackedAdamW(cut, torch.tensor([0.1, 0.2]))
    second.load_tensors(kept)
    advance(second, cut, range(3, 6), 1)
    assert all(torch.equal(p, q) for p, q in zip(whole, cut, strict=True))
