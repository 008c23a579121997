"""Looks of a stack's replicas, their questions answered together, against each replica's own look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.questions import Asking, Read, Write, alone, together
from forgetting.models import stacked_decoding
from forgetting.models.stacked import StackedModel
from forgetting.models.stacked_decoding import Decoder
from forgetting.spec import Evaluation
from forgetting.testing.small import model, samples, words
from tests.evaluation.test_evaluator import BENCHMARKS, with_dropout

SUMS = ("nll_sum", "base_ce_sum", "kl_sum")


def assert_equal(one: pd.DataFrame, other: pd.DataFrame) -> None:
    """Answers and all that follows from them are the same, sums equal to within rounding."""
    plain = [column for column in one if column not in (*SUMS, "answer")]
    pd.testing.assert_frame_equal(one[plain], other[plain], check_exact=True)
    assert one["answer"].map(list).tolist() == other["answer"].map(list).tolist()
    for column in SUMS:
        np.testing.assert_allclose(one[column], other[column], rtol=1e-4, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_looks_together_are_the_looks_one_by_one(data: st.DataObject) -> None:
    """Over random replicas, drafts and stop positions; two bases, and a probe of each replica's own, or none."""
    seeds = data.draw(st.lists(st.integers(0, 5), min_size=1, max_size=4))
    limit, perturbed = data.draw(st.integers(1, 9)), data.draw(st.booleans())
    each, bases = [model(seed) for seed in seeds], [model(6), model(7)]
    asked = [words()(item.prompt)["input_ids"] for b in BENCHMARKS for item in b.items()]
    free = [answer for one in each for answer in one.generate([asked], max_new_tokens=limit)[0]]
    stops = [words().eos_token_id, *(token for answer in free for token in answer[-2:])]
    end = words().convert_ids_to_tokens(data.draw(st.sampled_from(stops)))
    for one in (*each, *bases):
        one.tokenizer.eos_token = end
    how = Evaluation(max_new_tokens=limit, batch_items=data.draw(st.integers(3, 9)))
    evaluators = [Evaluator(base, BENCHMARKS, [], "", how) for base in bases]
    looks, plain = [], []
    for number, one in enumerate(each):
        evaluator = evaluators[data.draw(st.integers(0, 1))]
        source = data.draw(st.sampled_from(["dialogue", "noise", ""]))
        probe = samples(data.draw(st.integers(1, 7)), seed=number, source=source) if source else []
        evaluator = evaluator.with_probe(probe, source)
        wanted = one.generate([asked], max_new_tokens=limit)[0]
        places, earlier = iter(wanted), {}
        for benchmark in BENCHMARKS:
            for item in benchmark.items():
                true = next(places)
                cut, noise = data.draw(st.integers(0, limit)), data.draw(st.lists(st.integers(2, 199), max_size=3))
                draft = data.draw(st.sampled_from([true, [*true[:cut], *noise], noise, []]))
                earlier[benchmark.short_name(), item.id] = draft
        plain.append(evaluator.measure(one, perturbed=perturbed, earlier=earlier))
        looks.append(evaluator.look(one, perturbed=perturbed, earlier=earlier))
    for found, expected in zip(together(StackedModel(each), looks), plain, strict=True):
        assert_equal(found, expected)


@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_questions_of_any_shape_and_order_get_the_answers_that_each_replica_gives_alone(data: st.DataObject) -> None:
    each = [model(seed) for seed in range(data.draw(st.integers(1, 3)))]
    token = st.integers(2, 199)

    def question() -> Read | Write:
        rows = data.draw(st.lists(st.lists(token, min_size=1, max_size=6), min_size=1, max_size=4))
        if data.draw(st.booleans()):
            return Write(rows, [data.draw(st.lists(token, max_size=3)) for _ in rows], 5, 2)
        width = max(map(len, rows))
        tokens_BT = torch.tensor([row + [0] * (width - len(row)) for row in rows])
        places = [b * width + data.draw(st.integers(0, len(row) - 1)) for b, row in enumerate(rows)]
        return Read(tokens_BT, torch.tensor(places), data.draw(st.booleans()))

    scripts = [[question() for _ in range(data.draw(st.integers(0, 4)))] for _ in each]

    def look(script: list[Read | Write]) -> Asking[list[Any]]:
        told = []
        for one in script:
            told.append((yield one))
        return told

    found = together(StackedModel(each), [look(script) for script in scripts])
    for one, script, told in zip(each, scripts, found, strict=True):
        for asked, here, there in zip(script, told, alone(one, look(script)), strict=True):
            if isinstance(asked, Write):
                assert here == there
            else:
                torch.testing.assert_close(here[0], there[0], rtol=1e-4, atol=1e-5)


def test_a_look_together_in_the_middle_of_training_is_one_at_rest() -> None:
    """No dropout, no gradient, and the stack trains on afterwards."""
    training, resting, base = [with_dropout(seed) for seed in (0, 1)], [model(0), model(1)], model(2)
    stack = StackedModel(training)
    stack.network.train()
    evaluator = Evaluator(base, BENCHMARKS, samples(4), "dialogue", Evaluation(max_new_tokens=6, batch_items=5))
    looks = [evaluator.look(stack.replica(number), perturbed=False) for number in range(2)]
    state = torch.get_rng_state()
    for found, one in zip(together(stack, looks), resting, strict=True):
        assert_equal(found, evaluator.measure(one, perturbed=False))
    assert torch.equal(torch.get_rng_state(), state)
    assert stack.network.training and not base.network.training
    assert all(not p.grad.any() for _, p in stack.named_parameters() if p.grad is not None)


def test_little_memory_makes_batches_smaller_and_no_answer_another(monkeypatch: pytest.MonkeyPatch) -> None:
    stack, asked = StackedModel([model(0), model(1)]), [[[5, 6], [7], [8, 9, 10]], [[11]]]
    expected = stack.generate(asked, max_new_tokens=4)
    rows: list[int] = []
    real = Decoder._chunk

    def counted(self: Decoder, prompts: list[list[list[int]]], *rest: object) -> object:
        rows.append(max(map(len, prompts)))
        return real(self, prompts, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Decoder, "_chunk", counted)
    monkeypatch.setattr(stacked_decoding, "PASS_BYTES", 1)
    assert stack.generate(asked, max_new_tokens=4) == expected
    assert rows == [1, 1, 1]


def test_what_goes_wrong_in_a_look_is_raised() -> None:
    def look() -> Asking[None]:
        yield Write([[5]], [[]], 2, 2)
        raise ValueError("broken")

    for work in (lambda: alone(model(0), look()), lambda: together(StackedModel([model(0)]), [look()])):
        with pytest.raises(ValueError, match="broken"):
            work()  # type: ignore[no-untyped-call]
