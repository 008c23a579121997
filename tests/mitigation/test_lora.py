"""LoRA: the weights stay bit for bit, the adapters learn, and a student with fresh adapters is the same student."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

from forgetting import losses
from forgetting.errors import UsageError
from forgetting.mitigation.lora import LoRA
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Optimiser
from forgetting.testing.small import batch, differing, model, pool, weights
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from tests.mitigation.tuning import by_hand, fitted

pytestmark = pytest.mark.skipif(importlib.util.find_spec("peft") is None, reason="needs peft: forgetting[lora]")


def trained(student: HuggingFaceModel, part: LoRA, steps: int = 12) -> None:
    encoded, memory = pool(steps * 4), part.prepare(student, [])
    optimiser = Optimiser(batch_size=4, learning_rate=2e-2, warmup_steps=2)
    module = FitModule(
        student, lambda b: losses.cross_entropy(student, b), optimiser, total_steps=steps, mitigation=part,
        memory=memory,
    )  # fmt: skip
    fit(module, lambda: (encoded.batch(np.arange(i, i + 4), 4) for i in range(0, steps * 4, 4)))


def test_fresh_adapters_change_nothing_and_few_parameters_are_trainable() -> None:
    student, data = model(0), batch(4)
    before, capacity = student.logits(data.tokens_RBT), student.capacity
    LoRA(rank=2).prepare(student, [])
    assert torch.equal(student.logits(data.tokens_RBT), before)
    trainable = dict(student.named_parameters())
    assert trainable and all("lora_" in name for name in trainable)
    # Rank 2 beside q, o (16x16), k, v (8x16) and gate, up, down (16x16): 2 x (inputs + outputs) each.
    assert sum(p.numel() for p in trainable.values()) == 2 * (5 * 32 + 2 * 24)
    assert student.capacity == capacity


def test_the_weights_stay_and_the_adapters_learn() -> None:
    student, data = model(0), batch(16)
    before = weights(student)
    with torch.no_grad():
        loss = float(losses.cross_entropy(student, data))
    trained(student, LoRA(rank=4))
    after = {name.replace(".base_layer", ""): value for name, value in student.state().items()}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    with torch.no_grad():
        assert float(losses.cross_entropy(student, data)) < loss - 0.05


def test_a_state_comes_back() -> None:
    one, other = model(0), model(0)
    trained(one, LoRA(rank=2), steps=4)
    LoRA(rank=2).prepare(other, [])
    other.load_state(weights(one))
    assert torch.equal(one.logits(batch(2).tokens_RBT), other.logits(batch(2).tokens_RBT))


def test_rank_0_is_full_fine_tuning() -> None:
    one, other = model(0), model(0)
    fitted(one, LoRA(rank=0))
    by_hand(other)
    assert not differing(one.state(), other.state())


@pytest.mark.parametrize(("stabilised", "scale"), [(False, 6 / 4), (True, 6 / 2)])
def test_what_adapters_add_is_scaled_by_the_rank_or_its_root(stabilised: bool, scale: float) -> None:
    student = model(0)
    LoRA(rank=4, alpha=6.0, rank_stabilised=stabilised).prepare(student, [])
    student.network.double()
    first = dict(student.network.named_modules())["model.layers.0.mlp.up_proj"]
    draw = torch.Generator().manual_seed(0)
    rows, down, up = (
        torch.randn(3, 16, generator=draw).double(),
        torch.randn(4, 16, generator=draw),
        torch.randn(16, 4, generator=draw),
    )
    with torch.no_grad():
        first.lora_A["default"].weight.copy_(down)
        first.lora_B["default"].weight.copy_(up)
        expected = rows @ (first.base_layer.weight + scale * up.double() @ down.double()).T
        assert torch.allclose(first(rows), expected, atol=1e-6, rtol=1e-6)


def test_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^lora\.targets: Target modules"):
        LoRA(targets=("no_such_module",)).prepare(model(0), [])
    for settings, message in (
        ({"rank": -1}, "rank"),
        ({"alpha": 0.0}, "alpha"),
        ({"multiple": 0.0}, "multiple"),
        ({"targets": ()}, "targets"),
    ):
        with pytest.raises(UsageError, match=f"lora.{message}"):
            LoRA(**settings)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^lora: peft is not installed; pip install 'forgetting\[lora\]'"):
        LoRA().prepare(model(0), [])
