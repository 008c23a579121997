"""A small Qwen3 by hand, forward and backward: fewer and larger operations on a CPU, to train, to read and to write.

The modules of Hugging Face's Qwen3 spend most of a small student's step on hundreds of tiny operations. Here the same
function takes query, key and value as one product, gate and up as another, has the gains of the norms inside the matrix
that follows, and computes what no logits asked for depend on nowhere in the last block. Activations have the features
first, so that parts of them and sums over them are whole rows. Logits and gradients equal the module's to within
rounding; ``suits`` says where the pass may stand in for it.

The blocks are in ``fused_block``, whose shape suffixes stand here too; N places asked for, V words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.activations import ACT2FN
from transformers.models.qwen3 import modeling_qwen3

from forgetting.contracts import Layers
from forgetting.models import fused_step
from forgetting.models.fused_block import LONGEST, Block, Layout, Normed, Update, Weights, angles, unfolded

WIDEST = 256  # hidden size up to which it pays; texts up to LONGEST
WORTH = 64  # tokens not read, that make it worth while to attend to one group of rows more
WEIGHTS = 11  # of a block
OWN = {
    modeling_qwen3.Qwen3ForCausalLM, modeling_qwen3.Qwen3Model, modeling_qwen3.Qwen3RotaryEmbedding,
    modeling_qwen3.Qwen3DecoderLayer, modeling_qwen3.Qwen3Attention, modeling_qwen3.Qwen3MLP,
    modeling_qwen3.Qwen3RMSNorm, nn.ModuleList, nn.Embedding, nn.Linear, type(ACT2FN["silu"]),
}  # fmt: skip


def suits(network: Any, length: int = 0) -> bool:
    """Whether the pass computes what a call of the network with so long texts would: an untouched small Qwen3 in fp32
    on a CPU.
    """
    if type(network) is not modeling_qwen3.Qwen3ForCausalLM or length > LONGEST:
        return False
    c = network.config
    return (
        c.hidden_size <= WIDEST
        and c.hidden_act == "silu"
        and not c.attention_bias
        and not (network.training and c.attention_dropout)
        and set(c.layer_types or ()) == {"full_attention"}
        and not torch.is_autocast_enabled("cpu")
        and not _touched(network)
        and network.model.rotary_emb.rope_type == "default"
    )


def _touched(module: nn.Module) -> bool:
    """Whether it, or a part of it, is another module, something hangs on it, it computes activations twice, or its
    weights are not fp32 on the CPU.
    """
    own = module.__dict__
    if any(p is not None and (p.dtype != torch.float32 or p.device.type != "cpu") for p in own["_parameters"].values()):
        return True
    hooks = own["_forward_hooks"] or own["_forward_pre_hooks"] or own["_backward_hooks"] or own["_backward_pre_hooks"]
    changed = "forward" in own or own.get("_compiled_call_impl") or own.get("gradient_checkpointing")
    return type(module) not in OWN or bool(hooks or changed) or any(map(_touched, own["_modules"].values()))


def logits_at(network: Any, tokens_BT: Tensor, places_N: Tensor) -> Tensor:
    """Logits ``[N, V]`` at places of the flattened batch; gradients reach the parameters.

    Without gradients they are bit for bit those of a ``Reader``: looks compare one with the other.
    """
    if not torch.is_grad_enabled():
        return Reader(network).read(tokens_BT, places_N)[0]
    return _grouped_logits_at(network, tokens_BT, places_N)


@torch.no_grad()
def targets_at(network: Any, tokens_BT: Tensor, places_N: Tensor) -> Tensor:
    """``logits_at`` without gradients to within rounding, which reads as little as with gradients."""
    return _grouped_logits_at(network, tokens_BT, places_N)


def _grouped_logits_at(network: Any, tokens_BT: Tensor, places_N: Tensor) -> Tensor:
    """No row is read beyond its last place, and rows of like length are padded to one another only."""
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
        tokens_M, torch.from_numpy(starts_B[row_N] + at_N), padding, Layout.over(network, parts),
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
        self._blocks = [Weights(block, network.config.num_key_value_heads, self._eps) for block in blocks]
        self._folded_VD = head_VD * gain_D

    @torch.no_grad()
    def read(self, tokens_BT: Tensor, places_N: Tensor) -> tuple[Tensor, Layers]:
        """Logits ``[N, V]``, and keys and values ``[B, K, T, E]`` of each block."""
        layout, layers = Layout.over(self._network, [tokens_BT.shape]), list[tuple[Tensor, Tensor]]()
        blocks = [Block(weights, layout) for weights in self._blocks]
        blocks[-1].places_N = places_N
        logits_NV = self._logits(blocks, tokens_BT)
        for block in blocks:
            ((_, *keys_and_values, _),) = block.attended
            k, v = (t.view(len(tokens_BT), -1, *t.shape[1:]).transpose(2, 3).contiguous() for t in keys_and_values)
            layers.append((k, v))
        return logits_NV, layers

    @torch.no_grad()
    def next(self, tokens_B1: Tensor, places_B1: Tensor, until: int, caches: Layers) -> Tensor:
        """``write`` of one token a row, of texts that see all up to it in caches ``[B, K, room, E]``."""
        places = fused_step.Places(angles(self._network.model.rotary_emb), places_B1, until)
        x_DB = self._embedding_VD[tokens_B1[:, 0]].T.contiguous()
        for weights, cache in zip(self._blocks, caches, strict=True):
            x_DB = fused_step.block(x_DB, weights, places, cache)
        return (fused_step.normed(x_DB.numpy(), self._eps).T @ self._folded_VD.T)[:, None]

    @torch.no_grad()
    def write(self, tokens_BT: Tensor, places_BT: Tensor, bias_BTK: Tensor, caches: list[Update]) -> Tensor:
        """Logits ``[B, T, V]`` of tokens at these places of texts whose keys and values the caches hold."""
        layout = Layout.at(self._network, places_BT, bias_BTK)
        blocks = [Block(weights, layout, cache) for weights, cache in zip(self._blocks, caches, strict=True)]
        return self._logits(blocks, tokens_BT).view(*tokens_BT.shape, -1)

    def _logits(self, blocks: list[Block], tokens_BT: Tensor) -> Tensor:
        x_DM = self._embedding_VD[tokens_BT.flatten()].T.contiguous()
        for block in blocks:
            x_DM = block.forward(x_DM)
        return Normed(x_DM, self._eps).x.T @ self._folded_VD.T


class _Pass(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, tokens_M: Tensor, places_N: Tensor, padding: int | None, layout: Layout, heads: int, eps: float,
        embedding_VD: Tensor, head_VD: Tensor, gain_D: Tensor, *weights: Tensor,
    ) -> Tensor:  # fmt: skip
        blocks = [
            Block(Weights(weights[first : first + WEIGHTS], heads, eps), layout)
            for first in range(0, len(weights), WEIGHTS)
        ]
        blocks[-1].places_N = places_N
        x_DM = embedding_VD[tokens_M].T.contiguous()
        for block in blocks:
            x_DM = block.forward(x_DM)
        final, folded_VD = Normed(x_DM, eps), head_VD * gain_D
        ctx.kept = tokens_M, blocks, final, folded_VD, padding
        ctx.save_for_backward(embedding_VD, head_VD, gain_D)
        return final.x.T @ folded_VD.T

    @staticmethod
    def backward(ctx: Any, d_NV: Tensor) -> tuple[Tensor | None, ...]:
        tokens_M, blocks, final, folded_VD, padding = ctx.kept
        embedding_VD, head_VD, gain_D = ctx.saved_tensors
        d_head_VD, d_gain_D = unfolded(d_NV.T @ final.x.T, head_VD, gain_D)
        d_x_DM = final.backward(folded_VD.T @ d_NV.T)
        of_blocks: list[Tensor] = []
        for block in reversed(blocks):
            d_x_DM, own = block.backward(d_x_DM)
            of_blocks[:0] = own
        d_embedding_VD = torch.zeros_like(embedding_VD).index_add_(0, tokens_M, d_x_DM.T.contiguous())
        if padding is not None:
            d_embedding_VD[padding] = 0
        return None, None, None, None, None, None, d_embedding_VD, d_head_VD, d_gain_D, *of_blocks
