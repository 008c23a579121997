"""A part of each step for chosen modules, against torch's own groups with a learning rate each."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from forgetting import losses
from forgetting.errors import UsageError
from forgetting.mitigation.module_rate import ModuleRate
from forgetting.models.ladder import Architecture
from forgetting.testing.small import differing, model, weights
from tests.mitigation.tuning import RATE, batches, by_hand, fitted

TWO = Architecture("tiny-two", 16, 2, 2, 4, 24, 2)


@pytest.mark.parametrize("multiple", [0.1, 0.5])
def test_it_is_a_learning_rate_of_their_own(multiple: float) -> None:
    one, other = model(0, architecture=TWO), model(0, architecture=TWO)
    fitted(one, ModuleRate(("layers.0.self_attn", "layers.1.mlp"), multiple))
    other.network.train()
    named = list(other.named_parameters())
    slow = [p for n, p in named if "layers.0.self_attn." in n or "layers.1.mlp." in n]
    rest = [p for n, p in named if not ("layers.0.self_attn." in n or "layers.1.mlp." in n)]
    assert slow and rest
    groups: list[dict[str, Any]] = [{"params": slow, "lr": RATE * multiple}, {"params": rest, "lr": RATE}]
    adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), weight_decay=0.0)
    for batch in batches(10):
        adam.zero_grad()
        losses.cross_entropy(other, batch).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    expected = other.state()
    for name, weight in one.state().items():
        assert torch.allclose(weight, expected[name], atol=1e-6, rtol=0), name


def test_at_0_the_modules_stay_and_the_others_move() -> None:
    student = model(0, architecture=TWO)
    start = weights(student)
    fitted(student, ModuleRate(("mlp",), 0.0))
    assert set(differing(student.state(), start)) == {name for name in start if ".mlp." not in name}


def test_at_1_training_is_plain() -> None:
    one, other = model(0), model(0)
    assert fitted(one, ModuleRate(("mlp",), 1.0)) == {}
    by_hand(other)
    assert not differing(one.state(), other.state())


def test_errors() -> None:
    for given, message in (
        ({"modules": ()}, "modules: must be names of modules, got"),
        ({"multiple": 1.5}, "multiple: must be from 0 to 1, got 1.5"),
        ({"multiple": -0.1}, "multiple: must be from 0 to 1, got -0.1"),
    ):
        with pytest.raises(UsageError, match=rf"^module_rate\.{message}"):
            ModuleRate(**given)  # type: ignore[arg-type]
    with pytest.raises(
        UsageError, match=r"^module_rate\.modules: must be names of modules of the student, got 'expert"
    ):
        ModuleRate(("experts",)).prepare(model(0), [])
