"""A learned verifier: what it accepts, what is drawn in place of the rest, what it learns, and from whom."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

from forgetting.answering._shared import samples_of
from forgetting.answering.learned_verifier import LearnedVerifier, features
from forgetting.answering.running_value import RunningValue
from forgetting.batching import prompt_tokens, texts, without_end
from forgetting.benchmarks.lookup import Lookup
from forgetting.contracts import Answered, Answering, Model, Sample, Sampling
from forgetting.errors import UsageError
from forgetting.evaluation.other_answers import other_answers
from forgetting.spec import Evaluation
from forgetting.testing.small import model, words
from forgetting.world.correctness import is_right
from tests.answering.test_aids import PROMPT, Scripted
from tests.answering.test_probes import MATHS, _problems, _taught


@dataclass(frozen=True)
class Reading(LearnedVerifier):
    """Scores an answer by its last number, in hundredths."""

    def scores(self, model: Model, prompts: Sequence[Sequence[int]], written: Sequence[Sequence[int]]) -> list[float]:
        said = texts(without_end([list(own) for own in written], model.ends), model.tokenizer)
        return [int(text.split()[-1]) / 100 for text in said]


def written(numbers: Sequence[int], **settings: Any) -> tuple[str, Answered]:
    """The answer of a student that writes ``answer`` and one number after another."""
    student: Any = Scripted(lambda stands, row, step: f"answer {numbers[max(step, 0)]} >")
    asked = [student.tokenizer.encode(PROMPT, add_special_tokens=False)]
    ((one,),) = Reading(**settings).answers(student, asked, max_new_tokens=8, batch_items=4)
    return student.tokenizer.decode(one.tokens), one


@pytest.mark.parametrize(
    ("numbers", "threshold", "expected", "rounds"),
    [
        ((30, 40, 40), 0.3, "answer 30", 1),  # accepted at once
        ((29, 12, 31, 40), 0.3, "answer 31", 3),  # the first that is accepted
        ((20, 12, 21, 21, 3), 0.3, "answer 21", 5),  # none is: the best
        ((22, 12, 21, 22, 3), 0.3, "answer 22", 5),
    ],
)
def test_what_is_rejected_is_drawn_anew_and_counted(
    numbers: tuple[int, ...], threshold: float, expected: str, rounds: int
) -> None:
    text, one = written(numbers, threshold=threshold)
    assert (text, one.generated) == (expected, 3 * rounds)


def test_no_more_is_drawn_than_is_allowed() -> None:
    assert written((1, 2, 40, 40), threshold=0.3, attempts=1)[0] == "answer 2"


def test_without_having_learned_it_accepts_all() -> None:
    student: Any = Scripted(lambda stands, row, step: "answer 1 >" if step < 0 else "answer 2 >")
    ((one,),) = LearnedVerifier().answers(student, [words().encode(PROMPT)], max_new_tokens=8, batch_items=4)
    assert one.generated == 3


def test_features_are_those_of_a_plain_loop() -> None:
    student, asked = model(3), prompt_tokens(_problems(3), words())
    rows = [[5, 6, 7], [8], []]
    found = features(student, asked, rows)
    for prompt, own, value_F in zip(asked, rows, found, strict=True):
        whole = torch.tensor([[*prompt, *own]])
        with torch.no_grad():
            told = student.network(input_ids=whole, output_hidden_states=True)
        states_AD = told.hidden_states[-1][0, len(prompt) :].double()
        if not own:
            states_AD = told.hidden_states[-1][0, -1:].double()
        log_TV = told.logits[0].double().log_softmax(-1)
        each = [float(log_TV[len(prompt) + n - 1, token]) for n, token in enumerate(own)] or [0.0]
        expected = [*states_AD.mean(0).tolist(), *states_AD[-1].tolist(), float(np.mean(each)), min(each)]
        assert value_F.tolist() == pytest.approx(expected, abs=1e-5)


def told_apart(part: LearnedVerifier, student: Model, own: list[Sample]) -> float:
    """How often a right answer is scored above a wrong one, of draws that it was not fitted to."""
    fitted: Any = part.fitted(student, own)
    asked = prompt_tokens(own, words())
    drawn = samples_of(student, asked, 8, Sampling(seed=77, samples=8), limit=12, batch_items=64)
    flat = [answer for each in drawn for answer in each]
    prompts = [prompt for prompt in asked for _ in range(8)]
    said = texts(without_end(flat, student.ends), words())
    asked_for = [sample for sample in own for _ in range(8)]
    right = np.array([is_right(sample, text) for sample, text in zip(asked_for, said, strict=True)])
    assert 0.05 < right.mean() < 0.95
    score = np.array(fitted.scores(student, prompts, flat))
    return float(np.mean(score[right][:, None] > score[~right][None]))


def test_it_tells_right_from_wrong_and_its_control_does_not() -> None:
    student, own = _taught(80), _problems(20)
    settings: dict[str, Any] = {"problems": 20, "samples": 8, "max_new_tokens": 12}
    assert told_apart(LearnedVerifier(**settings), student, own) > 0.85
    # One shuffling may point along what tells right from wrong by chance, or against it.
    controls = [told_apart(LearnedVerifier(shuffled=True, **settings, seed=seed), student, own) for seed in range(16)]
    assert np.mean(controls) < 0.8


def test_where_all_are_wrong_there_is_nothing_to_learn() -> None:
    part = LearnedVerifier(problems=3, samples=2, max_new_tokens=6)
    assert part.fitted(model(3), _problems(3)) is part


def test_who_it_is_fitted_to(monkeypatch: pytest.MonkeyPatch) -> None:
    """The student that answers, or, kept, the student at dose 0; every other way the student that answers."""
    fitted_to = dict[str, Model]()

    def note(self: Answering, student: Model, samples: Sequence[Sample]) -> Answering:
        fitted_to[self.label] = student
        return self

    for part in (LearnedVerifier, RunningValue):
        monkeypatch.setattr(part, "fitted", note)
    ways = [LearnedVerifier(problems=1), LearnedVerifier(problems=1, kept=True), RunningValue(samples=4)]
    base, student = model(1), model(2)
    for given, expected in ((base, [student, base, student]), (None, [student] * 3)):
        other_answers(student, ways, [Lookup(item_count=2)], Evaluation(max_new_tokens=6), MATHS, given)
        assert all(fitted_to[way.label] is one for way, one in zip(ways, expected, strict=True))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"problems": 0}, "learned_verifier.problems: must be 1 or more, got 0"),
        ({"threshold": 1.0}, "learned_verifier.threshold: must be above 0 and below 1, got 1.0"),
        ({"ridge": 0.0}, "learned_verifier.ridge: must be above 0, got 0.0"),
        ({"temperature": 0.0}, "sampling.temperature: must be above 0"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        LearnedVerifier(**settings)
    assert str(caught.value).startswith(message)


def test_a_skill_that_nobody_teaches() -> None:
    with pytest.raises(
        UsageError, match=r"^learned_verifier\.skill: must be a skill of the original samples, got 'mats'"
    ):
        LearnedVerifier(skill="mats").fitted(model(3), _problems(3))
