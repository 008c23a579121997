"""A small Qwen3 by hand, forward and backward: fewer and larger operations on a CPU, to train, to read and to write.

The modules of Hugging Face's Qwen3 spend most of a small student's step on hundreds of tiny operations. Here the same
function takes query, key and value as one product, gate and up as another, has the gains of the norms inside the matrix
that follows, and computes what no logits asked for depend on nowhere in the last block. Activations have the features
first, so that parts of them and sums over them are whole rows. Logits and gradients equal the module's to within
rounding; ``suits`` says where the pass may stand in for it.

Shape suffixes: B samples, T tokens, M places of a batch (B x T; fewer in the last block), N places asked for, D hidden
size, I feed-forward size, K key-value heads, G queries of each, H heads that turn (queries, then keys), E head size, V
words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.models.qwen3 import modeling_qwen3

from forgetting.contracts import Layers

WIDEST, LONGEST = 256, 256  # hidden size and tokens up to which it pays; attention keeps T x T numbers of each head
WORTH = 64  # tokens not read, that make it worth while to attend to one group of rows more
WEIGHTS = 11  # of a block
# Takes a step's keys and values, ``[B, K, T, E]``, and gives all up to here.
Update = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
OWN = {
    modeling_qwen3.Qwen3ForCausalLM, modeling_qwen3.Qwen3Model, modeling_qwen3.Qwen3RotaryEmbedding,
    modeling_qwen3.Qwen3DecoderLayer, modeling_qwen3.Qwen3Attention, modeling_qwen3.Qwen3MLP,
    modeling_qwen3.Qwen3RMSNorm, nn.ModuleList, nn.Embedding, nn.Linear, type(ACT2FN["silu"]),
}  # fmt: skip


def suits(network: Any, tokens_BT: Tensor) -> bool:
    """Whether the pass computes what a call of the network would: an untouched small Qwen3 in fp32 on a CPU."""
    if type(network) is not modeling_qwen3.Qwen3ForCausalLM or tokens_BT.shape[1] > LONGEST:
        return False
    c = network.config
    return (
        c.hidden_size <= WIDEST
        and c.hidden_act == "silu"
        and not c.attention_bias
        and not (network.training and c.attention_dropout)
        and set(c.layer_types or ()) == {"full_attention"}
        and not torch.is_autocast_enabled("cpu")
        and not any(map(_touched, network.modules()))
    )


def _touched(module: nn.Module) -> bool:
    """Whether it is another module, something hangs on it, it computes activations twice, or its weights are not fp32
    on the CPU.
    """
    own = module.__dict__
    if any(p is not None and (p.dtype != torch.float32 or p.device.type != "cpu") for p in own["_parameters"].values()):
        return True
    hooks = own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
    changed = "forward" in own or own.get("_compiled_call_impl") or own.get("gradient_checkpointing")
    return type(module) not in OWN or bool(hooks or changed)


def logits_at(network: Any, tokens_BT: Tensor, places_N: Tensor) -> Tensor:
    """Logits ``[N, V]`` at places of the flattened batch; gradients reach the parameters.

    With gradients no row is read beyond its last place, and rows of like length are padded to one another only.
    Without, the logits are bit for bit those of a ``Reader``: looks compare one with the other.
    """
    if not torch.is_grad_enabled():
        return Reader(network).read(tokens_BT, places_N)[0]
    samples, length = tokens_BT.shape
    row_N, at_N = np.divmod(places_N.numpy(), length)
    needed_B = np.ones(samples, dtype=np.int64)  # a row without places would have no tokens else
    np.maximum.at(needed_B, row_N, at_N + 1)
    order_B = np.argsort(-needed_B, kind="stable")
    counts = _grouped(needed_B[order_B])
    parts, starts_B, begin = list[tuple[int, int]](), np.empty(samples, dtype=np.int64), 0
    for count in counts:
        rows = order_B[sum(n for n, _ in parts) :][:count]
        width = int(needed_B[rows[0]])
        starts_B[rows] = begin + width * np.arange(count)
        parts.append((count, width))
        begin += count * width
    ordered_BT = tokens_BT[torch.from_numpy(order_B)]
    rows_of_parts = torch.split(ordered_BT, counts)
    tokens_M = torch.cat([rows[:, :width].flatten() for rows, (_, width) in zip(rows_of_parts, parts, strict=True)])
    blocks, ends = _weights(network)
    config, padding = network.config, network.model.embed_tokens.padding_idx
    logits: Tensor = _Pass.apply(  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        tokens_M, torch.from_numpy(starts_B[row_N] + at_N), padding, _Layout.over(network, parts),
        config.num_key_value_heads, config.rms_norm_eps, *ends, *(weight for block in blocks for weight in block),
    )  # fmt: skip
    return logits


def _grouped(widths_B: NDArray[np.int64]) -> list[int]:
    """Sizes of groups of neighbouring rows, the widest first, each as wide as its first: split while it saves."""
    count = len(widths_B)
    saved = (widths_B[0] - widths_B) * (count - np.arange(count))  # tokens, if a group began at that row
    first = int(saved.argmax())
    if saved[first] < WORTH:
        return [count]
    return _grouped(widths_B[:first]) + _grouped(widths_B[first:])


def _weights(network: Any) -> tuple[list[tuple[Tensor, ...]], tuple[Tensor, Tensor, Tensor]]:
    """The weights of each block; and the embedding, the head and the last norm's gain."""
    blocks: list[tuple[Tensor, ...]] = [
        (
            block.input_layernorm.weight, attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight,
            attention.q_norm.weight, attention.k_norm.weight, attention.o_proj.weight,
            block.post_attention_layernorm.weight, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight,
        )
        for block in network.model.layers
        for attention, mlp in [(block.self_attn, block.mlp)]
    ]  # fmt: skip
    return blocks, (network.model.embed_tokens.weight, network.lm_head.weight, network.model.norm.weight)


class Reader:
    """The network with its weights of the moment, without gradients: reads texts, and writes on from what it read."""

    @torch.no_grad()
    def __init__(self, network: Any) -> None:
        self._network, self._eps = network, network.config.rms_norm_eps
        blocks, (self._embedding_VD, head_VD, gain_D) = _weights(network)
        self._blocks = [_Weights(block, network.config.num_key_value_heads, self._eps) for block in blocks]
        self._folded_VD = head_VD * gain_D

    @torch.no_grad()
    def read(self, tokens_BT: Tensor, places_N: Tensor) -> tuple[Tensor, Layers]:
        """Logits ``[N, V]``, and keys and values ``[B, K, T, E]`` of each block."""
        layout, layers = _Layout.over(self._network, [tokens_BT.shape]), list[tuple[Tensor, Tensor]]()
        blocks = [_Block(weights, layout) for weights in self._blocks]
        blocks[-1].places_N = places_N
        logits_NV = self._logits(blocks, tokens_BT)
        for block in blocks:
            ((_, *keys_and_values, _),) = block.attended
            k, v = (t.view(len(tokens_BT), -1, *t.shape[1:]).transpose(2, 3).contiguous() for t in keys_and_values)
            layers.append((k, v))
        return logits_NV, layers

    @torch.no_grad()
    def write(self, tokens_BT: Tensor, places_BT: Tensor, bias_BTK: Tensor, caches: list[Update]) -> Tensor:
        """Logits ``[B, T, V]`` of tokens at these places of texts whose keys and values the caches hold."""
        layout = _Layout.at(self._network, places_BT, bias_BTK)
        blocks = [_Block(weights, layout, cache) for weights, cache in zip(self._blocks, caches, strict=True)]
        return self._logits(blocks, tokens_BT).view(*tokens_BT.shape, -1)

    def _logits(self, blocks: list[_Block], tokens_BT: Tensor) -> Tensor:
        x_DM = self._embedding_VD[tokens_BT.flatten()].T.contiguous()
        for block in blocks:
            x_DM = block.forward(x_DM)
        return _Normed(x_DM, self._eps).x.T @ self._folded_VD.T


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tokens_M: Tensor, places_N: Tensor, padding: int | None, layout: _Layout, heads: int, eps: float,
        embedding_VD: Tensor, head_VD: Tensor, gain_D: Tensor, *weights: Tensor,
    ) -> Tensor:  # fmt: skip
        blocks = [
            _Block(_Weights(weights[first : first + WEIGHTS], heads, eps), layout)
            for first in range(0, len(weights), WEIGHTS)
        ]
        blocks[-1].places_N = places_N
        x_DM = embedding_VD[tokens_M].T.contiguous()
        for block in blocks:
            x_DM = block.forward(x_DM)
        final, folded_VD = _Normed(x_DM, eps), head_VD * gain_D
        ctx.kept = tokens_M, blocks, final, folded_VD, padding
        ctx.save_for_backward(embedding_VD, head_VD, gain_D)
        return final.x.T @ folded_VD.T

    @staticmethod
    def backward(ctx: Any, d_NV: Tensor) -> tuple[Tensor | None, ...]:
        tokens_M, blocks, final, folded_VD, padding = ctx.kept
        embedding_VD, head_VD, gain_D = ctx.saved_tensors
        d_head_VD, d_gain_D = _unfolded(d_NV.T @ final.x.T, head_VD, gain_D)
        d_x_DM = final.backward(folded_VD.T @ d_NV.T)
        of_blocks: list[Tensor] = []
        for block in reversed(blocks):
            d_x_DM, own = block.backward(d_x_DM)
            of_blocks[:0] = own
        d_embedding_VD = torch.zeros_like(embedding_VD).index_add_(0, tokens_M, d_x_DM.T.contiguous())
        if padding is not None:
            d_embedding_VD[padding] = 0
        return None, None, None, None, None, None, d_embedding_VD, d_head_VD, d_gain_D, *of_blocks


class _Normed:
    """``x`` divided by its root mean square over the features, the axis before the last; without the gain."""

    def __init__(self, x: Tensor, eps: float) -> None:
        self.inverse = (x * x).mean(-2, keepdim=True).add_(eps).rsqrt_()
        self.x = x * self.inverse

    def backward(self, d: Tensor) -> Tensor:
        return torch.addcmul(d, self.x, (d * self.x).mean(-2, keepdim=True), value=-1).mul_(self.inverse)


def _unfolded(d_folded: Tensor, matrix: Tensor, gain_D: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of a matrix and of the gain that was multiplied into it."""
    return d_folded * gain_D, (d_folded * matrix).sum(0)


@dataclass(frozen=True)
class _Part:
    """B texts of T tokens, side by side from one place on, and what attention adds to their scores."""

    first: int
    B: int
    T: int
    bias: Tensor

    def by_head(self, x_M: Tensor, w: _Weights) -> Tensor:
        """Rows of features as ``[B K, E, G T]``, where G is 1 for keys and values."""
        return self._split(x_M, w).permute(3, 0, 2, 1, 4).reshape(self.B * w.K, w.E, -1)

    def fill(self, x_M: Tensor, given: Tensor, w: _Weights) -> None:
        """The way back, into the part's places."""
        self._split(x_M, w).copy_(given.view(self.B, w.K, w.E, -1, self.T).permute(1, 3, 2, 0, 4))

    def _split(self, x_M: Tensor, w: _Weights) -> Tensor:
        return x_M[:, self.first : self.first + self.B * self.T].view(w.K, -1, w.E, self.B, self.T)


class _Layout:
    """Texts in parts of one width each: the angles at their places, and how attention sees them."""

    def __init__(self, parts: list[_Part], cos_EM: Tensor, sin_EM: Tensor) -> None:
        first, second = sin_EM.chunk(2)
        self.parts, self.cos_EM, self.sin_EM = parts, cos_EM, torch.cat((-first, second))
        self.M = cos_EM.shape[1]

    @classmethod
    def over(cls, network: Any, shapes: Sequence[Sequence[int]]) -> _Layout:
        """Whole texts from their first token on, so many of so many tokens, the longest first."""
        longest = shapes[0][1]
        cos_TE, sin_TE = (t[0] for t in network.model.rotary_emb(network.lm_head.weight, torch.arange(longest)[None]))
        groups = network.config.num_attention_heads // network.config.num_key_value_heads
        later = torch.full((longest, longest), -torch.inf).triu_(1)
        parts, first = list[_Part](), 0
        for samples, length in shapes:
            parts.append(_Part(first, samples, length, later[:length, :length].repeat(groups, 1)))
            first += samples * length
        cos_EM, sin_EM = (torch.cat([t.T[:, :T].repeat(1, B) for B, T in shapes], 1) for t in (cos_TE, sin_TE))
        return cls(parts, cos_EM, sin_EM)

    @classmethod
    def at(cls, network: Any, places_BT: Tensor, bias_BTK: Tensor) -> _Layout:
        """Tokens at places of their own, which see what the bias leaves them of what stands before."""
        cos_EM, sin_EM = (t.flatten(0, 1).T for t in network.model.rotary_emb(network.lm_head.weight, places_BT))
        heads, groups = network.config.num_key_value_heads, network.config.num_attention_heads
        bias = bias_BTK.repeat(1, groups // heads, 1).repeat_interleave(heads, 0)
        samples, length = places_BT.shape
        return cls([_Part(0, samples, length, bias)], cos_EM, sin_EM)

    def turned(self, x_HEM: Tensor) -> Tensor:
        """The halves of every head, turned by their places."""
        return torch.addcmul(x_HEM * self.cos_EM, _swapped(x_HEM), self.sin_EM)

    def turned_back(self, d_HEM: Tensor) -> Tensor:
        return (d_HEM * self.cos_EM).add_(_swapped(d_HEM * self.sin_EM))


def _swapped(x_HEM: Tensor) -> Tensor:
    first, second = x_HEM.chunk(2, 1)
    return torch.cat((second, first), 1)


class _Weights:
    """A block's weights as its products take them."""

    def __init__(self, given: tuple[Tensor, ...], heads: int, eps: float) -> None:
        self.gain1_D, q, k, v, q_gain_E, k_gain_E, self.out, self.gain2_D, gate, up, self.down = given
        self.qkv, self.gate_up, self.sizes = torch.cat((q, k, v)), torch.cat((gate, up)), [len(q), len(k), len(v)]
        self.folded1, self.folded2 = self.qkv * self.gain1_D, self.gate_up * self.gain2_D
        self.K, self.G, self.E, self.eps = heads, len(q) // len(k), len(q_gain_E), eps
        gains = torch.cat((q_gain_E.repeat(self.K * self.G), k_gain_E.repeat(self.K)))
        self.gains_HE1 = gains.view(-1, self.E, 1)


class _Block:
    """A decoder block: ``forward`` keeps what ``backward`` needs."""

    def __init__(self, weights: _Weights, layout: _Layout, cache: Update | None = None) -> None:
        self.w, self.layout, self.cache = weights, layout, cache
        self.places_N: Tensor | None = None  # the only ones that are asked for
        self.attended: list[tuple[Tensor, Tensor, Tensor, Tensor]] = []  # of each part: what, keys, values, how much

    def forward(self, x_DM: Tensor) -> Tensor:
        w = self.w
        self.normed1 = _Normed(x_DM, w.eps)
        self.mixed_M = self._attend(w.folded1 @ self.normed1.x)
        if self.places_N is not None:
            self.mixed_M, x_DM = self.mixed_M[:, self.places_N], x_DM[:, self.places_N]
        x_DM = torch.addmm(x_DM, w.out, self.mixed_M)
        self.normed2 = _Normed(x_DM, w.eps)
        gate_IM, self.up_IM = (w.folded2 @ self.normed2.x).chunk(2)
        self.sigmoid_IM = gate_IM.sigmoid()
        self.silu_IM = gate_IM * self.sigmoid_IM
        self.gated_IM = self.silu_IM * self.up_IM
        return torch.addmm(x_DM, w.down, self.gated_IM)

    def backward(self, d_DM: Tensor) -> tuple[Tensor, list[Tensor]]:
        w = self.w
        d_down = d_DM @ self.gated_IM.T
        d_gated_IM = w.down.T @ d_DM
        slope_IM = torch.addcmul(self.sigmoid_IM + self.silu_IM, self.sigmoid_IM, self.silu_IM, value=-1)
        d_gate_up_M = torch.empty(2 * len(slope_IM), slope_IM.shape[1])
        torch.mul(slope_IM.mul_(self.up_IM), d_gated_IM, out=d_gate_up_M[: len(slope_IM)])
        torch.mul(self.silu_IM, d_gated_IM, out=d_gate_up_M[len(slope_IM) :])
        d_matrix, d_gain2_D = _unfolded(d_gate_up_M @ self.normed2.x.T, w.gate_up, w.gain2_D)
        d_gate, d_up = d_matrix.chunk(2)
        d_DM = self.normed2.backward(w.folded2.T @ d_gate_up_M).add_(d_DM)
        d_out = d_DM @ self.mixed_M.T
        d_mixed_M = w.out.T @ d_DM
        if self.places_N is not None:
            d_mixed_M, d_DM = (self._everywhere(d) for d in (d_mixed_M, d_DM))
        d_qkv_M, d_q_gain_E, d_k_gain_E = self._attend_backward(d_mixed_M)
        d_matrix, d_gain1_D = _unfolded(d_qkv_M @ self.normed1.x.T, w.qkv, w.gain1_D)
        d_q, d_k, d_v = torch.split(d_matrix, w.sizes)
        d_DM = self.normed1.backward(w.folded1.T @ d_qkv_M).add_(d_DM)
        return d_DM, [d_gain1_D, d_q, d_k, d_v, d_q_gain_E, d_k_gain_E, d_out, d_gain2_D, d_gate, d_up, d_down]

    def _everywhere(self, d_N: Tensor) -> Tensor:
        whole_M = d_N.new_zeros(len(d_N), self.layout.M)
        return whole_M.index_add_(1, self.places_N, d_N)  # type: ignore[arg-type]  # there are places

    def _attend(self, qkv_M: Tensor) -> Tensor:
        w, (q, k, v) = self.w, self.w.sizes
        self.normed_qk = _Normed(qkv_M[: q + k].view(-1, w.E, self.layout.M), w.eps)
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
