"""On-policy distillation: the divergence against formulas and its limits, who writes, and what a resume gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import kl_div

from forgetting import losses
from forgetting.batching import piece
from forgetting.contracts import Sampling
from forgetting.distillation.off_policy import OffPolicy
from forgetting.distillation.on_policy import OnPolicy
from forgetting.errors import UsageError
from forgetting.testing.distillation_laws import Steps
from forgetting.testing.small import batch, differing, gradients, model, samples, words
from forgetting.training.plan import MixPlan


def trl_jsd(student_NV: Tensor, teacher_NV: Tensor, beta: float) -> Tensor:
    """TRL's GKD loss per token, as written in its ``gkd_trainer.py``."""
    own, wanted = student_NV.log_softmax(-1), teacher_NV.log_softmax(-1)
    if beta in (0, 1):
        pair = (own, wanted) if beta == 0 else (wanted, own)
        return kl_div(*pair, reduction="none", log_target=True).sum() / len(own)
    b = torch.tensor(beta)
    mixed = torch.logsumexp(torch.stack([own + torch.log1p(-b), wanted + torch.log(b)]), dim=0)
    of_teacher = kl_div(mixed, wanted, reduction="none", log_target=True)
    of_student = kl_div(mixed, own, reduction="none", log_target=True)
    return (b * of_teacher + (1 - b) * of_student).sum() / len(own)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_the_divergence_is_trls_over_beta_times_its_rest(beta: float) -> None:
    student, teacher, made = model(1), model(2), batch(6)
    with torch.no_grad():
        own, _ = losses.predictions(student, made)
        expected = trl_jsd(own[0], losses.teacher_logits(teacher, made)[0], beta)
        found = OnPolicy(beta=beta).loss(student, teacher, made)
    assert found.item() == pytest.approx(expected.item() / (beta * (1 - beta) or 1), rel=1e-5)


def two(seed: int, size: int = 50) -> tuple[Tensor, Tensor]:
    """Log-probabilities of two distributions, in double precision."""
    rng = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, 8, size, generator=rng, dtype=torch.float64)
    teacher, student = logits.log_softmax(-1)
    return teacher, student


def test_the_formula_by_hand() -> None:
    teacher, student, beta = *two(0), 0.3
    p, q = teacher.exp().numpy(), student.exp().numpy()
    m = beta * p + (1 - beta) * q
    jsd = beta * (p * np.log(p / m)).sum(-1) + (1 - beta) * (q * np.log(q / m)).sum(-1)
    found = losses.jensen_shannon(teacher, student, beta).numpy()
    np.testing.assert_allclose(found, jsd / (beta * (1 - beta)), rtol=1e-6)


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_both_limits_are_met_by_value_and_by_gradient(end: float) -> None:
    """Where the published form goes to 0, and its gradient with it, this one comes as near to KL as beta to its end."""

    def at(beta: float) -> tuple[Tensor, Tensor]:
        teacher, student = two(1)
        student = student.requires_grad_()
        value = losses.jensen_shannon(teacher, student.log_softmax(-1), beta).sum()
        return value.detach(), torch.autograd.grad(value, student)[0]

    wanted, slope = at(end)
    distances = []
    for near in (1e-2, 1e-4, 1e-6):
        value, gradient = at(abs(end - near))
        distances.append(abs(value / wanted - 1))
        assert (gradient - slope).norm() / slope.norm() < 20 * near
    assert distances[0] > distances[1] > distances[2] and distances[2] < 1e-4


def test_it_is_never_below_0_and_0_between_equals_in_float32() -> None:
    teacher, student = (one.float() for one in two(2))
    for beta in (0.0, 0.001, 0.5, 0.999, 1.0):
        assert (losses.jensen_shannon(teacher, student, beta) > 0).all()
        assert losses.jensen_shannon(teacher, teacher, beta).abs().max() < 1e-3


def test_bfloat16_logits_are_compared_in_float32() -> None:
    student, teacher, made = model(1), model(1), batch(4)
    student.network.to(torch.bfloat16), teacher.network.to(torch.bfloat16)
    loss = OnPolicy(beta=0.5).loss(student, teacher, made)
    assert loss.dtype == torch.float32 and abs(loss.item()) < 1e-5


def fitted(divergence: Callable[[Tensor, Tensor], Tensor]) -> tuple[float, float]:
    """Mean and spread of the one bell that comes nearest to a teacher with two, at 10 and at 30."""
    place = torch.arange(41.0)

    def bell(mean: Any, spread: Any) -> Tensor:
        return (-0.5 * ((place - mean) / spread) ** 2).log_softmax(-1)

    teacher = torch.logaddexp(bell(10, 2) + np.log(0.5), bell(30, 2) + np.log(0.5))
    mean, log_spread = torch.tensor(26.0, requires_grad=True), torch.tensor(1.0, requires_grad=True)
    adam = torch.optim.Adam([mean, log_spread], lr=0.1)
    for _ in range(400):
        adam.zero_grad()
        divergence(teacher, bell(mean, log_spread.exp())).backward()
        adam.step()
    return mean.item(), log_spread.exp().item()


def test_forward_covers_two_modes_and_reverse_takes_one() -> None:
    covering, taking = (fitted(lambda p, q, b=beta: losses.jensen_shannon(p, q, b)) for beta in (0.0, 1.0))  # type: ignore[misc]
    assert 15 < covering[0] < 25 and covering[1] > 8
    assert taking[0] == pytest.approx(30, abs=0.5) and taking[1] < 3


def test_the_answers_are_the_students_own_draws_at_that_step() -> None:
    student, teacher, pool = model(1), model(2), samples(6)
    steps = [[0, 1, 2], [3, 4, 5]]
    part = OnPolicy(max_new_tokens=6, seed=7, temperature=0.8)
    for step, made in enumerate(part.batches(student, teacher, Steps(pool, steps))):
        asked = [words()(pool[i].prompt)["input_ids"] for i in steps[step]]
        drawn = student.generate([asked], max_new_tokens=6, sampling=Sampling(0.8, seed=7, step=step))[0]
        for row, mask, answer in zip(made.tokens_RBT[0], made.answer_RBT[0], drawn, strict=True):
            assert row[mask].tolist() == answer
        ended = [answer[-1] == words().eos_token_id for answer in drawn]
        assert made.notes["answers_cut"] == pytest.approx(1 - np.mean(ended))
        assert made.notes["answer_tokens"] == pytest.approx(np.mean([len(a) for a in drawn]))


def test_with_the_teacher_as_writer_it_is_word_level() -> None:
    student, teacher = model(1), model(2)
    stream = Steps(samples(6), [[0, 1, 2], [3, 4, 5]])
    one, other = OnPolicy(student_share=0.0, beta=0.0, max_new_tokens=5), OffPolicy("word", max_new_tokens=5)
    made = zip(one.batches(student, teacher, stream), other.batches(student, teacher, stream), strict=True)
    for own, theirs in made:
        assert torch.equal(own.tokens_RBT, theirs.tokens_RBT)
        assert torch.equal(one.loss(student, teacher, own), other.loss(student, teacher, theirs))


def test_the_share_says_how_many_steps_the_student_writes() -> None:
    student, teacher, stream = model(1), model(2), Steps(samples(2), [[0, 1]] * 200)
    by_student = [
        bool(b.notes) for b in OnPolicy(student_share=0.3, max_new_tokens=1).batches(student, teacher, stream)
    ]
    assert 40 <= sum(by_student) <= 80
    again = OnPolicy(student_share=0.3, max_new_tokens=1, seed=1).batches(student, teacher, stream)
    assert by_student != [bool(b.notes) for b in again]


def test_contaminating_samples_keep_their_own_answers() -> None:
    student, teacher, pool = model(1), model(2), samples(4)
    plan = MixPlan(pool, 4, np.arange(4), np.array([0, 4]), np.array([False, True, False, True]))
    (made,) = OnPolicy(max_new_tokens=4).batches(student, teacher, plan)
    for place, foreign in enumerate(plan.contaminating):
        own = [*words()(pool[place].answer)["input_ids"], words().eos_token_id]
        assert (made.tokens_RBT[0, place][made.answer_RBT[0, place]].tolist() == own) == foreign


def test_one_batch_and_four_micro_batches_give_one_gradient() -> None:
    student, teacher, part = model(1), model(2), OnPolicy(max_new_tokens=9, beta=0.5)
    (made,) = part.batches(student, teacher, Steps(samples(8), [list(range(8))]))
    whole = gradients(student, [part.loss(student, teacher, made)])
    four = gradients(student, [part.loss(student, teacher, piece(made, i, 4)) / 4 for i in range(4)])
    for name, gradient in whole.items():
        assert (four[name] - gradient).abs().max() <= 1e-5 * max(1.0, gradient.abs().max().item()), name


def test_training_moves_the_student_towards_the_teacher() -> None:
    student, teacher, part = model(1), model(2), OnPolicy(max_new_tokens=9)
    adam = torch.optim.AdamW([p for _, p in student.named_parameters()], lr=1e-2)
    found = []
    for made in part.batches(student, teacher, Steps(samples(8), [list(range(8))] * 30)):
        adam.zero_grad()
        loss = part.loss(student, teacher, made).sum()
        loss.backward()
        adam.step()
        found.append(loss.item())
    assert np.mean(found[-3:]) < np.mean(found[:3]) / 2
    assert not differing(teacher.state(), model(2).state())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"student_share": 1.5}, "on_policy.student_share: must be a share from 0 to 1, got 1.5"),
        ({"beta": 1e-6}, "on_policy.beta: must be 0, 1, or from .001 to .999, got 1e-06"),
        ({"temperature": 0.0}, "on_policy.temperature: must be above 0, got 0.0"),
        ({"max_new_tokens": 0}, "on_policy.max_new_tokens: must be at least 1, got 0"),
        ({"seed": -1}, "on_policy.seed: must be 0 or more, got -1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        OnPolicy(**settings)
    assert str(caught.value) == message
