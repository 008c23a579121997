"""Sampled decoding against torch's own distributions: draws, nucleus, the same answers in any batch, ends."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from forgetting.errors import UsageError
from forgetting.models.sampling import Sampling, sample
from tests.contracts.small import model

PROMPTS = [[5, 6, 7], [9, 30, 41, 52], [8], [60, 61, 62, 63, 64, 65]]


def first_word(temperature: float) -> np.ndarray:
    """The model's own distribution after the first prompt."""
    with torch.no_grad():
        logits = model(3).logits(torch.tensor([[PROMPTS[0]]]))[0, 0, -1].double()
    return (logits / temperature).softmax(-1).numpy()


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_first_words_follow_the_models_own_distribution(temperature: float) -> None:
    sampling = Sampling(samples=2_000, temperature=temperature, top_p=1.0)
    drawn = sample(model(3), PROMPTS[:1], sampling, max_new_tokens=1, batch_items=500)[0][0]
    end = model(3).tokenizer.eos_token_id
    counts = Counter(answer[0] if answer else end for answer in drawn)
    expected = first_word(temperature) * 2_000
    likely = np.argsort(-expected)[:20]
    seen = [counts[int(w)] for w in likely]
    wanted = list(expected[likely])
    assert chisquare([*seen, 2_000 - sum(seen)], [*wanted, 2_000 - sum(wanted)]).pvalue > 0.001


def test_a_nucleus_holds_the_likeliest_words_only() -> None:
    chances = first_word(1.0)
    order = np.argsort(-chances, kind="stable")
    inside = set(order[: int(np.searchsorted(np.cumsum(chances[order]), 0.1)) + 1].tolist())
    drawn = sample(model(3), PROMPTS[:1], Sampling(300, 1.0, 0.1), max_new_tokens=1, batch_items=300)[0][0]
    end = model(3).tokenizer.eos_token_id
    assert {a[0] if a else end for a in drawn} <= inside and len(inside) > 2


def test_nearly_no_temperature_is_greedy() -> None:
    greedy = model(3).generate([PROMPTS], max_new_tokens=8)[0]
    cold = sample(model(3), PROMPTS, Sampling(2, 1e-4, 1.0), max_new_tokens=8)[0]
    assert cold == [[answer, answer] for answer in greedy]


def test_answers_depend_on_the_seed_and_on_nothing_else() -> None:
    sampling = Sampling(samples=3, temperature=1.0)
    one = sample(model(3), PROMPTS, sampling, max_new_tokens=6)
    assert sample(model(3), PROMPTS, sampling, max_new_tokens=6, batch_items=5) == one
    assert sample(model(3), PROMPTS, sampling, max_new_tokens=4)[0] == [[a[:4] for a in own] for own in one[0]]
    assert sample(model(3), PROMPTS, Sampling(3, 1.0, seed=1), max_new_tokens=6) != one
    assert len({tuple(a) for own in one[0] for a in own}) > 6


def test_an_answer_ends_with_the_end_token_and_the_model_is_left_as_it_was() -> None:
    made = model(3)
    free = sample(made, PROMPTS, Sampling(4, 1.0), max_new_tokens=6)[0]
    end = free[0][0][2]
    made.tokenizer.eos_token = made.tokenizer.convert_ids_to_tokens(end)
    made.network.train()
    state = torch.get_rng_state()
    cut = sample(made, PROMPTS, Sampling(4, 1.0), max_new_tokens=6)[0]
    assert cut == [[a[: a.index(end)] if end in a else a for a in own] for own in free]
    assert made.network.training and torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"samples": 0}, "samples"), ({"temperature": 0.0}, "temperature"), ({"temperature": math.nan}, "temperature"),
     ({"top_p": 0.0}, "top_p"), ({"top_p": 1.1}, "top_p"), ({"seed": -1}, "seed")],
)  # fmt: skip
def test_bad_settings(wrong: dict[str, float], field: str) -> None:
    with pytest.raises(UsageError, match=rf"^sampling\.{field}: must be"):
        Sampling(**wrong)  # type: ignore[arg-type]
