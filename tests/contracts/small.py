"""Small things that many tests share: a model of a few thousand parameters, samples, batches, exact comparisons."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count, islice
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from forgetting import registry
from forgetting.batching import Encoded, encode
from forgetting.contracts import Batch, Contamination, Model, Sample
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.seeds import generator
from forgetting.spec import Doses, Evaluation, Fit, Ladder, Optimiser, Spec
from forgetting.world.tokenizer import tokenizer

torch.set_num_threads(1)

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


def rows(whole: Batch, chosen: slice) -> Batch:
    """Some samples of a batch as a micro-batch of the same step."""
    return Batch(whole.tokens_RBT[:, chosen], whole.answer_RBT[:, chosen], whole.denominator)


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
        loss.sum().backward()
    return {name: p.grad.clone() for name, p in student.named_parameters() if p.grad is not None}


@dataclass(frozen=True)
class Numbered(Contamination):
    """Samples that say which source they are of and which place they have in it."""

    source: str = "foreign"
    first: int = 0

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        salt = int(rng.integers(1_000_000))
        for place in count(self.first):
            yield Sample(f"{self.source} {place}", "x " * (place * 7 % 5) + str(salt), self.source, 0, "numbered")


def spec(**changes: Any) -> Spec:
    """A study of seconds: one small student that learns next to nothing, three doses, a handful of items."""
    short = Fit(samples=320, pool=160)
    tiny = Spec(
        name="tiny",
        ladder=Ladder(students=("10k",), teacher="10k", teaching=short, distilling=short),
        contaminations=("dialogue",),
        doses=Doses(dose=60, first=20, ratio=2.0),
        fine_tuning=Optimiser(batch_size=8, warmup_steps=4),
        evaluation=Evaluation(
            benchmarks=({"name": "maths", "items_per_depth": 1, "depths": (2,)}, {"name": "lookup", "item_count": 3}),
            probe_items=4,
            max_new_tokens=8,
        ),
    )
    return dataclasses.replace(tiny, **changes)
