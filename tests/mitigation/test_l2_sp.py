"""L2-SP against numbers computed by hand and against a loop in plain torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from forgetting import losses
from forgetting.errors import UsageError
from forgetting.mitigation.l2_sp import L2SP
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Optimiser
from forgetting.testing.small import differing, gradients, model, pool, weights
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from tests.mitigation.tuning import RATE, by_hand, fitted


def moved(seed: int = 0) -> tuple[HuggingFaceModel, L2SP, dict[str, torch.Tensor]]:
    """A student half a unit or less away from where it was prepared."""
    student, part = model(seed), L2SP(0.3, "penalty")
    memory = part.prepare(student, [])
    assert memory is not None
    draw = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for _, p in student.named_parameters():
            p.add_(torch.rand(p.shape, generator=draw) - 0.5)
    return student, part, memory


def test_the_penalty_is_half_the_strength_times_the_squared_distance() -> None:
    student, part, memory = moved()
    squared = sum(
        float(((p.detach().double() - memory[name].double()) ** 2).sum()) for name, p in student.named_parameters()
    )
    assert part.penalty(student, memory).item() == pytest.approx(0.5 * 0.3 * squared, rel=1e-6)  # type: ignore[union-attr]


def test_one_weight_moved_by_two() -> None:
    student = model(0)
    part = L2SP(0.1, "penalty")
    memory = part.prepare(student, [])
    with torch.no_grad():
        next(iter(student.state().values())).view(-1)[3] += 2.0
    assert part.penalty(student, memory).item() == pytest.approx(0.2)  # type: ignore[union-attr]


def test_the_gradient_is_the_strength_times_the_distance() -> None:
    student, part, memory = moved()
    found = gradients(student, [part.penalty(student, memory)])  # type: ignore[list-item]
    for name, p in student.named_parameters():
        assert torch.allclose(found[name], 0.3 * (p.detach() - memory[name]), atol=1e-6), name


def test_the_memory_is_a_copy_and_stays() -> None:
    student = model(0)
    start = weights(student)
    memory = L2SP(0.3).prepare(student, [])
    with torch.no_grad():
        for p in student.state().values():
            p.add_(1.0)
    assert memory is not None
    assert not differing(memory, start)
    assert not any(m.requires_grad for m in memory.values())


@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
def test_a_fit_is_bit_for_bit_a_plain_loop_with_the_penalty(strength: float) -> None:
    encoded, optimiser = pool(40), Optimiser(batch_size=4, learning_rate=2e-3, warmup_steps=0, clip_norm=0.0)
    index = [np.arange(i, i + 4) for i in range(0, 40, 4)]
    student, part = model(0), L2SP(strength, "penalty")
    module = FitModule(
        student,
        lambda b: losses.cross_entropy(student, b),
        optimiser,
        total_steps=10,
        mitigation=part,
        memory=part.prepare(student, []),
    )
    fit(module, lambda: (encoded.batch(i, 4) for i in index))

    plain = model(0)
    plain.network.train()
    parameters = [p for _, p in plain.named_parameters()]
    start = [p.detach().clone() for p in parameters]
    adam = torch.optim.AdamW(parameters, lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    for i in index:
        adam.zero_grad()
        loss = losses.cross_entropy(plain, encoded.batch(i, 4))[0]
        distance = torch.stack([(p - s).square().sum() for p, s in zip(parameters, start, strict=True)]).sum()
        (loss + 0.5 * strength * distance).backward()
        adam.step()
    assert not differing(student.state(), plain.state())


@pytest.mark.parametrize("strength", [1.0, 30.0, 1e6])
def test_a_fit_is_bit_for_bit_a_plain_loop_with_the_pull(strength: float) -> None:
    one, other = model(0), model(0)
    start = weights(other)
    fitted(one, L2SP(strength))
    by_hand(other, lambda name, weight: weight.sub_(min(1.0, RATE * strength) * (weight - start[name])))
    assert not differing(one.state(), other.state())
    if strength == 1e6:  # all that a step does is taken off again
        assert all(torch.allclose(one.state()[name], start[name], atol=1e-7) for name in start)


@pytest.mark.parametrize("form", ["pull", "penalty"])
def test_a_stronger_pull_keeps_the_weights_nearer(form: Any) -> None:
    distances = []
    for strength in (0.0, 10.0, 300.0):
        student = model(0)
        start = weights(student)
        fitted(student, L2SP(strength, form))
        distances.append(sum(float((student.state()[n] - start[n]).square().sum()) for n in start))
    assert distances[0] > distances[1] > distances[2] > 0


def test_the_default_does_something_at_the_default_rate() -> None:
    """A quarter of the way at least is taken back within the steps of a short run."""
    plain, pulled = model(0), model(0)
    start = weights(plain)
    fitted(plain, L2SP(0.0), steps=40)
    fitted(pulled, L2SP(), steps=40)
    far, near = (sum(float((m.state()[n] - start[n]).square().sum()) for n in start) ** 0.5 for m in (plain, pulled))
    assert near < 0.75 * far


def test_bad_form() -> None:
    with pytest.raises(UsageError, match=r"^l2_sp\.form: must be pull or penalty, got 'pulls'"):
        L2SP(1.0, "pulls")  # type: ignore[arg-type]


@pytest.mark.parametrize("strength", [-0.1, float("nan"), float("inf")])
def test_bad_strength(strength: float) -> None:
    with pytest.raises(UsageError, match=r"l2_sp\.strength: must be a finite number, 0 or more, got "):
        L2SP(strength)
