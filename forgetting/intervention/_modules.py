"""A student's weights in groups, and random sets of weights beside them: names and shapes in, masks of entries out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain, combinations
from typing import TYPE_CHECKING, Any

from forgetting import seeds
from forgetting.contracts import Model
from forgetting.errors import UsageError

if TYPE_CHECKING:
    from torch import Tensor

BY = ("module", "kind", "layer", "head")
MOST_GROUPS = 8  # of which all subsets are measured
EMBEDDING, NORMS, HEAD = "embedding", "norms", "head"
Masks = dict[str, "Tensor"]  # of each tensor in a group, which of its entries are


def groups(student: Model, by: str) -> dict[str, Masks]:
    """Disjoint groups of the weights, by name in the order of the network; together they are all weights.

    ``module``: embedding, attention and feed-forward of each block (attention.0, mlp.0), norms. ``kind``: the same over
    all blocks. ``layer``: embedding, each whole block, the last norm with the last one. ``head``: embedding, each
    attention head (its rows of query, key and value, its columns of output; a key and value that heads share is in the
    first), and the rest.

    Raises:
        UsageError: a network whose blocks or heads cannot be told
    """
    if by == "head":
        return _by_head(student)
    found: dict[str, Masks] = {}
    for name, weight in student.state().items():
        found.setdefault(_group(student, name, by), {})[name] = weight.new_ones(weight.shape).bool()
    return found


def _group(student: Model, name: str, by: str) -> str:
    network: Any = student.network
    block = re.search(r"\.(?:layers|h|blocks)\.(\d+)\.", name)
    if _is_embedding(network, name):
        return EMBEDDING
    if by == "layer":
        return f"layer.{block[1] if block else _last_layer(student)}"
    if "norm" in name or ".ln_" in name:
        return NORMS
    if block is None:
        return HEAD if "head" in name else NORMS
    kind = "attention" if "attn" in name or "attention" in name else "mlp"
    return f"{kind}.{block[1]}" if by == "module" else kind


def _last_layer(student: Model) -> int:
    """The last layer with weights of its own: a looped network passes through them again and again."""
    network: Any = student.network
    return int(network.config.num_hidden_layers) // int(getattr(network.config, "tied_loops", 1)) - 1


def _is_embedding(network: Any, name: str) -> bool:
    weights = dict(network.named_parameters())
    return weights.get(name) is network.get_input_embeddings().weight or "embed" in name or ".wpe." in name


def _by_head(student: Model) -> dict[str, Masks]:
    network: Any = student.network
    config, found, rest = network.config, dict[str, Masks](), dict[str, Any]()
    heads, shared = config.num_attention_heads, config.num_attention_heads // config.num_key_value_heads
    for name, weight in student.state().items():
        part = re.search(r"\.layers\.(\d+)\.self_attn\.([qkvo])_proj\.weight$", name)
        if _is_embedding(network, name):
            found.setdefault(EMBEDDING, {})[name] = weight.new_ones(weight.shape).bool()
        elif part is None:
            rest[name] = weight.new_ones(weight.shape).bool()
        else:
            count = heads if part[2] in "qo" else config.num_key_value_heads
            size = weight.shape[1 if part[2] == "o" else 0] // count
            for number in range(count):
                mask = weight.new_zeros(weight.shape).bool()
                own = slice(number * size, (number + 1) * size)
                mask[(slice(None), own) if part[2] == "o" else own] = True
                of = number if part[2] in "qo" else number * shared
                found.setdefault(f"head.{part[1]}.{of}", {})[name] = mask
    if not any(name.startswith("head.") for name in found):
        raise UsageError("intervention: heads are told apart in networks with q_proj, k_proj, v_proj and o_proj alone")
    return {**found, "rest": rest}


def subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """All sets of groups but the empty one and the whole, the smallest first."""
    if len(names) > MOST_GROUPS:
        raise UsageError(f"intervention: takes at most {MOST_GROUPS} groups for all their sets, got {len(names)}")
    return chain.from_iterable(combinations(names, size) for size in range(1, len(names)))


def joined(parts: Sequence[Masks]) -> Masks:
    """The entries that are in any of the groups."""
    found: Masks = {}
    for masks in parts:
        for name, mask in masks.items():
            found[name] = found[name] | mask if name in found else mask
    return found


def moved(into: Mapping[str, Tensor], source: Mapping[str, Tensor], masks: Masks) -> dict[str, Tensor]:
    """The weights with the masked entries of the source in them."""
    import torch

    return {
        name: torch.where(masks[name], source[name].to(weight.device), weight) if name in masks else weight.clone()
        for name, weight in into.items()
    }


def drawn_alike(
    masks: Masks, base: Mapping[str, Tensor], tuned: Mapping[str, Tensor], *, change: bool, seed: int
) -> Masks:
    """Random entries of all weights: as many as the masks have, or (``change``) with the same squared change.

    Of the latter there are as many entries, in an order drawn by chance, as come nearest to the change of the masks.
    """
    import numpy as np
    import torch

    names = list(tuned)
    sizes = [tuned[name].numel() for name in names]
    order = seeds.generator(seed, "random weights").permutation(sum(sizes))
    count = sum(int(mask.sum()) for mask in masks.values())
    if change:
        squares = {name: (tuned[name].cpu() - base[name].cpu()).double().square() for name in names}
        target = sum(float(squares[name][mask.cpu()].sum()) for name, mask in masks.items())
        reached = np.cumsum(torch.cat([squares[name].flatten() for name in names]).numpy()[order])
        count = int(np.abs(np.concatenate([[0.0], reached]) - target).argmin())
    flat = np.zeros(sum(sizes), dtype=bool)
    flat[order[:count]] = True
    parts = np.split(flat, np.cumsum(sizes)[:-1])
    return {
        name: torch.from_numpy(part).view(tuned[name].shape).to(tuned[name].device)
        for name, part in zip(names, parts, strict=True)
    }
