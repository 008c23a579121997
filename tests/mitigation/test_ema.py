"""The moving average against its sum written out in double precision."""

from __future__ import annotations

import pytest
import torch

from forgetting.errors import UsageError
from forgetting.mitigation.ema import EMA
from forgetting.testing.small import differing, model, weights
from tests.mitigation.tuning import by_hand, fitted, moved


def test_the_average_is_the_weighted_sum_of_start_and_steps() -> None:
    student, part, decay, steps = model(0), EMA(0.8), 0.8, 7
    path, memory = [weights(student)], part.prepare(student, [])
    for step in range(steps):
        moved(student, seed=step)
        part.after_step(student, memory)
        path.append(weights(student))
    with part.at_look(student, memory):
        for name, value in student.state().items():
            expected = decay**steps * path[0][name].double()
            for step in range(1, steps + 1):
                expected += (1 - decay) * decay ** (steps - step) * path[step][name].double()
            assert torch.allclose(value.double(), expected, atol=1e-6, rtol=0), name
    assert not differing(path[-1], student.state())
    assert not differing(part.kept(memory), memory or {})


def test_before_the_first_step_it_is_the_start_and_training_is_plain() -> None:
    one, other, part = model(0), model(0), EMA(0.9)
    with part.at_look(one, part.prepare(one, [])):
        assert not differing(one.state(), other.state())
    memory = fitted(one, part)
    by_hand(other)
    assert not differing(one.state(), other.state())
    assert len(differing(memory, one.state())) == len(memory)


def test_the_average_moves_in_bfloat16_too() -> None:
    student, part = model(0), EMA(0.99)
    student.network.bfloat16()
    start, memory = weights(student), part.prepare(student, [])
    moved(student, size=0.02)
    for _ in range(200):
        part.after_step(student, memory)
    assert memory is not None
    for name, average in memory.items():
        expected = start[name].double().lerp(student.state()[name].double(), 1 - 0.99**200)
        assert torch.allclose(average.double(), expected, atol=1e-6), name


@pytest.mark.parametrize("decay", [-0.1, 1.0, float("nan")])
def test_bad_decay(decay: float) -> None:
    with pytest.raises(UsageError, match=r"^ema\.decay: must be from 0 to below 1, got "):
        EMA(decay)
