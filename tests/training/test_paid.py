"""The loss that steps cost other samples: g · Δ of the real step by hand, and a sum that is the measured change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from forgetting import losses
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Optimiser
from forgetting.testing.small import batch, differing, model, pool, weights
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.paid import PaidLoss, module_of

STEPS, SIZE = 8, 4


def paid(rate: float, clip_norm: float = 1.0) -> tuple[HuggingFaceModel, PaidLoss]:
    """A tiny student after some steps, and what they cost sixteen other samples."""
    student, encoded, other = model(0), pool(STEPS * SIZE), batch(16)
    found = PaidLoss(lambda: losses.cross_entropy(student, other))
    optimiser = Optimiser(batch_size=SIZE, learning_rate=rate, warmup_steps=2, clip_norm=clip_norm)
    module = FitModule(student, lambda b: losses.cross_entropy(student, b), optimiser, total_steps=STEPS)
    starts = range(0, STEPS * SIZE, SIZE)
    fit(module, lambda: (encoded.batch(np.arange(i, i + SIZE), SIZE) for i in starts), [found])
    return student, found


def test_it_adds_up_to_the_measured_loss_and_the_better_the_smaller_the_steps() -> None:
    errors: dict[str, list[float]] = {"first_order": [], "paid": []}
    for rate in (4e-3, 1e-3):
        _, found = paid(rate)
        table, measured = found.table(), found.losses[STEPS] - found.losses[0]
        assert table["step"].nunique() == STEPS
        for name, own in errors.items():
            own.append(abs(float(table[name].sum()) - measured) / abs(measured))
    assert errors["paid"][1] < 1e-3 and errors["paid"][0] < 1e-2
    assert errors["first_order"][1] < errors["first_order"][0] / 2
    assert errors["paid"][1] < errors["first_order"][1] / 5


def test_the_first_step_by_hand() -> None:
    _, found = paid(2e-3, clip_norm=0.0)
    by_hand, other, data = model(0), batch(16), pool(STEPS * SIZE)
    named: list[tuple[str, Any]] = list(by_hand.named_parameters())
    before = weights(by_hand)
    gradients = torch.autograd.grad(losses.cross_entropy(by_hand, other).sum(), [p for _, p in named])
    adam = torch.optim.AdamW([p for _, p in named], lr=1e-3, betas=(0.9, 0.98), weight_decay=0.0)  # half: warm-up
    losses.cross_entropy(by_hand, data.batch(np.arange(SIZE), SIZE)).sum().backward()  # type: ignore[no-untyped-call]
    adam.step()
    table = found.table()
    first = table[table["step"] == 1].set_index("tensor")["first_order"]
    for (name, weight), gradient in zip(named, gradients, strict=True):
        wanted = float((gradient * (weight.detach() - before[name])).sum())
        assert first[name] == pytest.approx(wanted, rel=1e-2, abs=1e-6)


def test_looking_changes_no_training() -> None:
    student, _ = paid(2e-3)
    alone, encoded = model(0), pool(STEPS * SIZE)
    optimiser = Optimiser(batch_size=SIZE, learning_rate=2e-3, warmup_steps=2)
    module = FitModule(alone, lambda b: losses.cross_entropy(alone, b), optimiser, total_steps=STEPS)
    fit(module, lambda: (encoded.batch(np.arange(i, i + SIZE), SIZE) for i in range(0, STEPS * SIZE, SIZE)))
    assert not differing(weights(student), weights(alone))


def test_tensors_have_places() -> None:
    assert module_of("model.embed_tokens.weight") == "embedding"
    assert module_of("model.layers.1.self_attn.q_proj.weight") == "layer 1 attention"
    assert module_of("model.layers.0.self_attn.q_norm.weight") == "layer 0 norms"
    assert module_of("model.layers.0.mlp.down_proj.weight") == "layer 0 mlp"
    assert module_of("model.norm.weight") == "final norm"
