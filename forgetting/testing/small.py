"""Small things that suites share: a model of a few thousand parameters, samples, batches, exact comparisons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from typing import cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from forgetting import registry
from forgetting.batching import Encoded, encode
from forgetting.contracts import Batch, Contamination, Model, Part, Sample
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.seeds import generator
from forgetting.world.tokenizer import tokenizer

TINY = Architecture("tiny", 16, 1, 2, 8, 16, 1)


@cache
def words() -> PreTrainedTokenizerFast:
    """The world's tokenizer; a test that changes one makes its own."""
    return tokenizer()


def model(seed: int = 0, *, architecture: Architecture = TINY) -> HuggingFaceModel:
    """A fresh model with its own tokenizer, in evaluation mode."""
    made = HuggingFaceModel.create(architecture, tokenizer(), seed)
    made.network.eval()
    return made


def samples(number: int, seed: int = 0, source: str = "original") -> list[Sample]:
    """The first samples of a contamination."""
    part = cast(Contamination, registry.build("contamination", source))
    return list(islice(part.samples(generator(seed, "small samples")), number))


def pool(number: int, seed: int = 0) -> Encoded:
    """Samples of the original distribution as tokens."""
    return encode(samples(number, seed), words())


def batch(number: int, seed: int = 0) -> Batch:
    """One batch of the original distribution."""
    return pool(number, seed).batch(np.arange(number), number)


def weights(student: Model) -> dict[str, Tensor]:
    """A copy of the weights."""
    return {name: value.clone() for name, value in student.state().items()}


def differing(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> list[str]:
    """The names whose tensors are not equal bit for bit, or are in one place only."""
    return [
        n
        for n in sorted(one.keys() | other.keys())
        if n not in one or n not in other or not torch.equal(one[n], other[n])
    ]


def gradients(student: Model, losses: Sequence[Tensor]) -> dict[str, Tensor]:
    """Gradients of the weights after a backward pass through each loss in turn."""
    student.network.zero_grad()
    for loss in losses:
        loss.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    return {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}


def needs_data(part: Part) -> bool:
    """Whether a part's text comes from elsewhere than the world."""
    return getattr(part, "language", "world") != "world" or hasattr(part, "source")
