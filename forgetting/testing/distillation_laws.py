"""The laws of the distillation family: what its docstring promises, for any method."""

from __future__ import annotations

import copy
import dataclasses
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from forgetting import registry
from forgetting.batching import piece
from forgetting.contracts import Batch, Distillation, Model, Sample, Stream
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.testing.small import batch, differing, gradients, model, samples, weights, words


class Steps(Stream):
    """A pool of samples and the indices of each step's batch."""

    def __init__(self, pool: list[Sample], steps: list[list[int]], first_step: int = 0) -> None:
        self.samples, self.batch_size, self.steps = pool, max(map(len, steps)), steps
        self.contaminating = np.zeros(len(pool), dtype=bool)
        self.first_step = first_step

    def __iter__(self) -> Iterator[np.ndarray]:
        return iter([np.array(step) for step in self.steps[self.first_step :]])


def made_by(part: Distillation, student: Model, teacher: Model) -> Batch:
    """A batch of eight samples: any, for a method that imitates; one of its own, for one that rewards."""
    if part.kind == "imitates":
        return batch(8)
    return next(part.batches(student, teacher, Steps(samples(8), [list(range(8))])))


class DistillationLaws:
    """The laws of the family. Parametrise a subclass over ``part``."""

    @pytest.fixture
    def teacher(self) -> HuggingFaceModel:
        """Another model of its shape."""
        return model(2)

    @pytest.fixture
    def student(self) -> HuggingFaceModel:
        """A student that has learned nothing."""
        return model(1)

    def test_the_loss_is_finite_and_one_a_replica(self, part: Distillation, student: Any, teacher: Any) -> None:
        loss = part.loss(student, teacher, made_by(part, student, teacher))
        assert loss.shape == (student.replicas,)
        assert torch.isfinite(loss).all()
        found = gradients(student, [loss])
        assert all(torch.isfinite(g).all() for g in found.values())
        if part.kind == "imitates":
            assert (loss > 0).all() and found.keys() == dict(student.named_parameters()).keys()
            assert all(g.any() for g in found.values())

    def test_where_all_weights_are_0_nothing_is_learned(self, part: Distillation, student: Any, teacher: Any) -> None:
        made = made_by(part, student, teacher)
        if part.kind == "imitates" or made.weight_RBT is None:
            pytest.skip("has no weights of its own")
        still = dataclasses.replace(made, weight_RBT=torch.zeros_like(made.weight_RBT))
        assert not any(g.any() for g in gradients(student, [part.loss(student, teacher, still)]).values())

    def test_the_teacher_gets_no_gradient_and_does_not_change(
        self, part: Distillation, student: Any, teacher: Any
    ) -> None:
        before = weights(teacher)
        for made in part.batches(student, teacher, Steps(samples(6), [[0, 1, 2], [3, 4, 5]])):
            part.loss(student, teacher, made).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        assert all(p.grad is None for _, p in teacher.named_parameters())
        assert not differing(before, teacher.state())

    def test_tokens_outside_the_answers_are_no_targets(self, part: Distillation, student: Any, teacher: Any) -> None:
        """The loss has no gradient at any position that does not predict a token of an answer."""
        made, seen = made_by(part, student, teacher), []
        plain = student.logits

        def recorded(tokens_RBT: Tensor) -> Tensor:
            seen.append(plain(tokens_RBT))
            seen[-1].retain_grad()
            out: Tensor = seen[-1]
            return out

        student.logits = recorded
        student.logits_at = lambda tokens, places: Model.logits_at(student, tokens, places)  # through all logits
        part.loss(student, teacher, made).sum().backward()  # type: ignore[no-untyped-call]  # as above
        at = torch.stack([logits.grad for logits in seen]).abs().sum((0, -1))
        predicting = made.answer_RBT[:, :, 1:]
        assert not at[:, :, :-1][~predicting].any() and not at[:, :, -1].any()
        if part.kind == "imitates":
            assert at[:, :, :-1][predicting].all()

    def test_padding_does_not_count(self, part: Distillation, student: Any, teacher: Any) -> None:
        made = made_by(part, student, teacher)
        behind = made.answer_RBT.flip(-1).cumsum(-1).flip(-1) == 0
        assert behind.any()
        for other in (words().eos_token_id, 17):
            changed = dataclasses.replace(made, tokens_RBT=made.tokens_RBT.masked_fill(behind, other))
            assert torch.allclose(part.loss(student, teacher, changed), part.loss(student, teacher, made), rtol=1e-6)
        wider = dataclasses.replace(
            made,
            tokens_RBT=torch.nn.functional.pad(made.tokens_RBT, (0, 5), value=words().pad_token_id),
            answer_RBT=torch.nn.functional.pad(made.answer_RBT, (0, 5)),
            weight_RBT=None if made.weight_RBT is None else torch.nn.functional.pad(made.weight_RBT, (0, 5)),
        )
        assert torch.allclose(part.loss(student, teacher, wider), part.loss(student, teacher, made), rtol=1e-6)

    @pytest.mark.parametrize("parts", [2, 3, 8])
    def test_micro_batches_add_up_to_their_batch(
        self, part: Distillation, student: Any, teacher: Any, parts: int
    ) -> None:
        made = made_by(part, student, teacher)
        whole = part.loss(student, teacher, made)
        pieces = [part.loss(student, teacher, piece(made, i, parts)) / parts for i in range(parts)]
        assert torch.allclose(torch.stack(pieces).sum(0), whole, rtol=1e-5, atol=1e-6)
        one, many = gradients(student, [whole]), gradients(student, pieces)
        for name, gradient in one.items():
            assert torch.allclose(many[name], gradient, rtol=1e-4, atol=1e-6), name

    def test_the_loss_is_a_mean_over_the_steps_denominator(
        self, part: Distillation, student: Any, teacher: Any
    ) -> None:
        made = made_by(part, student, teacher)
        halved = dataclasses.replace(made, denominator=2 * made.denominator)
        assert torch.allclose(2 * part.loss(student, teacher, halved), part.loss(student, teacher, made))

    def test_batches_are_those_of_the_stream_in_order(self, part: Distillation, student: Any, teacher: Any) -> None:
        if part.kind != "imitates":
            pytest.skip("makes rows of its own")
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
                short = len(written) < getattr(part, "max_new_tokens", 10**6)  # longer ones may have been cut
                assert not short or row[written[-1]] == words().eos_token_id
            answer_tokens = int(found.answer_RBT.sum())
            assert found.denominator == pytest.approx(answer_tokens * stream.batch_size / len(step))

    def test_batches_are_the_same_every_time(self, part: Distillation, student: Any, teacher: Any) -> None:
        stream = Steps(samples(5), [[0, 1, 2], [3, 4]])
        one, other = (
            list(part.batches(student, teacher, stream)),
            list(part.batches(copy.deepcopy(student), teacher, stream)),
        )
        assert all(
            torch.equal(a.tokens_RBT, b.tokens_RBT) and a.denominator == b.denominator
            for a, b in zip(one, other, strict=True)
        )

    def test_batches_from_a_step_on_are_those_after_as_many_steps(
        self, part: Distillation, student: Any, teacher: Any
    ) -> None:
        steps = [[0, 1, 2], [3, 4], [2, 0, 4]]
        whole = list(part.batches(student, teacher, Steps(samples(5), steps)))
        for first in (1, 2):
            rest = list(part.batches(student, teacher, Steps(samples(5), steps, first)))
            for one, other in zip(rest, whole[first:], strict=True):
                assert torch.equal(one.tokens_RBT, other.tokens_RBT) and torch.equal(one.answer_RBT, other.answer_RBT)
                assert one.denominator == other.denominator and one.group == other.group

    def test_a_batch_is_made_with_the_student_as_it_is_then(
        self, part: Distillation, student: Any, teacher: Any
    ) -> None:
        """Between two batches the fit trains: the later one is that of a fit which goes on with the trained student."""
        steps = [[0, 1, 2], [3, 4], [2, 0, 4]]
        going_on = part.batches(student, teacher, Steps(samples(5), steps))
        next(going_on)
        student.load_state(model(3).state())
        for one, other in zip(going_on, part.batches(student, teacher, Steps(samples(5), steps, 1)), strict=True):
            assert torch.equal(one.tokens_RBT, other.tokens_RBT) and torch.equal(one.answer_RBT, other.answer_RBT)

    def test_settings_make_the_part_again(self, part: Distillation) -> None:
        assert registry.build("distillation", json.loads(json.dumps(part.settings()))) == part
