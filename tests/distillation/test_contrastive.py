"""Contrastive distillation: pairs that differ after the first wrong step, and objectives against TRL's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from forgetting.analysis.displaced import DISPLACED, chosen
from forgetting.contracts import Batch, Sample
from forgetting.distillation import contrastive
from forgetting.distillation._rollouts import Rollouts
from forgetting.distillation.contrastive import Contrastive, paired, referred, shared_steps
from forgetting.errors import UsageError
from forgetting.testing.distillation_laws import Steps
from forgetting.testing.small import differing, gradients, model, samples, weights, words

SEPARATORS = Contrastive().separators


def tokens(text: str) -> list[int]:
    found: list[int] = words()(text)["input_ids"]
    return found


def some_pairs() -> Batch:
    eos = words().eos_token_id
    gold, wrong = [*tokens("12 - 3 = 9 ; answer 9"), eos], [*tokens("12 + 3 = 15 ; answer 15"), eos]
    shared = tokens("ann has 10 apples 10 + 2 = 12 ;")
    short = (tokens("bob has 4"), [*tokens("answer 4"), eos], tokens("answer 5 ; ; ;"))
    return paired([(shared, gold, wrong), short], words().pad_token_id)


def log_probabilities(student: Any, made: Batch) -> tuple[Tensor, Tensor]:
    """Sums and lengths of the rows' answers, by a loop."""
    sums, counts = [], []
    for row, mask in zip(made.tokens_RBT[0], made.answer_RBT[0], strict=True):
        logp = student.logits(row[None, None])[0, 0].log_softmax(-1)
        places = mask.nonzero().flatten()
        sums.append(logp[places - 1, row[places]].sum())
        counts.append(float(len(places)))
    return torch.stack(sums), torch.tensor(counts)


def trl_dpo(own_B: Tensor, past_B: Tensor, counts_B: Tensor, beta: float, alpha: float) -> Tensor:
    """TRL's ``dpo_trainer.py`` on each pair alone: ``sigmoid`` and ``sft`` of weight alpha."""
    logits = (own_B[0::2] - own_B[1::2]) - (past_B[0::2] - past_B[1::2])
    return (-logsigmoid(beta * logits) + alpha * -own_B[0::2] / counts_B[0::2]).mean()


def trl_simpo(own_B: Tensor, counts_B: Tensor, beta: float, gamma: float, alpha: float) -> Tensor:
    """TRL's ``cpo_trainer.py`` on each pair alone: ``loss_type="simpo"`` with ``cpo_alpha``."""
    mean = own_B / counts_B
    logits = mean[0::2] - mean[1::2] - gamma / beta
    return (-logsigmoid(beta * logits) - alpha * mean[0::2]).mean()


@pytest.mark.parametrize("objective", ["dpo", "simpo", "nll"])
def test_objectives_and_gradients_are_trls(objective: Any) -> None:
    student, reference, part = model(1), model(3), Contrastive(objective=objective, nll=0.7)
    made = referred(some_pairs(), student, reference)
    own_B, counts_B = log_probabilities(student, made)
    with torch.no_grad():
        past_B, _ = log_probabilities(reference, made)
    torch.testing.assert_close(made.reference_RB, past_B[None], rtol=1e-5, atol=1e-5)
    expected = {
        "dpo": trl_dpo(own_B, past_B, counts_B, 0.1, 0.7),
        "simpo": trl_simpo(own_B, counts_B, 2.5, 2.5 * 0.55, 0.7),
        "nll": (-0.7 * own_B / counts_B)[0::2].mean(),
    }[objective]
    found = part.loss(student, model(2), made)
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    ours, theirs = gradients(student, [found]), gradients(student, [expected[None]])
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-5, atol=1e-6)


def test_a_student_that_is_its_reference_has_log_2_and_no_displacement() -> None:
    student = model(1)
    made = referred(some_pairs(), student, model(1))
    assert Contrastive(nll=0.0).loss(student, model(2), made).item() == pytest.approx(np.log(2), rel=1e-5)
    assert made.notes["chosen_change"] == pytest.approx(0, abs=1e-6)


def test_notes_tell_chosen_from_rejected_and_a_displaced_student() -> None:
    student, made = model(1), some_pairs()
    with torch.no_grad():
        own_B, counts_B = log_probabilities(student, made)
    before = weights(student)
    notes = referred(made, student, model(1)).notes
    assert notes["chosen"] == pytest.approx((own_B / counts_B)[0::2].mean().item(), rel=1e-5)
    assert notes["rejected"] == pytest.approx((own_B / counts_B)[1::2].mean().item(), rel=1e-5)
    adam = torch.optim.AdamW([p for _, p in student.named_parameters()], lr=1e-2)
    for _ in range(8):  # away from what is chosen
        adam.zero_grad()
        (-Contrastive(objective="nll").loss(student, model(2), made)).sum().backward()
        adam.step()
    assert differing(before, student.state())
    notes = dict(referred(made, student, model(1)).notes)
    assert notes["chosen_change"] < DISPLACED and chosen([{"notes": notes}])["chosen_status"] == "displaced"


@pytest.mark.parametrize(
    ("answer", "shared"),
    [
        ("10 + 2 = 12 ; 12 + 3 = 15 ; answer 15", "10 + 2 = 12 ;"),
        ("10 + 2 = 12 ; 12 - 3 = 8 ; answer 8", "10 + 2 = 12 ;"),
        ("10 + 2 = 12 ; 12 - 3 = 9 ; answer 8", "10 + 2 = 12 ; 12 - 3 = 9 ;"),
        ("10 + 2 = 12 ; 12 - 3 = 9 ;", "10 + 2 = 12 ; 12 - 3 = 9 ;"),
        ("10 + 3 = 13 ; answer 13", ""),
        ("", ""),
    ],
)
def test_what_is_shared_ends_with_the_last_right_step(answer: str, shared: str) -> None:
    gold = tokens("10 + 2 = 12 ; 12 - 3 = 9 ; answer 9")
    count = shared_steps(gold, tokens(answer) if answer else [], SEPARATORS, words())
    assert gold[:count] == (tokens(shared) if shared else [])


def test_pairs_share_prompt_and_right_steps_and_learn_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    student, eos = model(1), words().eos_token_id
    sample = Sample("ann has 10", "10 + 2 = 12 ; 12 - 3 = 9 ; answer 9", "maths", 2, "add-sub")
    late, early = "10 + 2 = 12 ; 12 - 3 = 8 ; answer 8", "10 + 1 = 11 ; answer 11"
    texts = [late, sample.answer, early, late]
    one = Rollouts(
        sample, tokens(sample.prompt), [[*tokens(t), eos] for t in texts], texts, [False, True, False, False]
    )
    monkeypatch.setattr(contrastive, "rollouts", lambda *_, **__: iter([iter([[one]])]))
    (made,) = Contrastive().batches(student, model(2), Steps([sample] * 4, [[0, 1, 2, 3]]))
    rows = [
        (words().decode(t[: a.nonzero()[0]]), words().decode(t[a]))
        for t, a in zip(made.tokens_RBT[0], made.answer_RBT[0], strict=True)
    ]
    end = words().eos_token
    assert rows == [
        ("ann has 10 10 + 2 = 12 ;", f"12 - 3 = 9 ; answer 9 {end}"),
        ("ann has 10 10 + 2 = 12 ;", f"12 - 3 = 8 ; answer 8 {end}"),
        ("ann has 10", f"{sample.answer} {end}"),
        ("ann has 10", f"{early} {end}"),
    ]
    assert made.group == 2 and made.denominator == 2 and made.notes["pairs"] == 2


def test_the_reference_is_the_student_at_the_fits_start() -> None:
    """Also where the student has moved since, as it has after a resume."""
    start, moved = model(1), model(3)
    stream = Steps(samples(4), [[0, 1, 2, 3]] * 2, first_step=1)
    stream.start = start
    (made,) = Contrastive(samples=2, max_new_tokens=6).batches(moved, model(2), stream)
    with torch.no_grad():
        past_B, _ = log_probabilities(start, made)
    torch.testing.assert_close(made.reference_RB, past_B[None], rtol=1e-5, atol=1e-5)


def test_random_negatives_are_gold_answers_of_others() -> None:
    student, pool = model(1), samples(8)
    (made,) = Contrastive(negatives="another", samples=2, max_new_tokens=6).batches(
        student, model(2), Steps(pool, [list(range(8))])
    )
    gold = {s.answer for s in pool}
    for row, mask in zip(made.tokens_RBT[0, 1::2], made.answer_RBT[0, 1::2], strict=True):
        assert words().decode(row[mask][:-1]) in gold


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "ppo"}, "contrastive.objective: unknown name 'ppo'; did you mean 'dpo'"),
        ({"negatives": "other"}, "contrastive.negatives: unknown name 'other'; did you mean 'another'"),
        ({"dpo_beta": 0.0}, "contrastive.dpo_beta: must be above 0, got 0.0"),
        ({"objective": "nll", "nll": 0.0}, "contrastive.nll: must be above 0 where it is the objective, got 0.0"),
        ({"separators": ("",)}, "contrastive.separators: must be texts that are not empty, got ['']"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Contrastive(**settings)
    assert str(caught.value).startswith(message)
