"""Freezing against a plain loop without those weights, in three architectures."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from forgetting.errors import UsageError
from forgetting.mitigation.freezing import Freezing
from forgetting.models.ladder import Architecture
from forgetting.testing.small import differing, model, weights
from tests.contracts.members import MODELS
from tests.mitigation.tuning import by_hand, fitted

TWO = Architecture("tiny-two", 16, 2, 2, 4, 24, 2)


@pytest.mark.parametrize(
    ("part", "begins"),
    [
        (Freezing(1), ("model.layers.0.",)),
        (Freezing(0, embedding=True), ("model.embed_tokens.",)),
        (Freezing(2, embedding=True), ("model.layers.", "model.embed_tokens.")),
        (Freezing(0, modules=("layers.1.mlp", "norm")), ("model.layers.1.mlp.", "model.norm.")),
    ],
)
def test_a_fit_is_a_plain_loop_without_those_weights(part: Freezing, begins: tuple[str, ...]) -> None:
    for clip_norm, error in ((0.0, 0.0), (0.5, 1e-6)):  # the norm is a sum, in another order
        one, other = model(0, architecture=TWO), model(0, architecture=TWO)
        start = weights(one)
        frozen = fitted(one, part, clip_norm=clip_norm)
        for name, weight in other.network.named_parameters():
            weight.requires_grad_(not name.startswith(begins))
        by_hand(other, clip_norm=clip_norm)
        expected = other.state()
        assert all(torch.allclose(w, expected[n], atol=error, rtol=0) for n, w in one.state().items())
        assert frozen.keys() == {name for name in start if name.startswith(begins)}
        assert set(differing(one.state(), start)) == start.keys() - frozen.keys()


@pytest.mark.parametrize(("name", "begins"), [("gpt2", "transformer.h.0."), ("llama", "model.layers.0.")])
def test_the_bottom_block_of_other_architectures(name: str, begins: str) -> None:
    student: Any = MODELS[name](0)
    frozen = Freezing(1).prepare(student, [])
    assert frozen and all(tensor.startswith(begins) for tensor in frozen)
    assert not any(tensor.startswith(begins) for tensor, _ in student.named_parameters())


def test_the_random_control_has_as_many_weights_to_within_its_smallest_tensor() -> None:
    chosen, drawn = Freezing(1), [Freezing(1, random=True, seed=seed) for seed in (0, 0, 1)]
    size = sum(chosen.prepare(model(0, architecture=TWO), []).values())
    found = [part.prepare(model(0, architecture=TWO), []) for part in drawn]
    assert found[0] == found[1] != found[2]
    for own in found:
        left_out = {n: t.numel() for n, t in model(0, architecture=TWO).named_parameters() if n not in own}
        assert size - min(left_out.values()) < sum(own.values()) <= size


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (Freezing(3), "layers: must be at most 2, the student's blocks, got 3"),
        (
            Freezing(0, modules=("mlp", "attention")),
            "modules: must be names of modules of the student, got 'attention'",
        ),
        (Freezing(2, embedding=True, modules=("norm",)), " must leave a weight to be trained, got all of them frozen"),
    ],
)
def test_what_does_not_fit_the_student(part: Freezing, message: str) -> None:
    with pytest.raises(UsageError, match=rf"^freezing[.:]{message}"):
        part.prepare(model(0, architecture=TWO), [])


def test_bad_settings() -> None:
    with pytest.raises(UsageError, match=r"^freezing\.layers: must be 0 or more, got -1"):
        Freezing(-1)


def test_nothing_chosen_is_full_fine_tuning() -> None:
    one, other = model(0), model(0)
    assert fitted(one, Freezing(0)) == {}
    by_hand(other)
    assert not differing(one.state(), other.state()) and torch.is_grad_enabled()
