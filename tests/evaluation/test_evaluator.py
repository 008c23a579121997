"""Interval evaluation: sums against a plain loop over the model, rows against the benchmark, and one look per stop."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import losses, registry
from forgetting.analysis.scores import score_rows
from forgetting.batching import encode, texts, without_end
from forgetting.benchmarks.maths import Maths
from forgetting.contracts import Benchmark, Item, Model, Split
from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.gold_traces import Budget, GoldTraces, gold_sums
from forgetting.record.schema import ADDED, LEDGER_COLUMNS
from forgetting.spec import Evaluation, Optimiser
from forgetting.testing.small import batch, differing, model, samples, weights, words
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.stops import IntervalEvaluation

BENCHMARKS = [
    cast(Benchmark, registry.build("benchmarks", {"name": "maths", "items_per_depth": 2, "depths": (1, 2)})),
    cast(Benchmark, registry.build("benchmarks", {"name": "code", "items_per_depth": 2, "depths": (1,)})),
    cast(Benchmark, registry.build("benchmarks", {"name": "lookup", "item_count": 3})),
]
SETTINGS = Evaluation(max_new_tokens=8, batch_items=5)


def by_hand(student: Model, base: Model, prompt: str, answer: str) -> tuple[int, float, float, float]:
    """Tokens, NLL, L_f and KL of one item, one position at a time."""
    row = [*words()(prompt)["input_ids"], *words()(answer)["input_ids"], words().eos_token_id]
    start = len(words()(prompt)["input_ids"])
    nll = base_ce = kl = 0.0
    for place in range(start, len(row)):
        before = torch.tensor([[row[:place]]])
        with torch.no_grad():
            own = student.logits(before)[0, 0, -1].double().log_softmax(-1)
            reference = base.logits(before)[0, 0, -1].double().log_softmax(-1)
        nll -= own[row[place]].item()
        base_ce -= own[reference.argmax()].item()
        kl += (reference.exp() * (reference - own)).sum().item()
    return len(row) - start, nll, base_ce, kl


@pytest.mark.parametrize("batch_items", [1, 4, 128])
def test_gold_sums_are_those_of_a_plain_loop(batch_items: int) -> None:
    student, base, pool = model(1), model(2), samples(12)
    found = gold_sums(student, base, encode(pool, words()), batch_items)
    for place, sample in enumerate(pool):
        tokens, nll, base_ce, kl = by_hand(student, base, sample.prompt, sample.answer)
        assert found["gold_tokens"][place] == tokens
        assert found["nll_sum"][place] == pytest.approx(nll, rel=1e-5)
        assert found["base_ce_sum"][place] == pytest.approx(base_ce, rel=1e-5)
        assert found["kl_sum"][place] == pytest.approx(kl, rel=1e-4, abs=1e-5)


def test_a_student_that_is_its_base() -> None:
    base, pool = model(1), samples(5)
    found = gold_sums(model(1), base, encode(pool, words()), 3)
    assert np.abs(found["kl_sum"]).max() < 1e-4
    assert (found["base_ce_sum"] <= found["nll_sum"] + 1e-4).all()


def ledger(student: Model, base: Model, *, perturbed: bool = False) -> pd.DataFrame:
    return Evaluator(base, BENCHMARKS, samples(6, seed=1, source="dialogue"), "dialogue", SETTINGS).measure(
        student, perturbed=perturbed
    )


def test_rows_say_what_the_model_answers_and_the_benchmark_thinks_of_it() -> None:
    student, base = model(1), model(2)
    found = ledger(student, base, perturbed=True)
    expected = [(b, v, item) for b in BENCHMARKS for v in b.variants for item in b.items("test", v)]
    graded = found[found["benchmark"] != "probe"].set_index("item")
    assert sorted(graded.index) == sorted(item.id for _, _, item in expected)
    for benchmark, variant, item in expected:
        row = graded.loc[item.id]
        prompt = words()(item.prompt)["input_ids"]
        (written,) = student.generate([[prompt]], max_new_tokens=8)[0]
        (answer,) = without_end([written], student.ends)
        (grade,) = benchmark.grade([item], texts([answer], words()))
        assert row["answer"].tolist() == answer and row["generated"] == len(written)  # the end token, if there is one
        assert (row["verdict"], row["kind"]) == (grade.verdict, grade.kind)
        assert (row["steps_right"], row["steps_total"]) == (grade.steps_right, grade.steps_total)
        assert (row["benchmark"], row["variant"], row["depth"]) == (benchmark.short_name(), variant, item.depth)
        assert (row["problem"], row["template"], row["coverage"]) == (item.problem, item.template, item.coverage)
        _, nll, base_ce, kl = by_hand(student, base, item.prompt, item.answer)
        assert row["nll_sum"] == pytest.approx(nll, rel=1e-5)
        assert row["base_ce_sum"] == pytest.approx(base_ce, rel=1e-5)
        assert row["kl_sum"] == pytest.approx(kl, rel=1e-4)
    probe = found[found["benchmark"] == "probe"]
    assert len(probe) == 6 and set(probe["variant"]) == {"dialogue"} and set(probe["verdict"]) == {""}
    given_columns = {"student", "capacity", "arm", "distillation_seed", "seed", "dose", "dose_tokens", "stream_samples"}
    assert set(found.columns) == set(LEDGER_COLUMNS) - given_columns - (set(ADDED) - {"generated"})


class _Rare(Maths):
    """Word problems of which no item has renumbered twins."""

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """None of a variant that suits none."""
        return [] if variant == "renumbered" else super().items(split, variant)


def test_a_variant_that_suits_no_item_is_left_out() -> None:
    """A few items of a real benchmark may have nothing to put in another order."""
    settings = Evaluation(max_new_tokens=2, batch_items=5)
    found = Evaluator(model(1), [_Rare(2, (1,))], [], "", settings).measure(model(2), perturbed=True)
    assert set(found["variant"]) == {*_Rare.variants} - {"renumbered", "novel_pair"}  # the latter begins at depth 2
    assert found["nll_sum"].notna().all()


def test_logged_scores_are_those_of_a_plain_loop() -> None:
    """NLL, L_f and KL per token of a score row, over the items of a benchmark and over the probe."""
    student, base = model(1), model(2)
    clock = {"dose": 0, "dose_tokens": 0, "stream_samples": 0}
    columns = {"student": "tiny", "capacity": 1, "arm": "a", "distillation_seed": 0, "seed": 0}
    rows = score_rows(
        ledger(student, base).assign(**clock, **columns), {b.short_name(): b.chance for b in BENCHMARKS}, {}
    )
    overall = {r.benchmark: r for r in rows if r.depth is None}
    pools: dict[str, Any] = {b.short_name(): b.items() for b in BENCHMARKS}
    pools["probe"] = samples(6, seed=1, source="dialogue")
    assert overall.keys() == pools.keys()
    for name, pool in pools.items():
        tokens, nll, base_ce, kl = (
            sum(x) for x in zip(*(by_hand(student, base, s.prompt, s.answer) for s in pool), strict=True)
        )
        assert overall[name].nll == pytest.approx(nll / tokens, rel=1e-5)
        assert overall[name].base_ce == pytest.approx(base_ce / tokens, rel=1e-5)
        assert overall[name].kl == pytest.approx(kl / tokens, rel=1e-4)
        assert overall[name].delta_nll == 0


def test_scoring_the_same_weights_twice_gives_the_same_rows_bit_for_bit() -> None:
    student, base = model(1), model(2)
    pd.testing.assert_frame_equal(ledger(student, base), ledger(student, base), check_exact=True)
    evaluator = Evaluator(base, BENCHMARKS, [], "", SETTINGS)
    first = evaluator.measure(student, perturbed=True)
    pd.testing.assert_frame_equal(first, evaluator.measure(student, perturbed=True), check_exact=True)
    plain = evaluator.measure(student, perturbed=False)
    kept = first[first["variant"] == "original"].reset_index(drop=True)
    assert plain["answer"].map(list).tolist() == kept["answer"].map(list).tolist()


@settings(max_examples=5, deadline=None)
@given(st.integers(1, 40))
def test_answers_and_verdicts_do_not_depend_on_the_batch(batch_items: int) -> None:
    student, base = model(1), model(2)
    one = Evaluator(base, BENCHMARKS, [], "", Evaluation(max_new_tokens=8, batch_items=batch_items))
    other = Evaluator(base, BENCHMARKS, [], "", SETTINGS)
    a, b = one.measure(student, perturbed=True), other.measure(student, perturbed=True)
    assert a["answer"].map(list).tolist() == b["answer"].map(list).tolist()
    assert a["verdict"].tolist() == b["verdict"].tolist()


@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_answers_are_those_of_plain_greedy_decoding_whatever_was_answered_earlier(data: st.DataObject) -> None:
    """Over random models, drafts and stop positions: the end token may be one that the model does write."""
    student, base = model(data.draw(st.integers(0, 5))), model(2)
    limit = data.draw(st.integers(1, 9))
    asked = [[e.ids for e in words().backend_tokenizer.encode_batch([i.prompt for i in b.items()])] for b in BENCHMARKS]
    free = student.generate([[p for prompts in asked for p in prompts]], max_new_tokens=limit)[0]
    stops = [words().eos_token_id, *(t for answer in free for t in answer[-2:])]
    end = words().convert_ids_to_tokens(data.draw(st.sampled_from(stops)))
    student.tokenizer.eos_token = base.tokenizer.eos_token = end
    written = student.generate([[p for prompts in asked for p in prompts]], max_new_tokens=limit)[0]
    plain = without_end(written, student.ends)
    earlier, place = {}, 0
    for benchmark in BENCHMARKS:
        for item in benchmark.items():
            cut, noise = data.draw(st.integers(0, limit)), data.draw(st.lists(st.integers(2, 199), max_size=3))
            earlier[benchmark.short_name(), item.id] = data.draw(
                st.sampled_from([plain[place], [*plain[place][:cut], *noise], noise, []])
            )
            place += 1
    evaluator = Evaluator(base, BENCHMARKS, [], "", Evaluation(max_new_tokens=limit, batch_items=5))
    found = evaluator.measure(student, perturbed=False, earlier=earlier)
    assert found["answer"].map(list).tolist() == plain
    again = evaluator.measure(student, perturbed=False, earlier=evaluated(found))
    pd.testing.assert_frame_equal(again, found, check_exact=True)


def evaluated(rows: pd.DataFrame) -> dict[tuple[str, str], list[int]]:
    """The answers of a look as drafts of the next."""
    return {(r.benchmark, r.item): list(r.answer) for r in rows.itertuples()}


def test_a_look_at_the_base_is_done_once_and_with_another_probe_too(monkeypatch: pytest.MonkeyPatch) -> None:
    base = model(2)
    evaluator = Evaluator(base, BENCHMARKS, [], "", SETTINGS)
    first = evaluator.measure(base, perturbed=True)
    passes: list[int] = []
    for name in ("read", "logits_at"):
        own = getattr(base, name)
        monkeypatch.setattr(base, name, lambda *given, own=own: passes.append(1) or own(*given))
    again = evaluator.with_probe(samples(4, seed=3), "another").measure(base, perturbed=True)
    assert len(passes) == 1
    pd.testing.assert_frame_equal(again[again["benchmark"] != "probe"], first, check_exact=True)
    assert (again["kl_sum"] == 0).all()
    fresh = Evaluator(base, BENCHMARKS, samples(4, seed=3), "another", SETTINGS)
    pd.testing.assert_frame_equal(again, fresh.measure(base, perturbed=True), check_exact=True)
    passes.clear()
    evaluator.measure(model(1), perturbed=True)
    assert not passes  # the base's log-probabilities are at hand


def test_what_does_not_fit_into_memory_is_computed_again_and_equal() -> None:
    student, base, gold = model(1), model(2), encode(samples(9), words())
    room = Budget(4 * 10 * len(words()))  # a few tokens
    kept, forgotten = GoldTraces(gold, base, 4, Budget()), GoldTraces(gold, base, 4, room)
    for _ in range(2):
        told: list[list[list[list[int]]]] = [[], []]
        one, other = (
            traces.read(student, lambda _, greedy, layers, told=mine: told.append(greedy))
            for traces, mine in zip((kept, forgotten), told, strict=True)
        )
        assert told[0] == told[1]
        assert all(np.array_equal(one[name], other[name]) for name in one)
    assert room.left_bytes >= 0


def with_dropout(seed: int) -> Any:
    """A student whose network drops out half of its attention while it trains."""
    student = model(seed)
    for layer in student.network.model.layers:
        layer.self_attn.attention_dropout = 0.5
    return student


def test_measuring_in_the_middle_of_training_is_like_measuring_at_rest() -> None:
    """No dropout, no draw from a generator, no gradient, and the network trains on afterwards."""
    base, resting, training = model(2), with_dropout(1), with_dropout(1)
    training.network.train()
    tokens_RBT = torch.arange(2, 22)[None, None]
    assert not torch.equal(training.logits(tokens_RBT), training.logits(tokens_RBT))
    state, before = torch.get_rng_state(), weights(training)
    found = ledger(training, base)
    assert torch.equal(torch.get_rng_state(), state)
    pd.testing.assert_frame_equal(found, ledger(resting, base), check_exact=True)
    assert training.network.training and not base.network.training
    assert not differing(before, training.state())
    assert all(p.grad is None for _, p in training.named_parameters())


def test_one_look_per_stop_and_the_weights_of_that_step() -> None:
    student, looks = model(0), []
    interval = IntervalEvaluation({2: 64, 3: 70, 6: 160, 9: 999}, lambda dose: looks.append((dose, weights(student))))
    seen: dict[int, Any] = {}

    class Keep(FitModule):
        def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
            super().optimizer_step(*args, **kwargs)
            seen[self.step + 1] = weights(student)  # the step is counted after it

    made = batch(4)
    fit(
        Keep(student, lambda b: losses.cross_entropy(student, b), Optimiser(), total_steps=7),
        lambda: iter([made] * 7),
        [interval],
    )
    assert [dose for dose, _ in looks] == [64, 70, 160]
    for (_, found), step in zip(looks, (2, 3, 6), strict=True):
        assert not differing(found, seen[step])


def test_a_resumed_fit_looks_at_the_stops_to_come() -> None:
    student, looks, made = model(0), [], batch(4)
    interval = IntervalEvaluation({2: 64, 3: 70, 6: 160}, looks.append)
    module = FitModule(student, lambda b: losses.cross_entropy(student, b), Optimiser(), total_steps=7, first_step=2)
    fit(module, lambda: iter([made] * 5), [interval])
    assert looks == [70, 160]


def test_a_look_changes_nothing_in_what_follows() -> None:
    """The fit with looks at every step is bit for bit the fit without any."""
    finals = []
    for stops in ({}, {step: step for step in range(1, 6)}):
        student, base, made = model(0), model(2), batch(4)
        evaluator = Evaluator(base, BENCHMARKS, [], "", SETTINGS)
        interval = IntervalEvaluation(stops, lambda _, s=student, e=evaluator: e.measure(s, perturbed=False))
        torch.manual_seed(0)

        def loss(b: Any, s: Any = student) -> torch.Tensor:
            return losses.cross_entropy(s, b) * (1 + torch.rand(()))

        fit(FitModule(student, loss, Optimiser(), total_steps=5), lambda m=made: iter([m] * 5), [interval])
        finals.append(student.state())
    assert not differing(*finals)
