"""Process distillation: weights of steps and answer, and the arms that rearrange them."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch

from forgetting import losses
from forgetting.contracts import Batch, Sample
from forgetting.distillation import process
from forgetting.distillation.off_policy import OffPolicy
from forgetting.distillation.process import Process
from forgetting.errors import UsageError
from forgetting.models.scratch import byte_level_bpe
from forgetting.testing.distillation_laws import Steps
from forgetting.testing.small import model, samples, words
from forgetting.training.plan import MixPlan


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> list[Sample]:
    """Samples whose gold answers the teacher writes, word problems and others."""
    found = samples(24)
    monkeypatch.setattr(process, "taught", lambda teacher, stream, limit: list(stream.samples))
    return found


def made(part: Process, pool: list[Sample]) -> Batch:
    (found,) = part.batches(model(1), model(2), Steps(pool, [list(range(len(pool)))]))
    return found


def said(batch: Batch) -> list[str]:
    rows = zip(batch.tokens_RBT[0], batch.answer_RBT[0], strict=True)
    return [words().decode(row[mask][:-1], skip_special_tokens=False) for row, mask in rows]


@pytest.mark.parametrize(("steps", "answer"), [(1.0, 1.0), (3.0, 1.0), (1.0, 3.0), (0.0, 1.0), (1.0, 0.0)])
def test_the_loss_is_the_weighted_mean_over_steps_and_answers(pool: list[Sample], steps: float, answer: float) -> None:
    """(w_s sum of the steps' CE + w_a sum of the answers') / (w_s n_s + w_a n_a), by a loop over words."""
    student, part = model(1), Process(steps=steps, answer=answer)
    found, above, below = made(part, pool), 0.0, 0.0
    for row, mask, sample in zip(found.tokens_RBT[0], found.answer_RBT[0], pool, strict=True):
        with torch.no_grad():
            nll = -student.logits(row[None, None])[0, 0].log_softmax(-1)
        places = mask.nonzero().flatten().tolist()
        parts = sample.answer.split(" ; answer ")
        count = len(parts[0].split()) + 1 if len(parts) == 2 else 0  # the separator belongs to the steps
        for number, place in enumerate(places):
            weight = steps if number < count else answer
            above += weight * nll[place - 1, row[place]].item()
            below += weight
    assert part.loss(student, model(2), found).item() == pytest.approx(above / below, rel=1e-5)
    assert found.weight_RBT is not None
    assert found.weight_RBT[found.answer_RBT].mean().item() == pytest.approx(1, rel=1e-6)
    assert not found.weight_RBT[~found.answer_RBT].any()


@pytest.mark.parametrize("arrangement", ["kept", "answer_first"])
def test_results_are_masked_and_nothing_else(pool: list[Sample], arrangement: Any) -> None:
    """A weight of 0 stands at the words behind ``=`` in steps; all others are alike. Programs keep theirs."""
    found, masked = made(Process(results=0.0, arrangement=arrangement), pool), 0
    assert found.weight_RBT is not None
    for place, text in enumerate(said(found)):
        own = found.weight_RBT[0, place][found.answer_RBT[0, place]].tolist()
        said_words = text.split()
        steps = pool[place].skill in ("maths", "traps")
        results = [steps and number > 0 and said_words[number - 1] == "=" for number in range(len(said_words))]
        assert [weight == 0 for weight in own] == [*results, False]  # the end
        assert len({weight for weight in own if weight}) == 1
        masked += sum(results)
    assert masked > 20
    assert found.weight_RBT[found.answer_RBT].mean().item() == pytest.approx(1, rel=1e-6)


def test_of_numbers_in_several_words_all_are_masked() -> None:
    """In the words of a real tokenizer; the final answer, which is copied, keeps its weight."""
    text = "so 12+5=17 in all\n#### 17"
    tokenizer = byte_level_bpe([text], 270)
    part = Process(results=0.0, mark="#### ", separator="\n")
    sample = Sample("q", text, "worked", 1, "worked")
    weights = part._weights(*part._arranged(0, [sample]), tokenizer)
    offsets = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).offsets
    masked = "".join(text[start:end] for weight, (start, end) in zip(weights, offsets, strict=True) if not weight)
    assert "17" in masked and set(masked) <= set("=17 ")


def test_with_equal_weights_it_is_off_policy(pool: list[Sample]) -> None:
    student, teacher, stream = model(1), model(2), Steps(samples(6), [[0, 1, 2], [3, 4, 5]])
    one, other = Process(max_new_tokens=9), OffPolicy(max_new_tokens=9)
    found = list(one.batches(student, teacher, stream))
    for own, index in zip(found, stream, strict=True):
        assert own.tokens_RBT.shape[1] == len(index)
        plain = losses.cross_entropy(student, Batch(own.tokens_RBT, own.answer_RBT, own.denominator))
        torch.testing.assert_close(one.loss(student, teacher, own), plain)
    assert other.level == "sequence"


def test_shuffled_steps_are_the_same_steps_in_another_order(pool: list[Sample]) -> None:
    moved = 0
    for text, sample in zip(said(made(Process(arrangement="shuffled"), pool)), pool, strict=True):
        old, new = sample.answer.split(" ; "), text.split(" ; ")
        assert sorted(old) == sorted(new) and old[-1] == new[-1]
        several = len(old) > 2 and sample.skill == "maths" and len(set(old[:-1])) > 1
        assert (old != new) if several else True
        moved += old != new
    assert moved > 3


def test_answers_alone_first_and_with_the_steps_of_another(pool: list[Sample]) -> None:
    arms = {name: said(made(Process(arrangement=name), pool)) for name in ("answer_only", "answer_first", "of_another")}
    borrowed = 0
    for place, sample in enumerate(pool):
        *steps, final = sample.answer.split(" ; ")
        if sample.skill not in ("maths", "traps"):
            assert {arm[place] for arm in arms.values()} == {sample.answer}
            continue
        assert arms["answer_only"][place] == final
        assert arms["answer_first"][place] == " ; ".join([final, *steps])
        *other, own_final = arms["of_another"][place].split(" ; ")
        assert own_final == final and len(other) == len(steps)
        sources = [s for s in pool if s.skill == sample.skill and s.answer.split(" ; ")[:-1] == other]
        assert sources
        borrowed += other != steps
    assert borrowed > 3


def test_the_answers_weight_follows_it_to_the_front(pool: list[Sample]) -> None:
    found = made(Process(steps=0.0, arrangement="answer_first"), pool)
    assert found.weight_RBT is not None
    for sample, mask, weights in zip(pool, found.answer_RBT[0], found.weight_RBT[0], strict=True):
        if sample.skill == "maths":
            learned = (weights[mask] > 0).tolist()
            assert learned == [True, True, *[False] * (len(learned) - 3), True]  # "answer N", then nothing but the end


def test_arrangements_depend_on_the_seed_alone(pool: list[Sample]) -> None:
    one, same, other = (said(made(Process(arrangement="shuffled", seed=s), pool)) for s in (1, 1, 2))
    assert one == same != other


def test_text_with_other_marks() -> None:
    part = Process(arrangement="answer_first", mark="#### ", separator="\n")
    sample = Sample("q", "2 + 2 = 4\n4 + 1 = 5\n#### 5", "worked", 2, "worked")
    found, span = part._arranged(0, [sample])
    assert found.answer == "#### 5\n2 + 2 = 4\n4 + 1 = 5" and found.answer[slice(*span)] == "#### 5"


def test_contaminating_samples_stay_as_they_are(pool: list[Sample]) -> None:
    foreign = np.arange(len(pool)) % 2 == 0
    plan = MixPlan(pool, len(pool), np.arange(len(pool)), np.array([0, len(pool)]), foreign)
    (found,) = Process(steps=0.0, arrangement="answer_only").batches(model(1), model(2), plan)
    assert found.weight_RBT is not None
    for place, text in enumerate(said(found)):
        assert not foreign[place] or text == pool[place].answer
        assert (found.weight_RBT[0, place][found.answer_RBT[0, place]] > 0).all()


def test_a_teacher_writes_what_is_rearranged() -> None:
    student, teacher, stream = model(1), copy.deepcopy(model(2)), Steps(samples(4), [[0, 1, 2, 3]])
    (own,) = Process(max_new_tokens=7, mark="for", separator=" ").batches(student, teacher, stream)
    (plain,) = OffPolicy(max_new_tokens=7).batches(student, teacher, stream)
    assert torch.equal(own.tokens_RBT, plain.tokens_RBT) and own.denominator == plain.denominator
    assert own.notes == {"answers_split": 1 / 4}  # a fresh teacher writes "for" again and again to one of them


def test_a_teacher_that_never_writes_the_mark_is_a_line_and_a_share_of_answers_with_it_a_note(
    pool: list[Sample], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the samples' own answers have: the teacher's are what is learned."""
    marked = sum(" ; answer " in sample.answer for sample in pool)
    assert 0 < marked < len(pool) and made(Process(), pool).notes == {"answers_split": marked / len(pool)}
    foreign = np.arange(len(pool)) % 2 == 0
    plan = MixPlan(pool, len(pool), np.arange(len(pool)), np.array([0, len(pool)]), foreign)
    (found,) = Process().batches(model(1), model(2), plan)
    assert found.notes["answers_split"] == np.mean([" ; answer " in sample.answer for sample in pool[1::2]])
    monkeypatch.undo()
    with pytest.raises(UsageError) as caught:
        made(Process(max_new_tokens=7), pool)
    rule = "must be a text behind ' ; ' in one of the 24 answers that the teacher wrote"
    assert str(caught.value) == f"process.mark: {rule}, got 'answer '"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"arrangement": "shuffle"}, "process.arrangement: unknown name 'shuffle'; did you mean 'shuffled'"),
        ({"steps": -1.0}, "process.steps: must be a weight, 0 or more, got -1.0"),
        ({"steps": 0.0, "answer": 0.0}, "process.answer: must be above 0 where process.steps is 0, got 0.0"),
        ({"results": -0.5}, "process.results: must be a factor, 0 or more, got -0.5"),
        ({"mark": ""}, "process.mark: must be the text with which the final answer begins, got ''"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Process(**settings)
    assert str(caught.value).startswith(message)
