"""Sampled decoding against torch's own distributions and against the whole text computed anew for each token."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from forgetting.contracts import Model, Sampling
from forgetting.errors import UsageError
from forgetting.models.sampling import drawn
from forgetting.models.stacked import StackedModel
from forgetting.testing.small import model

PROMPTS = [[5, 6, 7], [9, 30, 41, 52], [8], [60, 61, 62, 63, 64, 65]]


def first_word(temperature: float) -> np.ndarray:
    """The model's own distribution after the first prompt."""
    with torch.no_grad():
        logits = model(3).logits(torch.tensor([[PROMPTS[0]]]))[0, 0, -1].double()
    return (logits / temperature).softmax(-1).numpy()


def sample(
    of: Model, sampling: Sampling, limit: int, prompts: list[list[int]] = PROMPTS, **more: int
) -> list[list[int]]:
    """``sampling.samples`` answers to each prompt."""
    asked = [row for row in prompts for _ in range(sampling.samples)]
    return of.generate([asked] * of.replicas, max_new_tokens=limit, sampling=sampling, **more)[0]


def anew(of: Model, sampling: Sampling, limit: int) -> list[list[int]]:
    """The reference: no keys and values are kept, one row at a time."""
    out = []
    for row in range(len(PROMPTS) * sampling.samples):
        prompt, written = PROMPTS[row // sampling.samples], list[int]()
        for number in sampling.uniforms(row, limit):
            with torch.no_grad():
                logits = of.logits(torch.tensor([[[*prompt, *written]]]))[0, 0, -1]
            written.append(int(drawn(logits, torch.tensor(number), sampling)))
            if written[-1] in of.ends:
                break
        out.append(written)
    return out


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_first_words_follow_the_models_own_distribution(temperature: float) -> None:
    sampling = Sampling(temperature, samples=2_000)
    counts = Counter(answer[0] for answer in sample(model(3), sampling, 1, PROMPTS[:1], batch_items=500))
    expected = first_word(temperature) * 2_000
    likely = np.argsort(-expected)[:20]
    seen = [counts[int(w)] for w in likely]
    wanted = list(expected[likely])
    assert chisquare([*seen, 2_000 - sum(seen)], [*wanted, 2_000 - sum(wanted)]).pvalue > 0.001


def test_a_nucleus_holds_the_likeliest_words_only() -> None:
    chances = first_word(1.0)
    order = np.argsort(-chances, kind="stable")
    inside = set(order[: int(np.searchsorted(np.cumsum(chances[order]), 0.1)) + 1].tolist())
    first = {answer[0] for answer in sample(model(3), Sampling(1.0, 0.1, samples=300), 1, PROMPTS[:1])}
    assert first <= inside and len(inside) > 2


def test_nearly_no_temperature_is_greedy() -> None:
    greedy = model(3).generate([PROMPTS], max_new_tokens=8)[0]
    assert sample(model(3), Sampling(1e-4), 8) == greedy


@pytest.mark.parametrize("sampling", [Sampling(samples=3), Sampling(0.7, 0.8, seed=4, step=9)])
def test_answers_are_those_of_the_whole_text_computed_anew(sampling: Sampling) -> None:
    made = model(3)
    wanted = anew(made, sampling, 6)
    assert sample(made, sampling, 6) == wanted and sample(made, sampling, 6, batch_items=2) == wanted


def test_replicas_draw_as_they_would_alone() -> None:
    each = [Sampling(samples=2, seed=seed) for seed in (0, 5)]
    stack, asked = StackedModel([model(3), model(4)]), [row for row in PROMPTS for _ in range(2)]
    together = stack.generate([asked, asked[:4]], max_new_tokens=6, sampling=each)
    assert together[0] == sample(model(3), each[0], 6)
    assert together[1] == sample(model(4), each[1], 6, PROMPTS[:2])


def test_answers_depend_on_seed_step_row_and_place_and_on_nothing_else() -> None:
    one = sample(model(3), Sampling(samples=3), 6)
    assert sample(model(3), Sampling(samples=3), 4) == [a[:4] for a in one]
    assert sample(model(3), Sampling(samples=3, seed=1), 6) != one != sample(model(3), Sampling(samples=3, step=1), 6)
    assert len(set(map(tuple, one))) > 6


def test_an_answer_ends_with_the_end_token_and_the_model_is_left_as_it_was() -> None:
    made = model(3)
    free = sample(made, Sampling(samples=4), 6)
    end = free[0][2]
    made.tokenizer.eos_token = made.tokenizer.convert_ids_to_tokens(end)
    made.network.train()
    state = torch.get_rng_state()
    cut = sample(made, Sampling(samples=4), 6)
    assert cut == [a[: a.index(end) + 1] if end in a else a for a in free]
    assert made.network.training and torch.equal(torch.get_rng_state(), state)


def test_drafts_guess_greedy_answers_only() -> None:
    with pytest.raises(UsageError, match=r"^sampling: must be without drafts"):
        model(3).generate([PROMPTS], [PROMPTS], max_new_tokens=2, sampling=Sampling())


@pytest.mark.parametrize(
    ("wrong", "field"),
    [({"samples": 0}, "samples"), ({"temperature": 0.0}, "temperature"), ({"temperature": math.nan}, "temperature"),
     ({"top_p": 0.0}, "top_p"), ({"top_p": 1.1}, "top_p"), ({"seed": -1}, "seed")],
)  # fmt: skip
def test_bad_settings(wrong: dict[str, float], field: str) -> None:
    with pytest.raises(UsageError, match=rf"^sampling\.{field}: must be"):
        Sampling(**wrong)  # type: ignore[arg-type]
