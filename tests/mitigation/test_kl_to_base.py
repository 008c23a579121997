"""KL to the base against whole softmaxes in double precision."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from forgetting import losses
from forgetting.batching import piece
from forgetting.errors import UsageError
from forgetting.mitigation.kl_to_base import KLToBase
from forgetting.testing.small import batch, differing, gradients, model, samples
from tests.mitigation.tuning import fitted, kl, moved


@pytest.mark.parametrize("on", ["new", "replayed", "noise"])
def test_the_term_is_beta_times_the_divergence_a_token(on: Any) -> None:
    base, student, part = model(0), model(0), KLToBase(0.7, on, rows=5, pool=12, length=9)
    memory, data = part.prepare(student, samples(part.memory_samples())), batch(4, seed=2)
    assert memory is not None
    moved(student)
    about = data if on == "new" else part.drawn(student, memory)
    plain = losses.cross_entropy(student, data)
    found = part.loss(student, memory, data, lambda b: losses.cross_entropy(student, b))
    assert found.shape == (1,)
    assert (found - plain).item() == pytest.approx(0.7 * kl(base, student, about).item(), abs=1e-6, rel=1e-6)
    assert gradients(student, [found]).keys() == dict(student.named_parameters()).keys()
    assert all(p.grad is None for p in memory.base.network.parameters())


def test_at_dose_0_there_is_nothing_to_keep_and_no_pull() -> None:
    student, part = model(0), KLToBase(3.0)
    memory, data = part.prepare(student, []), batch(4)
    term = part.loss(student, memory, data, lambda b: torch.zeros(1))
    assert term.item() == pytest.approx(0.0, abs=1e-6)
    assert all(g.abs().max() < 1e-6 for g in gradients(student, [term]).values())


@pytest.mark.parametrize("on", ["new", "replayed"])
def test_pieces_of_a_step_add_up_to_it(on: Any) -> None:
    student, part = model(0), KLToBase(1.0, on, rows=4, pool=8)
    memory, data = part.prepare(student, samples(part.memory_samples())), batch(6)
    moved(student)

    def loss(one: Any) -> float:
        return part.loss(student, memory, one, lambda b: losses.cross_entropy(student, b)).item()

    assert sum(loss(piece(data, n, 3)) for n in range(3)) / 3 == pytest.approx(loss(data), rel=1e-5)


@pytest.mark.parametrize("on", ["replayed", "noise"])
def test_rows_are_drawn_by_the_step_from_ordinary_words(on: Any) -> None:
    student, part = model(0), KLToBase(1.0, on, rows=6, pool=40, length=20)
    memory = part.prepare(student, samples(part.memory_samples()))
    assert memory is not None
    first, again = part.drawn(student, memory), part.drawn(student, memory)
    assert torch.equal(first.tokens_RBT, again.tokens_RBT)
    part.after_step(student, memory)
    assert not torch.equal(first.tokens_RBT, part.drawn(student, memory).tokens_RBT)
    assert first.denominator == int(first.answer_RBT.sum())
    if on == "noise":
        assert first.tokens_RBT.shape == (1, 6, 20)
        assert not set(first.tokens_RBT.flatten().tolist()) & set(student.tokenizer.all_special_ids)
    assert int(part.kept(memory)["steps"]) == 1


def test_a_larger_beta_keeps_the_student_nearer() -> None:
    found = []
    for beta in (0.0, 1.0, 30.0):
        student = model(0)
        fitted(student, KLToBase(beta))
        found.append(kl(model(0), student, batch(16, seed=3)).item())
    assert found[0] > found[1] > found[2] > 0


def test_the_copy_stays_as_it_was_and_shares_no_weight() -> None:
    student = model(0)
    memory = fitted(student, KLToBase(1.0))
    assert not differing(memory.base.state(), model(0).state())
    assert len(differing(memory.base.state(), student.state())) == len(student.state())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"beta": math.nan}, "beta: must be a finite number, 0 or more, got nan"),
        ({"inputs": "old"}, "inputs: must be new, replayed or noise, got 'old'"),
        ({"rows": 0}, "rows: must be 1 or more, got 0"),
        ({"length": 1}, "length: must be 2 or more, got 1"),
    ],
)
def test_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=f"^kl_to_base.{message}"):
        KLToBase(**given)
