"""pass@k of a small model on hand-made programs, against the estimator's own definition: the mean over all subsets."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest

from forgetting import registry
from forgetting.answering.sampled import measure_passing
from forgetting.contracts import Benchmark, Sampling
from forgetting.errors import UsageError
from forgetting.testing.small import model


class Coin(Benchmark):
    """The items of ``lookup``; an answer is right where its number of tokens is even."""

    version, skill, chance = 1, "simple", 0.0

    def items(self, split="test", variant="original"):  # type: ignore[no-untyped-def]
        return registry.build("benchmarks", {"name": "lookup", "item_count": 40}).items(split, variant)[:12]  # type: ignore[attr-defined]

    def grade(self, items, answers):  # type: ignore[no-untyped-def]
        from forgetting.contracts import Grade

        return [Grade("wrong" if len(a.split()) % 2 else "right") for a in answers]


def test_the_estimate_is_the_mean_over_all_subsets() -> None:
    found = measure_passing(model(3), Coin(), Sampling(0.8, samples=6), ks=(1, 2, 4), max_new_tokens=4)
    right = found.answers.verdict.eq("right").to_numpy().reshape(12, 6)
    assert 0 < right.mean() < 1 and list(found.answers.columns) == ["item", "sample", "tokens", "verdict", "kind"]
    for row in found.estimates.itertuples():
        by_hand = np.mean([[own[list(c)].any() for c in combinations(range(6), int(row.k))] for own in right])
        assert row.value == pytest.approx(by_hand)
        assert 0 <= row.low <= row.value <= row.high <= 1 and (row.items, row.samples) == (12, 6)
    assert list(found.estimates.value) == sorted(found.estimates.value)
    greedy = model(3).generate([_before()], max_new_tokens=4)[0]
    from forgetting.batching import texts

    assert found.greedy == np.mean([len(a.split()) % 2 == 0 for a in texts(greedy, model(3).tokenizer)])


def _before() -> list[list[int]]:
    from forgetting.batching import prompts, tokens

    words = model(3).tokenizer
    return tokens(prompts(Coin().items(), words), words)


def test_more_than_there_are_samples() -> None:
    with pytest.raises(UsageError, match=r"^pass@k: must be k from 1 to the 3 samples, got 4"):
        measure_passing(model(3), Coin(), Sampling(samples=3), ks=(4,))
