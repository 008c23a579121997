"""Decoding over replicas and items together, greedy or sampled: prompts and drafts in, answers out.

One pass over prompt and draft fills a preallocated cache and verifies the draft; keys of rejected draft tokens are
masked, and every row goes on from its own first token that differs. Finished rows are dropped.

Shape suffixes: R replicas, B rows of each, T tokens, K key positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from forgetting.contracts import Sampling
from forgetting.models.decoding import PASS_BYTES
from forgetting.models.sampling import drawn

if TYPE_CHECKING:
    from forgetting.models.stacked import StackedModel

StackedRows = Sequence[Sequence[Sequence[int]]]
COMPACT_BELOW = 0.75  # rows are dropped once the fullest replica has at most this share of its rows alive


class Cache:
    """Keys and values of all layers, ``[R, B, heads, K, head size]`` each, made when the first layer asks."""

    def __init__(self, layers: int, length: int) -> None:
        self.length, self.used = length, 0
        self.tensors: list[tuple[Tensor, Tensor]] = []
        self.layers = layers

    def of(self, kept: Any) -> _OneReplica:
        """What one replica's module sees of it."""
        return _OneReplica(kept, self.used)

    def drop(self, index_RB: Tensor) -> None:
        """Keep the rows ``index_RB`` of each replica."""
        replicas = torch.arange(index_RB.shape[0], device=index_RB.device)[:, None]
        self.tensors = [(k[replicas, index_RB], v[replicas, index_RB]) for k, v in self.tensors]


class _OneReplica:
    """The face of a cache that a Hugging Face module calls; writes in place."""

    is_compileable = False

    def __init__(self, kept: Any, used: int) -> None:
        self.kept, self.used = kept, used

    def update(self, keys: Tensor, values: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Append this call's keys and values and give all up to here."""
        all_keys, all_values = self.kept[layer]
        end = self.used + keys.shape[-2]
        all_keys[:, :, self.used : end] = keys
        all_values[:, :, self.used : end] = values
        return all_keys[:, :, :end], all_values[:, :, :end]

    def get_seq_length(self, *_: Any) -> int:
        """Positions in use before this call."""
        return self.used


class Decoder:
    """Decodes for a stack, ``rows`` prompts of each replica at a time."""

    def __init__(self, model: StackedModel, limit: int, rows: int, sampling: Sequence[Sampling] | None = None) -> None:
        self.model, self.limit, self.rows, self.sampling = model, limit, rows, sampling
        config = model.network.single[0].config
        heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
        size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        self.shape, self.layers = (heads, size), config.num_hidden_layers

    def answers(self, prompts: StackedRows, drafts: StackedRows | None) -> list[list[list[int]]]:
        """Answers with the end token where there is one, in the order of the prompts."""
        answers: list[list[list[int]]] = [[[] for _ in own] for own in prompts]
        given = drafts or [[[] for _ in own] for own in prompts]
        lengths = [
            [len(p) + min(len(d), self.limit) for p, d in zip(*own, strict=True)]
            for own in zip(prompts, given, strict=True)
        ]
        orders = [[i for _, i in sorted(zip(own, range(len(own)), strict=True))] for own in lengths]
        longest = max((length for own in lengths for length in own), default=0) + self.limit
        rows = min(self.rows, max(1, PASS_BYTES // (len(prompts) * self._bytes_of_a_row(longest))))
        for start in range(0, max(map(len, orders), default=0), rows):
            chunks = [order[start : start + rows] for order in orders]
            asked = [[prompts[r][i] for i in chunk] for r, chunk in enumerate(chunks)]
            offered = [[given[r][i] for i in chunk] for r, chunk in enumerate(chunks)]
            for r, found in enumerate(self._chunk(asked, offered, self._uniforms(chunks))):
                for i, answer in zip(chunks[r], found, strict=True):
                    answers[r][i] = answer
        return answers

    def _uniforms(self, chunks: Sequence[Sequence[int]]) -> Tensor | None:
        """The numbers ``[R, B, limit]`` by which the rows of a chunk are drawn, 0 for spare rows."""
        if self.sampling is None:
            return None
        found = torch.zeros(len(chunks), max(map(len, chunks)), self.limit, dtype=torch.float64)
        for r, (chunk, own) in enumerate(zip(chunks, self.sampling, strict=True)):
            for b, row in enumerate(chunk):
                found[r, b] = torch.from_numpy(own.uniforms(row, self.limit))
        return found.to(self.model.device)

    def _bytes_of_a_row(self, length: int) -> int:
        """Keys and values of one text in fp32, and one layer's attention over it."""
        heads = self.model.network.single[0].config.num_attention_heads
        return int(4 * (2 * self.layers * self.shape[0] * self.shape[1] * length + 2 * heads * length**2))

    def _chunk(self, prompts: StackedRows, drafts: StackedRows, uniform: Tensor | None) -> list[list[list[int]]]:
        ends, limit = self.model.ends, self.limit
        tokens, mask, offered = self._padded(prompts, drafts)
        replicas, rows, width = tokens.shape
        device, dtype = tokens.device, self.model.network.stacked[0].dtype
        cache = Cache(self.layers, width + limit)
        cache.tensors = [
            tuple(
                torch.zeros(replicas, rows, self.shape[0], width + limit, self.shape[1], dtype=dtype, device=device)
                for _ in "kv"
            )  # type: ignore[misc]
            for _ in range(self.layers)
        ]
        longest = max((len(d) for own in offered for d in own), default=0)
        places = (mask.long().cumsum(-1) - 1).clamp(min=0)
        seen = torch.ones(width, width, dtype=torch.bool, device=device).tril()
        bias = self.model.bias(mask[:, :, None, None, :] & seen)
        first = None if uniform is None else uniform[:, :, :1]
        guesses = self._next(tokens, bias, places, cache, longest + 1, first).tolist()
        cache.used = width
        answers: list[list[list[int]]] = [[[] for _ in own] for own in prompts]
        for r, own in enumerate(offered):
            for b, draft in enumerate(own):
                guess = guesses[r][b][longest - len(draft) :]
                agree = next((n for n, (a, d) in enumerate(zip(guess, draft, strict=False)) if a != d), len(draft))
                written = guess[: agree + 1]
                stop = next((n for n, token in enumerate(written) if token in ends), len(written) - 1)
                answers[r][b] = written[: min(stop + 1, limit)]
                mask[r, b, width - len(draft) + agree :] = False
        alive = [list(range(len(own))) for own in prompts]
        while True:
            going = [[j for j, b in enumerate(alive[r]) if not self._done(answers[r][b])] for r in range(replicas)]
            most = max(map(len, going))
            if not most:
                return answers
            if most <= COMPACT_BELOW * mask.shape[1]:
                index = torch.tensor([(own + [0] * most)[:most] for own in going], device=device)
                cache.drop(index)
                mask = mask[torch.arange(replicas, device=device)[:, None], index]
                alive = [[alive[r][j] for j in own] for r, own in enumerate(going)]
            last = [[answers[r][b][-1] for b in alive[r]] for r in range(replicas)]
            tokens = torch.tensor([(own + [0] * mask.shape[1])[: mask.shape[1]] for own in last], device=device)[
                ..., None
            ]
            mask = torch.nn.functional.pad(mask, (0, 1), value=True)
            places = mask.long().sum(-1, keepdim=True) - 1
            bias = self.model.bias(mask[:, :, None, None, :])
            numbers = None if uniform is None else self._at(uniform, alive, answers, mask.shape[1])
            chosen = self._next(tokens, bias, places, cache, 1, numbers)[..., 0].tolist()
            cache.used += 1
            for r in range(replicas):
                for j, b in enumerate(alive[r]):
                    if not self._done(answers[r][b]):
                        answers[r][b].append(chosen[r][j])

    def _done(self, answer: list[int]) -> bool:
        return len(answer) >= self.limit or answer[-1] in self.model.ends

    def _at(self, uniform: Tensor, alive: list[list[int]], answers: list[list[list[int]]], rows: int) -> Tensor:
        """The numbers ``[R, B, 1]`` that decide the next token of each row that is under way."""
        places = [[(b, min(len(answers[r][b]), self.limit - 1)) for b in own] for r, own in enumerate(alive)]
        index = torch.tensor([(own + [(0, 0)] * rows)[:rows] for own in places], device=uniform.device)
        replicas = torch.arange(len(places), device=uniform.device)[:, None]
        return uniform[replicas, index[..., 0], index[..., 1]][..., None]

    def _next(
        self, tokens: Tensor, bias: Tensor, places: Tensor, cache: Cache, last: int, uniform: Tensor | None
    ) -> Tensor:
        """The next tokens after each of the last positions, ``[R, B, last]``: the most probable ones, or drawn."""
        logits = self.model.call(tokens, bias, places, shared=False, cache=cache, logits_to_keep=last)
        if uniform is None or self.sampling is None:
            return logits.argmax(-1)
        each = zip(logits, uniform, self.sampling, strict=True)
        return torch.stack([drawn(own, numbers, sampling) for own, numbers, sampling in each])

    def _padded(self, prompts: StackedRows, drafts: StackedRows) -> tuple[Tensor, Tensor, list[list[list[int]]]]:
        """Prompts with drafts, padded on the left and to equal numbers of rows; the key mask; drafts up to an end."""
        ends, pad = self.model.ends, self.model.tokenizer.pad_token_id
        offered = [[_until(d, ends)[: self.limit] for d in own] for own in drafts]
        rows = [[[*p, *d] for p, d in zip(*own, strict=True)] for own in zip(prompts, offered, strict=True)]
        width = max(len(row) for own in rows for row in own)
        most = max(map(len, rows))
        full = [[*own, *[[pad]] * (most - len(own))] for own in rows]
        device = self.model.device
        tokens = torch.tensor([[[pad] * (width - len(r)) + r for r in own] for own in full], device=device)
        mask = torch.tensor(
            [[[False] * (width - len(r)) + [True] * len(r) for r in own] for own in full], device=device
        )
        return tokens, mask, offered


def _until(draft: Sequence[int], ends: frozenset[int]) -> list[int]:
    """A draft up to its first end token."""
    return list(draft[: next((n for n, token in enumerate(draft) if token in ends), len(draft))])
