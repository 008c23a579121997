"""Rewards: advantages, the constant denominator, prompts that teach nothing; the loss against TRL's formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from forgetting import losses
from forgetting.contracts import Sample
from forgetting.distillation import _rollouts
from forgetting.distillation._rollouts import FIELD, Rollouts, judged
from forgetting.distillation.reward_guided import RewardGuided
from forgetting.errors import UsageError
from forgetting.judges import judge_named
from forgetting.testing.distillation_laws import Steps
from forgetting.testing.small import gradients, model, samples, words
from forgetting.training.plan import MixPlan

PARITY = "tests.distillation.parity.Parity"


def dr_grpo(student: Any, made: Any, advantages_B: Tensor, max_new_tokens: int) -> Tensor:
    """TRL's GRPO with ``loss_type="dr_grpo"``, ``beta=0`` and one update a batch, as in its ``grpo_trainer.py``."""
    logp_BT = torch.zeros(made.tokens_RBT.shape[1:])
    for row, tokens in enumerate(made.tokens_RBT[0]):
        logits = student.logits(tokens[None, None])[0, 0, :-1].log_softmax(-1)
        logp_BT[row, 1:] = logits.gather(-1, tokens[1:, None])[:, 0]
    ratio = torch.exp(logp_BT - logp_BT.detach())
    clipped = torch.clamp(ratio, 1 - 0.2, 1 + 0.2)
    per_token = -torch.min(ratio * advantages_B[:, None], clipped * advantages_B[:, None])
    return (per_token * made.answer_RBT[0]).sum() / (len(per_token) * max_new_tokens)


def step(part: RewardGuided, student: Any, pool: list[Sample]) -> Any:
    return next(part.batches(student, model(2), Steps(pool, [list(range(len(pool)))])))


def test_the_gradient_is_dr_grpos() -> None:
    student, part = model(1), RewardGuided(samples=4, judge=PARITY)
    made = step(part, student, samples(16))
    assert made.weight_RBT is not None and made.weight_RBT.any()
    ours = gradients(student, [part.loss(student, model(2), made)])
    theirs = gradients(student, [dr_grpo(student, made, made.weight_RBT[0, :, 0], 80)[None]])
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-5, atol=1e-6)


def test_advantages_are_rewards_less_their_mean_and_not_divided_by_their_spread() -> None:
    student, part = model(1), RewardGuided(samples=4, judge=PARITY)
    made = step(part, student, samples(16))
    assert made.denominator == made.tokens_RBT.shape[1] * 80
    eos = words().eos_token_id
    for start in range(0, made.tokens_RBT.shape[1], 4):
        group = range(start, start + 4)
        answers = [made.tokens_RBT[0, row][made.answer_RBT[0, row]].tolist() for row in group]
        said = [words().decode([t for t in answer if t != eos], skip_special_tokens=True) for answer in answers]
        reward = [float(a[-1] == eos and len(s.split()) % 2) for a, s in zip(answers, said, strict=True)]
        assert 0 < sum(reward) < 4  # the others were left out
        weights = made.weight_RBT[0, start : start + 4]
        assert (weights == weights[:, :1]).all()
        np.testing.assert_allclose(weights[:, 0], np.array(reward) - np.mean(reward), atol=1e-7)


def test_prompts_that_teach_nothing_are_counted_and_left_out_of_the_denominator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the first try's four prompts one is useful, of the others' none: four tries, one group of rows."""
    student, part, asked = model(1), RewardGuided(samples=4, max_new_tokens=6), []

    def scripted(chosen: Any, prompts: Any, answers: Any, *_: Any) -> list[Rollouts]:
        found = []
        for place, (sample, prompt) in enumerate(zip(chosen, prompts, strict=True)):
            own = list(answers[4 * place : 4 * place + 4])
            right = [True, False, False, False] if not asked else [len(asked) % 2 == 0] * 4
            found.append(Rollouts(sample, prompt, own, [""] * 4, right))
            asked.append(sample)
        return found

    monkeypatch.setattr(_rollouts, "judged", scripted)
    made = step(part, student, samples(16))
    assert len(asked) == 16 and len({s.prompt for s in asked}) == 16
    assert made.tokens_RBT.shape[1] == 4 and made.denominator == 4 * 6
    assert (made.notes["prompts"], made.notes["prompts_all_right"], made.notes["prompts_all_wrong"]) == (16, 7, 8)
    np.testing.assert_allclose(made.weight_RBT[0, :, 0], [0.75, -0.25, -0.25, -0.25])


def test_where_nothing_is_useful_nothing_is_learned() -> None:
    student, part = model(1), RewardGuided(samples=4, max_new_tokens=6)
    made = step(part, student, samples(8))
    assert made.notes["prompts_all_wrong"] == made.notes["prompts"] == 8
    assert not any(g.any() for g in gradients(student, [part.loss(student, model(2), made)]).values())


def test_an_answer_that_was_cut_has_no_reward() -> None:
    student, sample = model(1), Sample("ann has 1", "answer 5", "maths", 1, "add")
    said = words()("answer 5")["input_ids"]
    judge = judge_named("world", [sample], FIELD)
    (found,) = judged([sample], [[1]], [[*said, words().eos_token_id], said], student, judge)
    assert found.right == [True, False] and found.said == ["answer 5", "answer 5"]


def test_it_raises_what_is_rewarded() -> None:
    """Answers with an odd number of words: rarely a certainty before, more often afterwards."""
    student, part = model(1), RewardGuided(samples=8, max_new_tokens=6, judge=PARITY)
    adam = torch.optim.AdamW([p for _, p in student.named_parameters()], lr=1e-2)
    rewards = []
    for made in part.batches(student, model(2), Steps(samples(16), [list(range(16))] * 40)):
        adam.zero_grad()
        part.loss(student, model(2), made).sum().backward()
        adam.step()
        rewards.append(made.notes["reward"])
    assert np.mean(rewards[-8:]) > np.mean(rewards[:8]) + 0.1


def test_draws_differ_between_tries_steps_and_seeds() -> None:
    student, pool = model(1), samples(8)

    def drawn(seed: int, number: int) -> Any:
        part = RewardGuided(samples=4, max_new_tokens=6, seed=seed)
        return list(part.batches(student, model(2), Steps(pool, [list(range(8))] * 2)))[number].tokens_RBT

    assert not torch.equal(drawn(0, 0), drawn(0, 1)) and not torch.equal(drawn(0, 0), drawn(1, 0))


def test_a_judge_must_know_the_gold_answers() -> None:
    pool = [s for s in samples(40) if s.skill == "maths"]
    judge = judge_named({"name": "maths", "items_per_depth": 1}, pool, FIELD)
    assert judge(pool[:2], [pool[0].answer, "answer 1 ; answer"]) == [True, False]
    code = [s for s in samples(40) if s.skill == "code"]
    with pytest.raises(
        UsageError, match=r"^distillation\.judge: must be a benchmark that knows a sample's gold answer"
    ):
        judge_named("code", code, FIELD)
    with pytest.raises(UsageError, match=r"^distillation\.judge: unknown name 'math'; did you mean 'maths'"):
        judge_named("math", pool, FIELD)


def test_a_contamination_beside_has_no_reward() -> None:
    plan = MixPlan(samples(4), 4, np.arange(4), np.array([0, 4]), np.array([False, True, False, False]))
    with pytest.raises(UsageError, match="a method with rewards learns no contamination beside"):
        next(RewardGuided().batches(model(1), model(2), plan))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"samples": 1}, "reward_guided.samples: must be at least 2, which can differ, got 1"),
        ({"max_new_tokens": 0}, "reward_guided.max_new_tokens: must be at least 1, got 0"),
        ({"seed": -1}, "reward_guided.seed: must be 0 or more, got -1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        RewardGuided(**settings)
    assert str(caught.value) == message


def test_the_loss_is_cross_entropy_with_advantages() -> None:
    student, part = model(1), RewardGuided(samples=4, judge=PARITY)
    made = step(part, student, samples(16))
    total_RB, _ = losses.row_log_probabilities(student, made)  # weighted by the advantages
    expected = -total_RB.sum().item() / made.denominator
    assert part.loss(student, model(2), made).item() == pytest.approx(expected, rel=1e-5, abs=1e-8)
