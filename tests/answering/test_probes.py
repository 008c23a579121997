"""Probes at decoding: what is written is well formed, begins as it should; biases and readings find what there is."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from forgetting.answering.forced_opening import ForcedOpening, first_step
from forgetting.answering.grammar import Grammar
from forgetting.answering.greedy import Greedy
from forgetting.answering.output_biases import OutputBiases
from forgetting.answering.running_value import RunningValue
from forgetting.answering.wrong_step import WrongStep
from forgetting.batching import prompt_tokens, texts, tokens
from forgetting.benchmarks.lookup import Lookup
from forgetting.benchmarks.maths import Maths
from forgetting.contamination.original import Original
from forgetting.contracts import Answering, Sample
from forgetting.evaluation.other_answers import other_answers
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Evaluation
from forgetting.testing.small import model, samples, words
from forgetting.world.steps import read

GOLD = ("12 + 5 = 17 ; 17 - 3 = 14 ; answer 14", "8 * 2 = 16 ; answer 16", "8 * 2 = 16 ; answer 16")
MATHS = Original(maths=1.0, code=0.0, traps=0.0, lookup=0.0, classification=0.0)


def said(openings: list[list[int]]) -> list[str]:
    return texts(openings, words())


def test_openings_are_those_of_the_gold_answer_or_of_another() -> None:
    gold = tokens(GOLD, words())
    assert said(ForcedOpening().openings(gold, words())) == ["12 +", "8 *", "8 *"]
    assert said(ForcedOpening(tokens=0).openings(gold, words())) == ["12 + 5 = 17 ;", "8 * 2 = 16 ;", "8 * 2 = 16 ;"]
    assert said(ForcedOpening(other=True).openings(gold, words())) == ["8 *", "12 +", "12 +"]
    assert first_step(tokens(["red"], words())[0], words()) == tokens(["red"], words())[0]


def test_a_wrong_step_is_off_by_one() -> None:
    gold = tokens([*GOLD[:1], "red", "40 - 1 = 39 ; answer 39", "39 + 1 = 40 ; answer 40"], words())
    # 41 is no word, so the last one is spoilt to the other side.
    assert said(WrongStep().openings(gold, words())) == ["12 + 5 = 18 ;", "", "40 - 1 = 40 ;", "39 + 1 = 39 ;"]
    assert said(WrongStep(less=True).openings(gold, words()))[0] == "12 + 5 = 16 ;"


def test_what_the_grammar_writes_is_well_formed() -> None:
    student, asked = model(3), prompt_tokens(samples(40), words())
    found = Grammar().answers(student, asked, max_new_tokens=48, batch_items=16)
    ended = [one for (one,) in found if not one.cut]
    for text in texts([one.tokens for (one,) in found], words()):
        steps, final = read(text if "answer" in text else text.rpartition(" ; ")[0])
        assert steps and all(step is not None for step in steps) and (final is not None) == ("answer" in text)
    assert all("answer" in text for text in texts([one.tokens for one in ended], words()))


def test_a_student_that_is_right_answers_the_same_under_the_grammar() -> None:
    """Where greedy answers are well formed, the mask changes nothing."""
    student = _taught(60)
    asked = prompt_tokens(_problems(20), words())
    plain = Greedy().answers(student, asked, max_new_tokens=48, batch_items=32)
    masked = Grammar().answers(student, asked, max_new_tokens=48, batch_items=32)
    formed = [
        read(text)[1] is not None and None not in read(text)[0] for text in texts([a.tokens for (a,) in plain], words())
    ]
    assert any(formed)
    assert [m for m, fine in zip(masked, formed, strict=True) if fine] == [
        p for p, fine in zip(plain, formed, strict=True) if fine
    ]


def _problems(number: int) -> list[Sample]:
    """Problems of one step from few numbers, which a small model learns by heart."""
    return [
        Sample(
            f"ann has {n} hats , finds 1 . how many hats ?", f"{n} + 1 = {n + 1} ; answer {n + 1}", "maths", 1, "add"
        )
        for n in range(2, 2 + number)
    ]


def _taught(steps: int) -> HuggingFaceModel:
    from forgetting.intervention.relearning import _learn

    student = model(5)
    _learn(student, [_problems(20)] * steps, lambda _: 1e-2)
    return student


def test_biases_undo_a_shift_of_frequencies() -> None:
    """A word's row of the output made large by a constant: greedy answers drown in it, and a bias brings them back."""
    student = _taught(60)
    own, asked = _problems(20), prompt_tokens(_problems(20), words())
    before = Greedy().answers(student, asked, max_new_tokens=12, batch_items=32)
    drowned = _Drowned(student.network, student.tokenizer)
    fitted = OutputBiases(samples=20, skill="").fitted(drowned, own)
    control = OutputBiases(samples=20, skill="", shuffled=True).fitted(drowned, own)
    plain = OutputBiases().answers(drowned, asked, max_new_tokens=12, batch_items=32)  # of 0
    back = fitted.answers(drowned, asked, max_new_tokens=12, batch_items=32)
    assert sum(a == b for a, b in zip(plain, before, strict=True)) == 0
    assert sum(a == b for a, b in zip(back, before, strict=True)) >= 15
    other = control.answers(drowned, asked, max_new_tokens=12, batch_items=32)
    assert sum(a == b for a, b in zip(other, before, strict=True)) <= 2


class _Drowned(HuggingFaceModel):
    """A model to whose logits a constant is added for one word."""

    def logits_at(self, tokens_RBT: torch.Tensor, places_RN: torch.Tensor) -> torch.Tensor:
        logits = super().logits_at(tokens_RBT, places_RN).clone()
        logits[..., words().get_vocab()["red"]] += 12.0
        return logits


def test_the_running_value_is_read_where_it_is_and_not_under_shuffled_labels() -> None:
    """A taught model tells small results apart at ``=``; the control task does not."""
    student, own = _taught(80), _problems(20)
    found = {}
    for shuffled in (False, True):
        part = RunningValue(samples=20, shuffled=shuffled)
        fitted = part.fitted(student, own)
        openings = part.openings(tokens([s.answer for s in own], words()), words())
        asked = [[*p, *o] for p, o in zip(prompt_tokens(own, words()), openings, strict=True)]
        answers = fitted.answers(student, asked, max_new_tokens=48, batch_items=8)
        said = texts([[*o, *a.tokens] for o, (a,) in zip(openings, answers, strict=True)], words())
        found[shuffled] = np.mean([text == s.answer for text, s in zip(said, own, strict=True)])
    assert found[False] >= 0.9 and found[True] <= 0.3
    assert RunningValue().answers(student, [[1, 2]], max_new_tokens=4, batch_items=1)[0][0].tokens == []


@pytest.mark.parametrize("way", [ForcedOpening(tokens=0), RunningValue(samples=50), WrongStep()], ids=str)
def test_rows_are_graded_with_their_openings(way: Answering) -> None:
    """And a way that is fitted keeps the label of its settings."""
    benchmarks = [Maths(items_per_depth=3, depths=(1, 2)), Lookup(item_count=4)]
    rows = other_answers(model(3), [way], benchmarks, Evaluation(max_new_tokens=30), MATHS)
    assert set(rows["answering"]) == {way.label}
    gold = {item.id: item.answer for b in benchmarks for item in b.items()}
    maths = rows[rows["benchmark"] == "maths"]
    for answer, item in zip(texts([list(a) for a in maths["answer"]], words()), maths["item"], strict=True):
        expected = gold[item].split()
        begun = expected[: 5 + (not isinstance(way, WrongStep))]
        if isinstance(way, ForcedOpening):
            assert answer.split()[: len(begun)] == begun
        elif isinstance(way, RunningValue):
            assert answer.startswith(gold[item].rpartition("=")[0] + "=") and read(answer)[1] is not None
        else:
            assert answer.split()[:4] == expected[:4] and answer.split()[4] != expected[4]
