"""EWC: the Fisher information sequence by sequence in plain torch, and a pull that Adam does not undo."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from forgetting.batching import prompts, tokens
from forgetting.contracts import Sampling
from forgetting.errors import UsageError
from forgetting.mitigation.ewc import EWC, Importance
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.testing.small import differing, model, samples, weights
from tests.mitigation.tuning import RATE, by_hand, fitted

PART = EWC(strength=10.0, prompts=5, draws=3, max_new_tokens=12, seed=4)


def gradient_of_each(student: HuggingFaceModel, part: EWC) -> list[dict[str, Tensor]]:
    """Of the log-probability of every drawn answer, from whole logits in double precision."""
    asked = tokens(prompts(samples(part.prompts, seed=1), student.tokenizer), student.tokenizer)
    rows = [row for row in asked for _ in range(part.draws)]
    how = Sampling(seed=part.seed, samples=part.draws)
    answers = student.generate([rows], max_new_tokens=part.max_new_tokens, sampling=how)[0]
    network, found = student.network.double(), []
    for row, answer in zip(rows, answers, strict=True):
        logits = network(input_ids=torch.tensor([[*row, *answer]]), use_cache=False).logits[0]
        log_p = logits.log_softmax(-1)[torch.arange(len(row) - 1, len(row) + len(answer) - 1), torch.tensor(answer)]
        network.zero_grad()
        log_p.sum().backward()
        found.append({name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None})
    return found


def test_the_fisher_information_is_the_mean_of_squared_gradients_of_whole_answers() -> None:
    exact = model(0)
    exact.network.double()
    memory = PART.prepare(exact, samples(PART.prompts, seed=1))
    each = gradient_of_each(model(0), PART)
    assert memory is not None and len(each) == 15
    for name, found in memory.fisher.items():
        expected = torch.stack([one[name].square() for one in each]).mean(0)
        assert memory.raw_mean[name] == pytest.approx(float(expected.mean()), rel=1e-6)
        assert float(found.double().mean()) == pytest.approx(1.0, abs=1e-6)
        assert torch.allclose(found.double(), expected / expected.mean(), atol=1e-6, rtol=1e-6), name
        together = torch.stack([one[name] for one in each]).mean(0).square()  # what it is not
        assert not torch.allclose(found.double(), together / together.mean(), rtol=0.1)


def test_nothing_of_it_is_left_in_the_student() -> None:
    student = model(0)
    state = torch.get_rng_state()
    memory = PART.prepare(student, samples(PART.prompts, seed=1))
    assert memory is not None and not differing(memory.start, model(0).state())
    assert all(p.grad is None for _, p in student.named_parameters())
    assert torch.equal(state, torch.get_rng_state())


def test_weights_in_bfloat16_have_their_information_in_fp32() -> None:
    student = model(0)
    student.network.bfloat16()
    memory = PART.prepare(student, samples(PART.prompts, seed=1))
    assert memory is not None
    for name, weight in student.named_parameters():
        assert memory.fisher[name].dtype == torch.float32 and torch.isfinite(memory.fisher[name]).all()
        assert float(memory.fisher[name].mean()) == pytest.approx(1.0, abs=1e-4)
        taken = PART.pull(name, weight.detach() + 1, memory, 1e-3)
        assert taken is not None and torch.isfinite(taken).all()


def test_a_tensor_that_no_answer_depends_on_is_not_pulled() -> None:
    start, none = {"w": torch.zeros(2)}, {"w": torch.zeros(2)}
    taken = PART.pull("w", torch.ones(2), Importance(start, none, {"w": 0.0}), 1e-2)
    assert taken is not None and not taken.any()


def test_a_fit_is_bit_for_bit_a_plain_loop_with_the_pull() -> None:
    one, other = model(0), model(0)
    start = weights(other)
    memory = fitted(one, PART)

    def after(name: str, weight: Tensor) -> None:
        weight.sub_((RATE * PART.strength * memory.fisher[name]).clamp(max=1.0) * (weight - start[name]))

    by_hand(other, after)
    assert not differing(one.state(), other.state())


def tuned(scale: float, penalty: Callable[[Tensor], Tensor | float], part: EWC | None = None) -> Tensor:
    """Two weights from 0 under Adam, towards 1 by the new task scale / 2 x (weight - 1)^2."""
    fisher, rate = torch.tensor([1.0, 0.25]), 1e-2
    weight = torch.zeros(2, requires_grad=True)
    adam = torch.optim.AdamW([weight], lr=rate, weight_decay=0.0)
    memory = Importance({"w": torch.zeros(2)}, {"w": fisher}, {"w": 1.0})
    for _ in range(1000):
        adam.zero_grad()
        (scale / 2 * (weight - 1).square().sum() + penalty(weight)).backward()
        adam.step()
        with torch.no_grad():
            if part and (taken := part.pull("w", weight, memory, rate)) is not None:
                weight.sub_(taken)
    return weight.detach()


def test_adam_undoes_the_penalty_and_not_the_pull() -> None:
    """On a quadratic, as in arXiv 2604.22407: a steeper new task overcomes the one and leaves the other as it is."""
    strength, fisher = 20.0, torch.tensor([1.0, 0.25])

    def penalty(weight: Tensor) -> Tensor:
        return strength / 2 * (fisher * weight.square()).sum()

    gentle, steep = (tuned(scale, penalty) for scale in (1.0, 1000.0))
    assert torch.allclose(gentle, 1 / (1 + strength * fisher), atol=1e-3)  # where the two gradients balance
    assert (steep > 0.97).all()
    pulled = [tuned(scale, lambda weight: 0.0, EWC(strength=strength)) for scale in (1.0, 1000.0)]
    assert torch.allclose(*pulled, atol=1e-6)
    assert (pulled[1] <= 1.01 / (strength * fisher)).all() and pulled[1][0] < pulled[1][1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"strength": math.inf}, "strength: must be a finite number, 0 or more, got inf"),
        ({"prompts": 0}, "prompts: must be 1 or more, got 0"),
        ({"draws": 0}, "draws: must be 1 or more, got 0"),
    ],
)
def test_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=rf"^ewc\.{message}"):
        EWC(**given)
