"""Off-policy distillation against loops written by hand, one token at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from forgetting.batching import encode
from forgetting.contracts import Batch, Model
from forgetting.distillation.off_policy import OffPolicy
from forgetting.errors import UsageError
from forgetting.testing.small import batch, differing, gradients, model, samples, words
from forgetting.training.plan import MixPlan, epochs
from tests.contracts.small import Numbered


def by_hand(student: Model, teacher: Model | None, made: Batch) -> float:
    """Summed over answer tokens, over the denominator: -log p(token), or KL(teacher || student) with a teacher."""
    total = 0.0
    for row, answer in zip(made.tokens_RBT[0], made.answer_RBT[0], strict=True):
        for place in range(1, len(row)):
            if not answer[place]:
                continue
            with torch.no_grad():
                own = student.logits(row[None, None, :place])[0, 0, -1].double().log_softmax(-1)
                if teacher is None:
                    total -= own[row[place]].item()
                else:
                    wanted = teacher.logits(row[None, None, :place])[0, 0, -1].double().log_softmax(-1)
                    total += (wanted.exp() * (wanted - own)).sum().item()
    return total / made.denominator


def test_sequence_level_is_cross_entropy_on_the_answers() -> None:
    student, teacher, made = model(1), model(2), batch(6)
    assert OffPolicy("sequence").loss(student, teacher, made).item() == pytest.approx(
        by_hand(student, None, made), rel=1e-5
    )


def test_word_level_is_the_divergence_from_teacher_to_student() -> None:
    student, teacher, made = model(1), model(2), batch(6)
    assert OffPolicy("word").loss(student, teacher, made).item() == pytest.approx(
        by_hand(student, teacher, made), rel=1e-5
    )


def test_a_student_that_is_its_teacher_has_nothing_to_learn_at_word_level() -> None:
    student, teacher, made = model(1), model(1), batch(6)
    loss = OffPolicy("word").loss(student, teacher, made)
    assert abs(loss.item()) < 1e-6
    assert all(g.abs().max() < 1e-6 for g in gradients(student, [loss]).values())
    assert OffPolicy("sequence").loss(student, teacher, made).item() > 1


def test_word_level_training_moves_the_student_towards_the_teacher() -> None:
    student, teacher, made, method = model(1), model(2), batch(8), OffPolicy("word")
    adam = torch.optim.AdamW([p for _, p in student.named_parameters()], lr=3e-3)
    first = method.loss(student, teacher, made).item()
    for _ in range(30):
        adam.zero_grad()
        method.loss(student, teacher, made).sum().backward()
        adam.step()
    assert method.loss(student, teacher, made).item() < first / 2
    assert not differing(teacher.state(), model(2).state())


@pytest.mark.parametrize("limit", [1, 5, 80])
def test_the_answers_are_the_teachers_and_an_end_is_learned_where_there_was_one(limit: int) -> None:
    student, teacher = model(1), model(2)
    plan = epochs(Numbered(first=3), samples=12, pool=6, batch_size=4, seed=0)
    written = []
    for sample in plan.samples:
        prompt = words()(sample.prompt)["input_ids"]
        answer = teacher.generate([[prompt]], max_new_tokens=limit)[0][0]
        end = [words().eos_token_id] if answer[-1] == words().eos_token_id else []
        written.append([*prompt, *[t for t in answer if t not in words().all_special_ids], *end])
    found = list(OffPolicy(max_new_tokens=limit).batches(student, teacher, plan))
    assert len(found) == plan.steps
    for made, index in zip(found, plan, strict=True):
        for row, place in zip(made.tokens_RBT[0].tolist(), index, strict=True):
            expected = written[place]
            assert row[: len(expected)] == expected
            assert set(row[len(expected) :]) <= {words().pad_token_id}


def test_a_resumed_stream_continues_with_the_same_batches() -> None:
    student, teacher = model(1), model(2)
    plan = epochs(Numbered(first=3), samples=12, pool=6, batch_size=4, seed=0)
    whole = list(OffPolicy(max_new_tokens=4).batches(student, teacher, plan))
    rest = list(OffPolicy(max_new_tokens=4).batches(student, teacher, plan.starting_at(2)))
    assert len(rest) == len(whole) - 2
    assert all(torch.equal(a.tokens_RBT, b.tokens_RBT) for a, b in zip(rest, whole[2:], strict=True))


def test_a_smaller_last_batch_weighs_by_its_samples() -> None:
    """Half a batch counts half as much as a whole one with the same mean loss."""
    student, teacher = model(1), model(2)
    half = batch(4)
    full = Batch(half.tokens_RBT.repeat(1, 2, 1), half.answer_RBT.repeat(1, 2, 1), 2 * half.denominator)
    last = Batch(half.tokens_RBT, half.answer_RBT, int(half.answer_RBT.sum()) * 8 / 4)
    for method in (OffPolicy("sequence"), OffPolicy("word")):
        whole = method.loss(student, teacher, full).item()
        assert method.loss(student, teacher, last).item() == pytest.approx(whole / 2, rel=1e-5)
        assert math.isfinite(whole)
    assert np.isclose(full.denominator, int(full.answer_RBT.sum()))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"level": "words"}, "off_policy.level: unknown name 'words'; did you mean 'word'"),
        ({"max_new_tokens": 0}, "off_policy.max_new_tokens: must be at least 1, got 0"),
        ({"max_new_tokens": -3}, "off_policy.max_new_tokens: must be at least 1, got -3"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        OffPolicy(**settings)
    assert str(caught.value).startswith(message)


def test_contaminating_samples_keep_their_own_answers() -> None:
    """A joint arm's student must learn the contamination, not what the teacher would make of it."""
    student, teacher = model(1), model(2)
    pool = samples(6)
    foreign = np.array([False, True, False, True, True, False])
    plan = MixPlan(pool, 6, np.arange(6), np.array([0, 6]), foreign)
    (made,) = OffPolicy(max_new_tokens=4).batches(student, teacher, plan)
    (gold,) = (encode(pool, student.tokenizer).batch(index, 6) for index in plan)
    for place, kept in enumerate(foreign):
        told = made.tokens_RBT[0, place][made.answer_RBT[0, place]].tolist()
        own = gold.tokens_RBT[0, place][gold.answer_RBT[0, place]].tolist()
        assert (told == own) == kept
