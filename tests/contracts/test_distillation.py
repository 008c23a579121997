"""The laws of the distillation family, for every part of ``members.parts``."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from forgetting import registry
from forgetting.contracts import Batch, Distillation, Model, Sample, Stream
from forgetting.models.huggingface import HuggingFaceModel
from tests.contracts.members import every
from tests.contracts.small import batch, differing, gradients, model, rows, samples, weights, words


class Steps(Stream):
    """A pool of samples and the indices of each step's batch."""

    def __init__(self, pool: list[Sample], steps: list[list[int]], first_step: int = 0) -> None:
        self.samples, self.batch_size, self.steps = pool, max(map(len, steps)), steps
        self.contaminating = np.zeros(len(pool), dtype=bool)
        self.first_step = first_step

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter([np.array(step) for step in self.steps[self.first_step :]])


@pytest.fixture
def student() -> HuggingFaceModel:
    return model(1)


@pytest.fixture
def teacher() -> HuggingFaceModel:
    return model(2)


@every("distillation")
def test_the_loss_is_finite_and_one_a_replica(part: Distillation, student: Any, teacher: Any) -> None:
    loss = part.loss(student, teacher, batch(8))
    assert loss.shape == (student.replicas,)
    assert torch.isfinite(loss).all() and (loss > 0).all()
    found = gradients(student, [loss])
    assert found.keys() == dict(student.named_parameters()).keys()
    assert all(torch.isfinite(g).all() and g.any() for g in found.values())


@every("distillation")
def test_the_teacher_gets_no_gradient_and_does_not_change(part: Distillation, student: Any, teacher: Any) -> None:
    before = weights(teacher)
    for made in part.batches(student, teacher, Steps(samples(6), [[0, 1, 2], [3, 4, 5]])):
        part.loss(student, teacher, made).sum().backward()
    assert all(p.grad is None for _, p in teacher.named_parameters())
    assert not differing(before, teacher.state())


@every("distillation")
def test_tokens_outside_the_answers_are_no_targets(part: Distillation, student: Any, teacher: Any) -> None:
    """The loss has no gradient at any position that does not predict a token of an answer."""
    made, seen = batch(8), []
    plain = student.logits

    def recorded(tokens_RBT: Tensor) -> Tensor:
        seen.append(plain(tokens_RBT))
        seen[-1].retain_grad()
        return seen[-1]

    student.logits = recorded
    student.logits_at = lambda tokens, places: Model.logits_at(student, tokens, places)  # through all logits
    part.loss(student, teacher, made).sum().backward()
    at = torch.stack([logits.grad for logits in seen]).abs().sum((0, -1))
    predicting = made.answer_RBT[:, :, 1:]
    assert not at[:, :, :-1][~predicting].any() and not at[:, :, -1].any()
    assert at[:, :, :-1][predicting].all()


@every("distillation")
def test_padding_does_not_count(part: Distillation, student: Any, teacher: Any) -> None:
    made = batch(8)
    behind = made.answer_RBT.flip(-1).cumsum(-1).flip(-1) == 0
    assert behind.any()
    for other in (words().eos_token_id, 17):
        changed = Batch(made.tokens_RBT.masked_fill(behind, other), made.answer_RBT, made.denominator)
        assert torch.allclose(part.loss(student, teacher, changed), part.loss(student, teacher, made), rtol=1e-6)
    wider = Batch(
        torch.nn.functional.pad(made.tokens_RBT, (0, 5), value=words().pad_token_id),
        torch.nn.functional.pad(made.answer_RBT, (0, 5)),
        made.denominator,
    )
    assert torch.allclose(part.loss(student, teacher, wider), part.loss(student, teacher, made), rtol=1e-6)


@every("distillation")
@pytest.mark.parametrize("parts", [2, 3, 8])
def test_micro_batches_add_up_to_their_batch(part: Distillation, student: Any, teacher: Any, parts: int) -> None:
    made = batch(8)
    whole = part.loss(student, teacher, made)
    pieces = [part.loss(student, teacher, rows(made, slice(i, None, parts))) for i in range(parts)]
    assert torch.allclose(torch.stack(pieces).sum(0), whole, rtol=1e-5)
    one, many = gradients(student, [whole]), gradients(student, pieces)
    for name, gradient in one.items():
        assert torch.allclose(many[name], gradient, rtol=1e-4, atol=1e-6), name


@every("distillation")
def test_the_loss_is_a_mean_over_the_steps_denominator(part: Distillation, student: Any, teacher: Any) -> None:
    made = batch(8)
    halved = Batch(made.tokens_RBT, made.answer_RBT, 2 * made.denominator)
    assert torch.allclose(2 * part.loss(student, teacher, halved), part.loss(student, teacher, made))


@every("distillation")
def test_batches_are_those_of_the_stream_in_order(part: Distillation, student: Any, teacher: Any) -> None:
    stream = Steps(samples(7), [[0, 1, 2], [6, 3, 4], [5]])
    made = list(part.batches(student, teacher, stream))
    assert [b.tokens_RBT.shape[1] for b in made] == [3, 3, 1]
    for found, step in zip(made, stream.steps, strict=True):
        assert found.tokens_RBT.shape == found.answer_RBT.shape and found.tokens_RBT.shape[0] == 1
        for row, answer, place in zip(found.tokens_RBT[0], found.answer_RBT[0], step, strict=True):
            prompt = words()(stream.samples[place].prompt)["input_ids"]
            assert row[: len(prompt)].tolist() == prompt and not answer[: len(prompt)].any()
            written = answer.nonzero().flatten()
            assert written.tolist() == list(range(len(prompt), len(prompt) + len(written)))
            assert row[written[-1]] == words().eos_token_id
        answer_tokens = int(found.answer_RBT.sum())
        assert found.denominator == pytest.approx(answer_tokens * stream.batch_size / len(step))


@every("distillation")
def test_batches_are_the_same_every_time(part: Distillation, student: Any, teacher: Any) -> None:
    stream = Steps(samples(5), [[0, 1, 2], [3, 4]])
    one, other = (
        list(part.batches(student, teacher, stream)),
        list(part.batches(copy.deepcopy(student), teacher, stream)),
    )
    assert all(
        torch.equal(a.tokens_RBT, b.tokens_RBT) and a.denominator == b.denominator
        for a, b in zip(one, other, strict=True)
    )


@every("distillation")
def test_settings_make_the_part_again(part: Distillation) -> None:
    assert registry.build("distillation", json.loads(json.dumps(part.settings()))) == part
