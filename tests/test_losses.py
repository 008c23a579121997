"""Losses against plain loops, and one denominator for a whole step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import losses
from forgetting.contracts import Batch
from forgetting.testing.small import batch, gradients, model, pool


def rows(made: Batch, chosen: torch.Tensor) -> Batch:
    """Some rows of a batch, over the denominator of all."""
    return Batch(made.tokens_RBT[:, chosen], made.answer_RBT[:, chosen], made.denominator)


def test_predictions_are_the_logits_one_place_before_each_answer_token() -> None:
    student, made = model(0), batch(5)
    with torch.no_grad():
        logits, targets = (of_one[0] for of_one in losses.predictions(student, made))
        whole = student.logits(made.tokens_RBT)[0]
    expected = [
        (row, place)
        for row in range(5)
        for place in range(1, made.tokens_RBT.shape[2])
        if made.answer_RBT[0, row, place]
    ]
    assert logits.shape == (len(expected), len(student.tokenizer))
    for found, target, (row, place) in zip(logits, targets, expected, strict=True):
        torch.testing.assert_close(found, whole[row, place - 1])
        assert target == made.tokens_RBT[0, row, place]


def test_cross_entropy_is_the_mean_over_answer_tokens() -> None:
    student, made = model(0), batch(5)
    with torch.no_grad():
        logits, targets = (of_one[0] for of_one in losses.predictions(student, made))
        expected = torch.nn.functional.cross_entropy(logits, targets)
        assert losses.cross_entropy(student, made).item() == pytest.approx(expected.item(), rel=1e-6)
    assert made.denominator == len(targets)


def test_kl_agrees_with_torch_distributions() -> None:
    student, teacher, made = model(0), model(1), batch(5)
    with torch.no_grad():
        own, _ = losses.predictions(student, made)
        wanted, _ = losses.predictions(teacher, made)
        expected = torch.distributions.kl_divergence(
            torch.distributions.Categorical(logits=wanted), torch.distributions.Categorical(logits=own)
        ).mean()
        assert losses.forward_kl(student, teacher, made).item() == pytest.approx(expected.item(), rel=1e-5)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=12, max_size=12), st.booleans())
def test_any_split_into_micro_batches_has_the_batchs_gradient(parts: list[int], word_level: bool) -> None:
    student, teacher, made = model(0), model(1), batch(12)

    def loss(piece: Batch) -> torch.Tensor:
        return losses.forward_kl(student, teacher, piece) if word_level else losses.cross_entropy(student, piece)

    pieces = [rows(made, torch.tensor([p == part for p in parts])) for part in set(parts)]
    whole, split = gradients(student, [loss(made)]), gradients(student, [loss(p) for p in pieces])
    for name in whole:
        assert torch.allclose(whole[name], split[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize("last", [1, 3, 8])
def test_a_smaller_batch_weighs_by_its_samples(last: int) -> None:
    """Its gradient is that of its own mean times its share of a full batch."""
    student, encoded = model(0), pool(8)
    step = encoded.batch(np.arange(last), 8)
    alone = encoded.batch(np.arange(last), last)
    small = gradients(student, [losses.cross_entropy(student, step)])
    mean = gradients(student, [losses.cross_entropy(student, alone)])
    assert all(torch.allclose(small[n], mean[n] * last / 8, rtol=1e-4, atol=1e-7) for n in mean)
