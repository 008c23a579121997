"""The gate: within the budget a block passes bit for bit, beyond it the largest factor within the budget is taken."""

from __future__ import annotations

import math

import pytest
import torch

from forgetting.errors import UsageError
from forgetting.mitigation.gate import HALVINGS, Gate
from forgetting.testing.small import differing, model, samples, weights
from tests.mitigation.tuning import by_hand, fitted, kl, moved


def test_a_block_beyond_the_budget_is_scaled_to_it() -> None:
    student, part = model(0), Gate(0.02, every=1, pool=8)
    memory = part.prepare(student, samples(8, seed=1))
    assert memory is not None
    for block in range(2):
        begin = weights(student)
        moved(student, seed=block)
        end = weights(student)
        assert part.divergence(student, memory) == pytest.approx(
            kl(model(0), student, memory.answers).item(), abs=1e-6, rel=1e-6
        )
        assert part.divergence(student, memory) > part.budget
        part.after_step(student, memory)
        assert part.divergence(student, memory) <= part.budget
        after = weights(student)
        name = max(end, key=lambda n: float((end[n] - begin[n]).abs().max()))
        factor = float(((after[name] - begin[name]) / (end[name] - begin[name])).median())
        for n in end:
            assert torch.allclose(after[n], begin[n] + factor * (end[n] - begin[n]), atol=1e-6), n
        for n, weight in student.named_parameters():  # a little more would be too much
            weight.data.copy_(begin[n] + (factor + 1.01 / 2**HALVINGS) * (end[n] - begin[n]))
        assert part.divergence(student, memory) > part.budget
        for n, weight in student.named_parameters():
            weight.data.copy_(after[n])
        assert not differing(memory.begin, after)


def test_within_the_budget_a_fit_is_bit_for_bit_plain() -> None:
    one, other = model(0), model(0)
    fitted(one, Gate(100.0, every=2, pool=8))
    by_hand(other)
    assert not differing(one.state(), other.state())


def test_a_fit_ends_within_the_budget_that_a_plain_one_exceeds() -> None:
    gated, plain, part = model(0), model(0), Gate(2e-3, every=5, pool=8)
    memory = fitted(gated, part, steps=20)
    by_hand(plain, steps=20)
    assert 0 < part.divergence(gated, memory) <= part.budget < part.divergence(plain, memory)


def test_between_the_ends_of_blocks_nothing_happens() -> None:
    student, part = model(0), Gate(1e-6, every=3, pool=4)
    memory = part.prepare(student, samples(4, seed=1))
    moved(student)
    before = weights(student)
    part.after_step(student, memory)
    part.after_step(student, memory)
    assert not differing(student.state(), before)
    part.after_step(student, memory)
    assert differing(student.state(), before) and int(part.kept(memory)["steps"]) == 3


@pytest.mark.parametrize("budget", [0.0, -1.0, math.inf, math.nan])
def test_bad_budget(budget: float) -> None:
    with pytest.raises(UsageError, match=r"^gate\.budget: must be a finite number above 0, got "):
        Gate(budget)
