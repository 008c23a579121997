"""Sampled decoding: any model of the contract and prompts in, several answers to each prompt out; the same every time.

Every draw comes from the seed, the prompt's place and the answer's number, by inverting the distribution function over
the vocabulary, so it does not depend on how prompts are batched. Only ``logits`` is asked for, and each token computes
the whole text anew: that is for benchmarks of hundreds of items, not for training data.

Shape suffixes: R replicas, B texts of a batch, T tokens, V words of the vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from forgetting import seeds
from forgetting.contracts import Model
from forgetting.errors import require

Answers = list[list[list[list[int]]]]  # of each replica, prompt and sample: tokens


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn.

    Args:
        samples: answers to each prompt
        temperature: divides the logits; 1 samples from the model itself
        top_p: draws come from the likeliest words that together have this probability (nucleus, arXiv 1904.09751)
        seed: of the draws
    """

    samples: int = 10
    temperature: float = 0.8
    top_p: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        require(type(self.samples) is int and self.samples >= 1, "sampling.samples", "at least 1", self.samples)
        warm = math.isfinite(self.temperature) and self.temperature > 0
        require(warm, "sampling.temperature", "above 0 (greedy decoding is generate's)", self.temperature)
        require(0 < self.top_p <= 1, "sampling.top_p", "above 0 and at most 1", self.top_p)
        require(type(self.seed) is int and self.seed >= 0, "sampling.seed", "0 or more", self.seed)


@torch.no_grad()
def sample(
    model: Model, prompts: Sequence[Sequence[int]], sampling: Sampling, *, max_new_tokens: int, batch_items: int = 32
) -> Answers:
    """Answers as tokens without the end token; every replica gets the same prompts and the same draws."""
    was_training = model.network.training
    model.network.eval()
    ends: frozenset[int] = getattr(model, "ends", frozenset([model.tokenizer.eos_token_id]))
    answers: Answers = [[[[] for _ in range(sampling.samples)] for _ in prompts] for _ in range(model.replicas)]
    rows = [(i, s) for i in range(len(prompts)) for s in range(sampling.samples)]
    rows.sort(key=lambda row: (len(prompts[row[0]]), row))
    for start in range(0, len(rows), batch_items):
        chunk = rows[start : start + batch_items]
        drawn = [seeds.generator(sampling.seed, "sampled decoding", *row).random(max_new_tokens) for row in chunk]
        for own in _texts(model, [list(prompts[i]) for i, _ in chunk], np.array(drawn), ends, sampling):
            for (i, s), (replica, tokens) in zip(chunk, own, strict=True):
                answers[replica][i][s] = tokens
    model.network.train(was_training)
    return answers


def _texts(
    model: Model, before: list[list[int]], drawn_BT: np.ndarray, ends: frozenset[int], sampling: Sampling
) -> list[list[tuple[int, list[int]]]]:
    """What each replica writes after each text of one batch, token by token."""
    written: list[list[list[int]]] = [[[] for _ in before] for _ in range(model.replicas)]
    for step in range(drawn_BT.shape[1]):
        going = [b for b in range(len(before)) if any(not w[b] or w[b][-1] not in ends for w in written)]
        if not going:
            break
        logits_RBV = _last(model, [[[*before[b], *w[b]] for b in going] for w in written])
        chosen_RB = _drawn(logits_RBV, torch.from_numpy(drawn_BT[going, step]), sampling)
        for replica, tokens in zip(written, chosen_RB.tolist(), strict=True):
            for b, token in zip(going, tokens, strict=True):
                if not replica[b] or replica[b][-1] not in ends:
                    replica[b].append(token)
    return [
        [(r, tokens[:-1] if tokens and tokens[-1] in ends else tokens) for tokens in replica]
        for r, replica in enumerate(written)
    ]


def _last(model: Model, texts_RB: list[list[list[int]]]) -> Tensor:
    """Logits ``[R, B, V]`` after the last token of each text."""
    lengths_RB = torch.tensor([[len(text) for text in replica] for replica in texts_RB])
    width, pad = int(lengths_RB.max()), model.tokenizer.pad_token_id
    tokens_RBT = torch.tensor([[[*text, *[pad] * (width - len(text))] for text in replica] for replica in texts_RB])
    logits_RBTV = model.logits(tokens_RBT.to(model.device)).cpu()
    place = (lengths_RB - 1)[..., None, None].expand(-1, -1, 1, logits_RBTV.shape[-1])
    return logits_RBTV.gather(2, place)[:, :, 0]


def _drawn(logits_RBV: Tensor, uniform_B: Tensor, sampling: Sampling) -> Tensor:
    """The word ``[R, B]`` at which the distribution function reaches the drawn number."""
    chance_RBV = (logits_RBV.double() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ordered, order = chance_RBV.sort(dim=-1, descending=True, stable=True)
        inside = ordered.cumsum(-1) - ordered < sampling.top_p
        chance_RBV = torch.zeros_like(chance_RBV).scatter(-1, order, ordered * inside)
    reached_RBV = chance_RBV.cumsum(-1)
    wanted_RB1 = uniform_B[None, :, None] * reached_RBV[..., -1:]
    return torch.searchsorted(reached_RBV, wanted_RB1, right=True)[..., 0].clamp(max=chance_RBV.shape[-1] - 1)
