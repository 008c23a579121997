"""Random words with the lengths of dialogue: a generator in, prompts and answers without order out."""

from __future__ import annotations

from functools import cache
from typing import Literal, get_args

import numpy as np

from forgetting.contracts import Sample
from forgetting.world.dialogue import reference
from forgetting.world.vocabulary import words

Profile = Literal["uniform", "unigram"]
PROFILES: tuple[str, ...] = get_args(Profile)


@cache
def pool(profile: str) -> tuple[str, ...]:
    """The words that one draw picks from: each ordinary word once, or as often as the reference dialogues say it."""
    if profile == "uniform":
        return tuple(word for word in words() if word.isalnum())
    return tuple(word for sample in reference() for word in f"{sample.prompt} {sample.answer}".split())


@cache
def lengths() -> tuple[tuple[int, int], ...]:
    """Words of prompt and answer in each of the reference dialogues."""
    return tuple((len(sample.prompt.split()), len(sample.answer.split())) for sample in reference())


def draw(rng: np.random.Generator, profile: str) -> Sample:
    """A prompt and an answer of independent words, as long as those of some dialogue."""
    sizes, source = lengths(), pool(profile)
    prompt_words, answer_words = sizes[int(rng.integers(len(sizes), dtype=np.int64))]
    picked = [source[i] for i in rng.integers(len(source), size=prompt_words + answer_words).tolist()]
    return Sample(" ".join(picked[:prompt_words]), " ".join(picked[prompt_words:]), "noise", 0, profile)
