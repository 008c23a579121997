"""torch's AdamW over one flat tensor against torch's over many: steps, clipping, gradients, state; and who gets it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from forgetting import losses
from forgetting.batching import encode
from forgetting.contracts import Batch
from forgetting.models import fused_qwen3
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Optimiser
from forgetting.testing.small import model, samples, words
from forgetting.training.adamw import FlatAdamW
from forgetting.training.fit import fit
from forgetting.training.module import FitModule

SHAPES = ((3, 2), (4,), (2, 1, 2))


def start() -> list[nn.Parameter]:
    draw = torch.Generator().manual_seed(0)
    return [nn.Parameter(torch.randn(shape, generator=draw)) for shape in SHAPES]


def advance(adam: torch.optim.AdamW, own: list[nn.Parameter], steps: range, clip: float) -> None:
    """Steps on gradients that are added up from two passes, and now and then large enough to be clipped."""
    for step in steps:
        adam.zero_grad()
        draw = torch.Generator().manual_seed(step)
        for _ in range(2):
            weights = [(4.0 if step % 3 == 0 else 0.05) * torch.randn(shape, generator=draw) for shape in SHAPES]
            torch.stack([(p * w).sum() for p, w in zip(own, weights, strict=True)]).sum().backward()
        torch.nn.utils.clip_grad_norm_(adam.param_groups[0]["params"], clip)
        adam.step()


@settings(max_examples=20, deadline=None)
@given(
    steps=st.integers(1, 30),
    rate=st.floats(1e-4, 0.3),
    decay=st.sampled_from([0.0, 0.1]),
    clip=st.floats(0.1, 2.0),
    fused=st.booleans(),
)
def test_it_moves_every_tensor_as_torchs_moves_it(
    steps: int, rate: float, decay: float, clip: float, fused: bool
) -> None:
    flat, many = start(), start()
    given: dict[str, Any] = {"lr": rate, "betas": (0.9, 0.98), "weight_decay": decay, "fused": fused}
    advance(FlatAdamW(flat, **given), flat, range(steps), clip)
    advance(torch.optim.AdamW(many, **given), many, range(steps), clip)
    for own, expected in zip(flat, many, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-6)


def test_the_state_put_back_goes_on_as_if_nothing_had_happened() -> None:
    whole, cut = start(), start()
    adam = FlatAdamW(whole, lr=0.1, fused=True)
    assert adam.tensors() == [{}, {}, {}]
    advance(adam, whole, range(6), 1.0)
    first = FlatAdamW(cut, lr=0.1, fused=True)
    advance(first, cut, range(3), 1.0)
    kept = [{name: value.clone() for name, value in tensors.items()} for tensors in first.tensors()]
    assert [tensors["exp_avg"].shape for tensors in kept] == list(map(torch.Size, SHAPES))
    second = FlatAdamW(cut, lr=0.1, fused=True)
    second.load_tensors(kept)
    advance(second, cut, range(3, 6), 1.0)
    assert all(torch.equal(p, q) for p, q in zip(whole, cut, strict=True))


def trained(student: HuggingFaceModel) -> type[torch.optim.Optimizer]:
    """The optimiser that a fit of three steps gave the student."""
    encoded = encode(samples(12), words())
    module = FitModule(student, lambda b: losses.cross_entropy(student, b), Optimiser(), total_steps=3)

    def batches() -> Any:
        return (encoded.batch(torch.arange(4).numpy() + 4 * step, 4) for step in range(3))

    fit(module, batches)
    adam = module.optimizers(use_pl_optimizer=False)
    assert isinstance(adam, torch.optim.Optimizer)
    return type(adam)


def test_a_small_student_gets_it_and_is_trained_as_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    small, other = model(0), model(0)
    assert trained(small) is FlatAdamW
    monkeypatch.setattr("forgetting.training.module.FlatAdamW", torch.optim.AdamW)
    assert trained(other) is torch.optim.AdamW
    for (name, own), (_, expected) in zip(small.named_parameters(), other.named_parameters(), strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-5, atol=1e-6, msg=name)


def test_what_the_hand_written_pass_leaves_alone_keeps_torchs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_qwen3, "suits", lambda *_: False)
    assert trained(model(0)) is torch.optim.AdamW


def test_a_student_trained_so_is_saved_whole(tmp_path: Path) -> None:
    student = model(0)
    trained(student)
    student.save(tmp_path)
    again = HuggingFaceModel.load(tmp_path)
    assert student.state().keys() == again.state().keys()
    assert all(torch.equal(value, again.state()[name]) for name, value in student.state().items())
    batch: Batch = encode(samples(4), words()).batch(torch.arange(4).numpy(), 4)
    assert torch.equal(student.logits(batch.tokens_RBT), again.logits(batch.tokens_RBT))
