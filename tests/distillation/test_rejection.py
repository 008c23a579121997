"""Rejection: the student's own right answers, each once, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forgetting.distillation.rejection import Rejection
from forgetting.distillation.reward_guided import RewardGuided
from forgetting.errors import UsageError
from forgetting.testing.distillation_laws import Steps
from forgetting.testing.small import gradients, model, samples, words

PARITY = "tests.distillation.parity.Parity"


def test_it_learns_right_answers_alone_each_once() -> None:
    student, part = model(1), Rejection(samples=8, judge=PARITY)
    (made,) = part.batches(student, model(2), Steps(samples(16), [list(range(16))]))
    rows = [(t[~a].tolist(), t[a].tolist()) for t, a in zip(made.tokens_RBT[0], made.answer_RBT[0], strict=True)]
    assert rows and len({str(row) for row in rows}) == len(rows) == made.notes["learned"]
    for _, answer in rows:
        assert answer[-1] == words().eos_token_id
        assert len(words().decode(answer, skip_special_tokens=True).split()) % 2
    assert made.weight_RBT is not None and (made.weight_RBT == 1).all()
    assert made.denominator == int(made.answer_RBT.sum())


def test_its_draws_are_those_of_reward_guided() -> None:
    """The control sees the same answers: the same share of them is right in the first try."""
    student, stream = model(1), Steps(samples(8), [list(range(8))])
    settings: dict[str, Any] = {"samples": 8, "max_new_tokens": 6, "judge": PARITY, "seed": 3}
    one, other = (next(p.batches(student, model(2), stream)) for p in (Rejection(**settings), RewardGuided(**settings)))
    if one.notes["prompts"] == other.notes["prompts"]:
        assert one.notes["reward"] == other.notes["reward"] and one.notes["answers_cut"] == other.notes["answers_cut"]
    rewarded = {tuple(row.tolist()) for row in other.tokens_RBT[0]}
    width = min(one.tokens_RBT.shape[2], other.tokens_RBT.shape[2])
    found = {tuple(row[:width]) for row in rewarded}
    assert any(tuple(row[:width].tolist()) in found for row in one.tokens_RBT[0])


def test_where_nothing_is_right_nothing_is_learned() -> None:
    student, part = model(1), Rejection(samples=4, max_new_tokens=4)
    (made,) = part.batches(student, model(2), Steps(samples(8), [list(range(8))]))
    assert made.notes["learned"] == made.notes["reward"] == 0
    assert not any(g.any() for g in gradients(student, [part.loss(student, model(2), made)]).values())


def test_a_smaller_last_batch_weighs_by_its_samples() -> None:
    student, part = model(1), Rejection(samples=4, max_new_tokens=4, judge=PARITY)
    whole, last = part.batches(student, model(2), Steps(samples(12), [list(range(8)), [8, 9, 10, 11]]))
    assert last.denominator == pytest.approx(2 * int(last.answer_RBT.sum()))
    assert np.isclose(whole.denominator, int(whole.answer_RBT.sum()))


@pytest.mark.parametrize("name", ["samples", "max_new_tokens"])
def test_bad_settings(name: str) -> None:
    with pytest.raises(UsageError, match=rf"^rejection\.{name}: must be at least 1, got 0"):
        Rejection(**{name: 0})  # type: ignore[arg-type]
