"""A Qwen3 decoder block by hand, forward and backward: the parts of the pass in ``fused_qwen3``.

Shape suffixes: B samples of a part, T tokens, M places of all parts (fewer after the last attention), N places asked
for, D hidden size, I feed-forward size, K key-value heads, G queries of each, H heads that turn (queries, then keys),
E head size.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

# Takes a step's keys and values, ``[B, K, T, E]``, and gives all up to here.
Update = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]

LONGEST = 256  # tokens of a text up to which it pays, as attention keeps T x T numbers of each head


class Normed:
    """``x`` divided by its root mean square over the features, the axis before the last; without the gain."""

    def __init__(self, x: Tensor, eps: float) -> None:
        self.inverse = (x * x).mean(-2, keepdim=True).add_(eps).rsqrt_()
        self.x = x * self.inverse

    def backward(self, d: Tensor) -> Tensor:
        """The gradient of what came in, of the same shape."""
        return torch.addcmul(d, self.x, (d * self.x).mean(-2, keepdim=True), value=-1).mul_(self.inverse)


def unfolded(d_folded: Tensor, matrix: Tensor, gain_D: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a matrix and of the gain that was multiplied into it."""
    return d_folded * gain_D, (d_folded * matrix).sum(0)


@dataclass(frozen=True)
class _Part:
    """B texts of T tokens, side by side from one place on, and what attention adds to their scores."""

    first: int
    B: int
    T: int
    bias: Tensor

    def by_head(self, x_M: Tensor, w: Weights) -> Tensor:
        """Rows of features as ``[B K, E, G T]``, where G is 1 for keys and values."""
        return self._split(x_M, w).permute(3, 0, 2, 1, 4).reshape(self.B * w.K, w.E, -1)

    def fill(self, x_M: Tensor, given: Tensor, w: Weights) -> None:
        """The way back, into the part's places."""
        self._split(x_M, w).copy_(given.view(self.B, w.K, w.E, -1, self.T).permute(1, 3, 2, 0, 4))

    def places(self, x_M: Tensor) -> Tensor:
        """What stands at the part's places, as ``[..., B, T]``."""
        return x_M[:, self.first : self.first + self.B * self.T].view(-1, self.B, self.T)

    def _split(self, x_M: Tensor, w: Weights) -> Tensor:
        return x_M[:, self.first : self.first + self.B * self.T].view(w.K, -1, w.E, self.B, self.T)


@lru_cache(maxsize=8)
def angles(rotary: Any) -> tuple[Tensor, Tensor]:
    """Cosines and sines ``[E, LONGEST]`` of the angles at each place, the sines with the signs of the halves."""
    at = torch.arange(LONGEST)
    cos_ET, sin_ET = (table[0].T.contiguous() for table in rotary(torch.empty(0), at[None]))
    first, second = sin_ET.chunk(2)
    return cos_ET, torch.cat((-first, second))


@lru_cache(maxsize=LONGEST)
def _causal(groups: int, length: int) -> Tensor:
    """What keeps queries ``[G T, T]`` from what stands later."""
    return torch.full((length, length), -torch.inf).triu_(1).repeat(groups, 1)


class Layout:
    """Texts in parts of one width each: the angles at their places, and how attention sees them."""

    def __init__(self, parts: list[_Part], cos_EM: Tensor, sin_EM: Tensor) -> None:
        self.parts, self.cos_EM, self.sin_EM, self.M = parts, cos_EM, sin_EM, cos_EM.shape[1]

    @classmethod
    def over(cls, network: Any, shapes: Sequence[Sequence[int]]) -> Layout:
        """Whole texts from their first token on, so many of so many tokens."""
        tables, groups = angles(network.model.rotary_emb), _groups(network)
        parts, first = list[_Part](), 0
        for samples, length in shapes:
            parts.append(_Part(first, samples, length, _causal(groups, length)))
            first += samples * length
        cos_EM, sin_EM = (torch.empty(len(table_ET), first) for table_ET in tables)
        for part in parts:
            for table_ET, at_EM in zip(tables, (cos_EM, sin_EM), strict=True):
                part.places(at_EM).copy_(table_ET[:, None, : part.T])
        return cls(parts, cos_EM, sin_EM)

    @classmethod
    def at(cls, network: Any, places_BT: Tensor, bias_BTK: Tensor) -> Layout:
        """Tokens at places of their own, which see what the bias leaves them of what stands before."""
        heads = network.config.num_key_value_heads
        bias = bias_BTK.repeat(1, _groups(network), 1).repeat_interleave(heads, 0)
        samples, length = places_BT.shape
        turns = (table_ET[:, places_BT.flatten()] for table_ET in angles(network.model.rotary_emb))
        return cls([_Part(0, samples, length, bias)], *turns)

    def turned(self, x_HEM: Tensor) -> Tensor:
        """The halves of every head, turned by their places."""
        return torch.addcmul(x_HEM * self.cos_EM, _swapped(x_HEM), self.sin_EM)

    def turned_back(self, d_HEM: Tensor) -> Tensor:
        """Gradients ``[H, E, M]``, back before the turn."""
        return (d_HEM * self.cos_EM).add_(_swapped(d_HEM * self.sin_EM))


def _groups(network: Any) -> int:
    groups: int = network.config.num_attention_heads // network.config.num_key_value_heads
    return groups


def _swapped(x_HEM: Tensor) -> Tensor:
    first, second = x_HEM.chunk(2, 1)
    return torch.cat((second, first), 1)


class Weights:
    """A block's weights as its products take them."""

    def __init__(self, given: tuple[Tensor, ...], heads: int, eps: float) -> None:
        self.gain1_D, q, k, v, q_gain_E, k_gain_E, self.out, self.gain2_D, gate, up, self.down = given
        self.qkv, self.gate_up, self.sizes = torch.cat((q, k, v)), torch.cat((gate, up)), [len(q), len(k), len(v)]
        self.folded1, self.folded2 = self.qkv * self.gain1_D, self.gate_up * self.gain2_D
        self.K, self.G, self.E, self.eps = heads, len(q) // len(k), len(q_gain_E), eps
        gains_HE = torch.cat((q_gain_E.expand(self.K * self.G, -1), k_gain_E.expand(self.K, -1)))
        self.gains_HE1 = gains_HE[..., None]


class Block:
    """A decoder block: ``forward`` keeps what ``backward`` needs."""

    def __init__(self, weights: Weights, layout: Layout, cache: Update | None = None) -> None:
        self.w, self.layout, self.cache = weights, layout, cache
        self.places_N: Tensor | None = None  # the only ones that are asked for
        self.attended: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []  # of each part: what, keys, values, how much

    def forward(self, x_DM: Tensor) -> Tensor:
        """Activations after the block, ``[D, M]``; ``[D, N]`` where only some places are asked for."""
        w = self.w
        self.normed1 = Normed(x_DM, w.eps)
        self.mixed_M = self._attend(w.folded1 @ self.normed1.x)
        if self.places_N is not None:
            self.mixed_M, x_DM = self.mixed_M[:, self.places_N], x_DM[:, self.places_N]
        x_DM = torch.addmm(x_DM, w.out, self.mixed_M)
        self.normed2 = Normed(x_DM, w.eps)
        gate_IM, self.up_IM = (w.folded2 @ self.normed2.x).chunk(2)
        self.sigmoid_IM = gate_IM.sigmoid()
        self.silu_IM = gate_IM * self.sigmoid_IM
        self.gated_IM = self.silu_IM * self.up_IM
        return torch.addmm(x_DM, w.down, self.gated_IM)

    def backward(self, d_DM: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Gradients of the activations before the block, ``[D, M]``, and of its weights in the order they came in."""
        w = self.w
        d_down = d_DM @ self.gated_IM.T
        d_gated_IM = w.down.T @ d_DM
        slope_IM = torch.addcmul(self.sigmoid_IM + self.silu_IM, self.sigmoid_IM, self.silu_IM, value=-1)
        d_gate_up_M = torch.empty(2 * len(slope_IM), slope_IM.shape[1])
        torch.mul(slope_IM.mul_(self.up_IM), d_gated_IM, out=d_gate_up_M[: len(slope_IM)])
        torch.mul(self.silu_IM, d_gated_IM, out=d_gate_up_M[len(slope_IM) :])
        d_matrix, d_gain2_D = unfolded(d_gate_up_M @ self.normed2.x.T, w.gate_up, w.gain2_D)
        d_gate, d_up = d_matrix.chunk(2)
        d_DM = self.normed2.backward(w.folded2.T @ d_gate_up_M).add_(d_DM)
        d_out = d_DM @ self.mixed_M.T
        d_mixed_M = w.out.T @ d_DM
        if self.places_N is not None:
            d_mixed_M, d_DM = (self._everywhere(d) for d in (d_mixed_M, d_DM))
        d_qkv_M, d_q_gain_E, d_k_gain_E = self._attend_backward(d_mixed_M)
        d_matrix, d_gain1_D = unfolded(d_qkv_M @ self.normed1.x.T, w.qkv, w.gain1_D)
        d_q, d_k, d_v = torch.split(d_matrix, w.sizes)
        d_DM = self.normed1.backward(w.folded1.T @ d_qkv_M).add_(d_DM)
        return d_DM, [d_gain1_D, d_q, d_k, d_v, d_q_gain_E, d_k_gain_E, d_out, d_gain2_D, d_gate, d_up, d_down]

    def _everywhere(self, d_N: Tensor) -> Tensor:
        whole_M = d_N.new_zeros(len(d_N), self.layout.M)
        return whole_M.index_add_(1, self.places_N, d_N)  # type: ignore[arg-type]  # there are places

    def _attend(self, qkv_M: Tensor) -> Tensor:
        w, (q, k, v) = self.w, self.w.sizes
        self.normed_qk = Normed(qkv_M[: q + k].view(-1, w.E, self.layout.M), w.eps)
        turned_M = self.layout.turned(self.normed_qk.x * w.gains_HE1).flatten(0, 1)
        mixed_M = torch.empty(q, self.layout.M)
        for part in self.layout.parts:
            queries, keys, values = (part.by_head(x_M, w) for x_M in (turned_M[:q], turned_M[q:], qkv_M[-v:]))
            if self.cache is not None:
                keys, values = self._with_earlier(self.cache, part, keys, values)
            weights = torch.baddbmm(part.bias, queries.transpose(1, 2), keys, alpha=w.E**-0.5).softmax(-1)
            part.fill(mixed_M, values @ weights.transpose(1, 2), w)
            self.attended.append((queries, keys, values, weights))
        return mixed_M

    def _with_earlier(self, cache: Update, part: _Part, *own: Tensor) -> tuple[Tensor, Tensor]:
        k, v = cache(*(t.view(part.B, self.w.K, self.w.E, -1).transpose(2, 3) for t in own))
        return k.flatten(0, 1).transpose(1, 2), v.flatten(0, 1).transpose(1, 2)

    def _attend_backward(self, d_mixed_M: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        w, (q, k, v) = self.w, self.w.sizes
        d_qkv_M = torch.empty(q + k + v, self.layout.M)
        for part, (queries, keys, values, weights) in zip(self.layout.parts, self.attended, strict=True):
            d_mixed = part.by_head(d_mixed_M, w)
            d_weights = d_mixed.transpose(1, 2) @ values
            d_scores = torch.ops.aten._softmax_backward_data(d_weights, weights, -1, torch.float32)
            d_scores.mul_(w.E**-0.5)
            part.fill(d_qkv_M[:q], keys @ d_scores.transpose(1, 2), w)
            part.fill(d_qkv_M[q : q + k], queries @ d_scores, w)
            part.fill(d_qkv_M[-v:], d_mixed @ weights, w)
        d_turned_HEM = d_qkv_M[: q + k].view(self.normed_qk.x.shape)
        d_HEM = self.layout.turned_back(d_turned_HEM)
        d_gains_HE = (d_HEM * self.normed_qk.x).sum(-1)
        d_q_gain_E, d_k_gain_E = (part.sum(0) for part in torch.split(d_gains_HE, [w.K * w.G, w.K]))
        d_turned_HEM.copy_(self.normed_qk.backward(d_HEM * w.gains_HE1))
        return d_qkv_M, d_q_gain_E, d_k_gain_E
