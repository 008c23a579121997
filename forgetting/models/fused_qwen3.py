"""A small Qwen3's pass over a training batch, forward and backward by hand: fewer and larger operations on a CPU.

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

from typing import Any

import torch
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.models.qwen3 import modeling_qwen3

WIDEST, LONGEST = 256, 256  # hidden size and tokens up to which it pays; attention keeps T x T numbers of each head
SPLIT_BELOW = 0.8  # of the tokens that one batch would read
WEIGHTS = 11  # of a block
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
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in network.parameters())
        and not any(map(_touched, network.modules()))
    )


def _touched(module: nn.Module) -> bool:
    """Whether another module stands in its place, something hangs on it, or it computes activations twice."""
    own = module.__dict__
    hooks = own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
    return type(module) not in OWN or bool(hooks) or "forward" in own or own.get("gradient_checkpointing", False)


def logits_at(network: Any, tokens_BT: Tensor, places_N: Tensor) -> Tensor:
    """Logits ``[N, V]`` at places of the flattened batch; gradients reach the parameters.

    No row is read beyond its last place. Where that saves much, long and short rows are two batches.
    """
    samples, length = tokens_BT.shape
    row_N, at_N = places_N // length, places_N % length
    needed_B = torch.zeros(samples, dtype=torch.long).scatter_reduce_(0, row_N, at_N + 1, "amax")
    widths_B, order_B = needed_B.sort(descending=True, stable=True)
    number_B = torch.arange(samples)
    read_B = widths_B[0] * number_B + widths_B * (samples - number_B)  # tokens, with as many rows in the first batch
    first = int(read_B.argmin())
    if not first or read_B[first] > SPLIT_BELOW * read_B[0]:
        width = int(widths_B[0])
        return _pass(network, tokens_BT[:, :width], row_N * width + at_N)
    rank_N = order_B.argsort()[row_N]
    parts, found = [], []
    for start, end in ((0, first), (first, samples)):
        width, mine = int(widths_B[start]), ((rank_N >= start) & (rank_N < end)).nonzero()[:, 0]
        if len(mine):
            tokens = tokens_BT[order_B[start:end], :width]
            found.append(_pass(network, tokens, (rank_N[mine] - start) * width + at_N[mine]))
            parts.append(mine)
    return torch.cat(found)[torch.cat(parts).argsort()]


def _pass(network: Any, tokens_BT: Tensor, places_N: Tensor) -> Tensor:
    model, config, tables = network.model, network.config, _Rotary.of(network, tokens_BT)
    blocks = [
        weight
        for block in model.layers
        for attention, mlp in [(block.self_attn, block.mlp)]
        for weight in (
            block.input_layernorm.weight, attention.q_proj.weight, attention.k_proj.weight, attention.v_proj.weight,
            attention.q_norm.weight, attention.k_norm.weight, attention.o_proj.weight,
            block.post_attention_layernorm.weight, mlp.gate_proj.weight, mlp.up_proj.weight, mlp.down_proj.weight,
        )
    ]  # fmt: skip
    logits: Tensor = _Pass.apply(  # type: ignore[no-untyped-call]  # torch leaves it unannotated
        tokens_BT, places_N, model.embed_tokens.padding_idx, tables, config.num_key_value_heads, config.rms_norm_eps,
        model.embed_tokens.weight, network.lm_head.weight, model.norm.weight, *blocks,
    )  # fmt: skip
    return logits


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tokens_BT: Tensor, places_N: Tensor, padding: int | None, rotary: _Rotary, heads: int, eps: float,
        embedding_VD: Tensor, head_VD: Tensor, gain_D: Tensor, *weights: Tensor,
    ) -> Tensor:  # fmt: skip
        blocks = [
            _Block(weights[first : first + WEIGHTS], heads, eps, tokens_BT.shape, rotary)
            for first in range(0, len(weights), WEIGHTS)
        ]
        blocks[-1].places_N = places_N
        x_DM = embedding_VD[tokens_BT.flatten()].T.contiguous()
        for block in blocks:
            x_DM = block.forward(x_DM)
        final, folded_VD = _Normed(x_DM, eps), head_VD * gain_D
        ctx.kept = tokens_BT, blocks, final, folded_VD, padding
        ctx.save_for_backward(embedding_VD, head_VD, gain_D)
        return final.x.T @ folded_VD.T

    @staticmethod
    def backward(ctx: Any, d_NV: Tensor) -> tuple[Tensor | None, ...]:
        tokens_BT, blocks, final, folded_VD, padding = ctx.kept
        embedding_VD, head_VD, gain_D = ctx.saved_tensors
        d_head_VD, d_gain_D = _unfolded(d_NV.T @ final.x.T, head_VD, gain_D)
        d_x_DM = final.backward(folded_VD.T @ d_NV.T)
        of_blocks: list[Tensor] = []
        for block in reversed(blocks):
            d_x_DM, own = block.backward(d_x_DM)
            of_blocks[:0] = own
        d_embedding_VD = torch.zeros_like(embedding_VD).index_add_(0, tokens_BT.flatten(), d_x_DM.T.contiguous())
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


class _Rotary:
    """Turns the halves of every head by their place."""

    def __init__(self, cos_EM: Tensor, sin_EM: Tensor) -> None:
        self.cos_EM, self.sin_EM = cos_EM, sin_EM

    @classmethod
    def of(cls, network: Any, tokens_BT: Tensor) -> _Rotary:
        """With the network's own angles."""
        samples, length = tokens_BT.shape
        cos, sin = network.model.rotary_emb(network.lm_head.weight, torch.arange(length)[None])
        first, second = sin[0].T.chunk(2)
        return cls(cos[0].T.repeat(1, samples), torch.cat((-first, second)).repeat(1, samples))

    def turned(self, x_HEM: Tensor) -> Tensor:
        return torch.addcmul(x_HEM * self.cos_EM, _swapped(x_HEM), self.sin_EM)

    def backward(self, d_HEM: Tensor) -> Tensor:
        return (d_HEM * self.cos_EM).add_(_swapped(d_HEM * self.sin_EM))


def _swapped(x_HEM: Tensor) -> Tensor:
    first, second = x_HEM.chunk(2, 1)
    return torch.cat((second, first), 1)


class _Block:
    """A decoder block: ``forward`` keeps what ``backward`` needs."""

    def __init__(self, weights: tuple[Tensor, ...], heads: int, eps: float, shape: torch.Size, rotary: _Rotary) -> None:
        self.gain1_D, q, k, v, self.q_gain_E, self.k_gain_E, self.out, self.gain2_D, gate, up, self.down = weights
        self.qkv, self.gate_up, self.sizes = torch.cat((q, k, v)), torch.cat((gate, up)), [len(q), len(k), len(v)]
        self.B, self.T, self.K, self.G = *shape, heads, len(q) // len(k)
        self.gains_HE1 = torch.cat((self.q_gain_E.repeat(self.K * self.G), self.k_gain_E.repeat(self.K)))
        self.gains_HE1 = self.gains_HE1.view(-1, len(self.q_gain_E), 1)
        self.eps, self.rotary = eps, rotary
        self.places_N: Tensor | None = None  # the only ones that are asked for

    def forward(self, x_DM: Tensor) -> Tensor:
        self.normed1, self.folded1 = _Normed(x_DM, self.eps), self.qkv * self.gain1_D
        self.mixed_M = self._attend(self.folded1 @ self.normed1.x)
        if self.places_N is not None:
            self.mixed_M, x_DM = self.mixed_M[:, self.places_N], x_DM[:, self.places_N]
        x_DM = torch.addmm(x_DM, self.out, self.mixed_M)
        self.normed2, self.folded2 = _Normed(x_DM, self.eps), self.gate_up * self.gain2_D
        gate_IM, self.up_IM = (self.folded2 @ self.normed2.x).chunk(2)
        self.sigmoid_IM = gate_IM.sigmoid()
        self.silu_IM = gate_IM * self.sigmoid_IM
        self.gated_IM = self.silu_IM * self.up_IM
        return torch.addmm(x_DM, self.down, self.gated_IM)

    def backward(self, d_DM: Tensor) -> tuple[Tensor, list[Tensor]]:
        d_down = d_DM @ self.gated_IM.T
        d_gated_IM = self.down.T @ d_DM
        slope_IM = torch.addcmul(self.sigmoid_IM + self.silu_IM, self.sigmoid_IM, self.silu_IM, value=-1)
        d_gate_up_M = torch.cat((slope_IM.mul_(self.up_IM).mul_(d_gated_IM), d_gated_IM.mul_(self.silu_IM)))
        d_matrix, d_gain2_D = _unfolded(d_gate_up_M @ self.normed2.x.T, self.gate_up, self.gain2_D)
        d_gate, d_up = d_matrix.chunk(2)
        d_DM = self.normed2.backward(self.folded2.T @ d_gate_up_M).add_(d_DM)
        d_out = d_DM @ self.mixed_M.T
        d_mixed_M = self.out.T @ d_DM
        if self.places_N is not None:
            d_mixed_M, d_DM = (self._everywhere(d) for d in (d_mixed_M, d_DM))
        d_qkv_M, d_q_gain_E, d_k_gain_E = self._attend_backward(d_mixed_M)
        d_matrix, d_gain1_D = _unfolded(d_qkv_M @ self.normed1.x.T, self.qkv, self.gain1_D)
        d_q, d_k, d_v = torch.split(d_matrix, self.sizes)
        d_DM = self.normed1.backward(self.folded1.T @ d_qkv_M).add_(d_DM)
        return d_DM, [d_gain1_D, d_q, d_k, d_v, d_q_gain_E, d_k_gain_E, d_out, d_gain2_D, d_gate, d_up, d_down]

    def _everywhere(self, d_N: Tensor) -> Tensor:
        return d_N.new_zeros(len(d_N), self.B * self.T).index_add_(1, self.places_N, d_N)  # type: ignore[arg-type]

    def _attend(self, qkv_M: Tensor) -> Tensor:
        q, k, v = self.sizes
        heads, length = self.gains_HE1.shape[:2]
        self.normed_qk = _Normed(qkv_M[: q + k].view(heads, length, -1), self.eps)
        turned_M = self.rotary.turned(self.normed_qk.x * self.gains_HE1).flatten(0, 1)
        self.q, self.k, self.v = self._by_head(turned_M[:q]), self._by_head(turned_M[q:]), self._by_head(qkv_M[-v:])
        later = torch.full((self.T, self.T), -torch.inf).triu_(1).repeat(self.G, 1)
        scores = torch.baddbmm(later, self.q.transpose(1, 2), self.k, alpha=length**-0.5)
        self.weights = scores.softmax(-1)
        return self._by_place(self.v @ self.weights.transpose(1, 2))

    def _attend_backward(self, d_mixed_M: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        heads, length = self.gains_HE1.shape[:2]
        d_mixed = self._by_head(d_mixed_M)
        d_weights = d_mixed.transpose(1, 2) @ self.v
        d_scores = torch.ops.aten._softmax_backward_data(d_weights, self.weights, -1, torch.float32)
        d_scores.mul_(length**-0.5)
        d_q_M, d_k_M = self._by_place(self.k @ d_scores.transpose(1, 2)), self._by_place(self.q @ d_scores)
        d_v_M = self._by_place(d_mixed @ self.weights)
        d_HEM = self.rotary.backward(torch.cat((d_q_M, d_k_M)).view(heads, length, -1))
        d_gains_HE = (d_HEM * self.normed_qk.x).sum(-1)
        d_q_gain_E, d_k_gain_E = (part.sum(0) for part in torch.split(d_gains_HE, [self.K * self.G, self.K]))
        d_qk_M = self.normed_qk.backward(d_HEM * self.gains_HE1).flatten(0, 1)
        return torch.cat((d_qk_M, d_v_M)), d_q_gain_E, d_k_gain_E

    def _by_head(self, x_M: Tensor) -> Tensor:
        """Rows of features as ``[B K, E, G T]``, where G is 1 for keys and values."""
        by_head = x_M.view(self.K, -1, len(self.q_gain_E), self.B, self.T).permute(3, 0, 2, 1, 4)
        return by_head.reshape(self.B * self.K, len(self.q_gain_E), -1)

    def _by_place(self, x: Tensor) -> Tensor:
        """The way back."""
        by_place = x.view(self.B, self.K, len(self.q_gain_E), -1, self.T).permute(1, 3, 2, 0, 4)
        return by_place.reshape(-1, self.B * self.T)
