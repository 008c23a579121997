"""O-LoRA: `lora` bit for bit with one task, the sum of the authors' code by numpy, and a task's end changes nothing."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from forgetting.errors import UsageError
from forgetting.mitigation.lora import LoRA
from forgetting.mitigation.o_lora import ADAPTER, OLoRA, adapted
from forgetting.testing.small import batch, differing, model, weights
from tests.mitigation.tuning import fitted

pytestmark = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft: forgetting[lora]")


@pytest.mark.parametrize("every", [0, 6])
def test_until_a_task_has_ended_it_is_lora_bit_for_bit(every: int) -> None:
    one, other = model(0), model(0)
    fitted(one, OLoRA(rank=2, multiple=3.0, every=every), steps=5)
    fitted(other, LoRA(rank=2, multiple=3.0), steps=5)
    assert not differing(one.state(), other.state())


def test_the_penalty_is_the_sum_of_the_authors_code() -> None:
    student, part = model(0), OLoRA(rank=2, every=3, tasks=3, strength=0.7)
    memory = fitted(student, part, steps=8)  # two tasks have ended
    assert int(memory.steps) == 8
    expected = 0.0
    for name, module in adapted(student):
        new = module.lora_A[ADAPTER].weight.detach().double().numpy()
        for old in memory.first[name].double().numpy():
            assert old.any()
            expected += float(np.abs(old @ new.T).sum())
    found = part.penalty(student, memory)
    assert found is not None and found.shape == (1,)
    assert float(found.detach()) == pytest.approx(0.7 * expected, rel=1e-5)


def test_at_a_tasks_end_the_weights_take_up_the_adapters_and_the_student_stays_as_it_was() -> None:
    student, part, data = model(0), OLoRA(rank=2, every=3, multiple=5.0), batch(4)
    memory = part.prepare(student, [])
    assert memory is not None
    with torch.no_grad():
        for _, module in adapted(student):
            module.lora_B[ADAPTER].weight.normal_(generator=torch.Generator().manual_seed(1))
    before, taught = student.logits(data.tokens_RBT), weights(student)
    for _ in range(3):
        part.after_step(student, memory)
    for name, module in adapted(student):
        first, second = (taught[f"{name}.lora_{side}.{ADAPTER}.weight"] for side in "AB")
        expected = taught[f"{name}.base_layer.weight"] + 16 / 2 * second @ first
        assert torch.allclose(module.base_layer.weight, expected, atol=1e-6)
        assert torch.equal(memory.first[name][0], first) and not memory.first[name][1:].any()
        assert not module.lora_B[ADAPTER].weight.any()
        drawn, side = module.lora_A[ADAPTER].weight, first.shape[1] ** -0.5
        assert not torch.equal(drawn, first) and 0.5 * side < float(drawn.detach().abs().max()) <= side
    assert torch.allclose(student.logits(data.tokens_RBT), before, atol=1e-4)


def test_the_second_task_turns_away_from_the_first() -> None:
    def overlap(strength: float) -> float:
        student, part = model(0), OLoRA(rank=2, every=4, tasks=2, strength=strength, multiple=10.0)
        memory = fitted(student, part, steps=12)
        return sum(
            float((memory.first[n] @ m.lora_A[ADAPTER].weight.detach().mT).abs().sum()) for n, m in adapted(student)
        )

    assert overlap(5.0) < 0.8 * overlap(0.0)


def test_errors() -> None:
    for settings, message in (({"strength": -1.0}, "o_lora.strength"), ({"every": -1}, "o_lora.every"),
                              ({"tasks": 1}, "o_lora.tasks"), ({"rank": -1}, "lora.rank")):  # fmt: skip
        with pytest.raises(UsageError, match=rf"^{message}: "):
            OLoRA(**settings)
