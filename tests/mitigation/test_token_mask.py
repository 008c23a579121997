"""Token masking against the mean over the tokens that are left, sorted by hand."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch.nn.functional import cross_entropy

from forgetting import losses
from forgetting.errors import UsageError
from forgetting.mitigation.token_mask import TokenMask
from forgetting.testing.small import batch, differing, gradients, model
from tests.mitigation.tuning import moved


@pytest.mark.parametrize("share", [0.1, 0.25, 0.5, 0.9])
def test_the_loss_is_the_mean_over_the_tokens_that_surprise_the_base_least(share: float) -> None:
    student, part, data = model(0), TokenMask(share), batch(6)
    base = part.prepare(student, [])
    moved(student)
    found = part.loss(student, base, data, lambda b: losses.cross_entropy(student, b))
    learned, targets = data.answer_RBT[0, :, 1:], data.tokens_RBT[0, :, 1:]
    per_token = [
        cross_entropy(
            m.logits(data.tokens_RBT)[0, :, :-1][learned].double(), targets[learned], reduction="none"
        ).detach()
        for m in (model(0), student)
    ]
    left = sorted(range(len(per_token[0])), key=lambda i: float(per_token[0][i]))
    left = left[: len(left) - int(len(left) * share)]
    assert found.item() == pytest.approx(float(per_token[1][left].mean()), abs=1e-6, rel=1e-6)
    assert all(torch.isfinite(g).all() for g in gradients(student, [found]).values())


def test_no_token_outside_the_answers_is_touched_and_the_weights_add_up() -> None:
    student, part, data = model(0), TokenMask(0.3), batch(6)
    base = part.prepare(student, [])
    assert base is not None
    masked = part.masked(base, data)
    assert masked.weight_RBT is not None and torch.equal(masked.tokens_RBT, data.tokens_RBT)
    assert bool((masked.weight_RBT[~data.answer_RBT] == 1).all())
    assert float(masked.weight_RBT[data.answer_RBT].sum()) == pytest.approx(int(data.answer_RBT.sum()), rel=1e-6)
    assert int((masked.weight_RBT == 0).sum()) == int(0.3 * int(data.answer_RBT.sum()))


def test_weights_that_a_batch_has_stay() -> None:
    student, part, data = model(0), TokenMask(0.3), batch(3)
    base = part.prepare(student, [])
    assert base is not None
    own = torch.rand(data.tokens_RBT.shape, generator=torch.Generator().manual_seed(0))
    weighted = part.masked(base, dataclasses.replace(data, weight_RBT=own)).weight_RBT
    plain = part.masked(base, data).weight_RBT
    assert weighted is not None and plain is not None and torch.equal(weighted, plain * own)


def test_the_base_is_a_copy() -> None:
    student = model(0)
    base = TokenMask().prepare(student, [])
    moved(student)
    assert base is not None and not differing(base.state(), model(0).state())


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_bad_share(share: float) -> None:
    with pytest.raises(UsageError, match=r"^token_mask\.share: must be from 0 to below 1, got "):
        TokenMask(share)
