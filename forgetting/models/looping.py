"""Looped students: layers that a text passes through several times, each time with the same weights.

To transformers it is a Qwen3 of ``loops`` times as many layers, of which all but the first ones have the parameters of
one of those. So whatever runs a Qwen3 runs it: every pass has keys and values of its own, and the hand-written pass
adds up what each of them sends back. A checkpoint holds every layer, as that of any Qwen3 does, and its ``config.json``
has ``tied_loops``, by which they share their weights again once it is loaded.

While a student learns, one number of passes from 1 to ``loops`` is drawn for every step, so that each of them ends in
something that the head can read (arXiv 2502.17416 loops the same stack; the draws are those of 2502.05171, uniform).
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from forgetting import seeds
from forgetting.errors import UsageError
from forgetting.models.ladder import Architecture

TIED = "tied_loops"  # of a configuration


def layers_of(architecture: Architecture) -> dict[str, Any]:
    """What a configuration says about the layers of an architecture."""
    tied = {TIED: architecture.loops} if architecture.loops > 1 else {}
    return {"num_hidden_layers": architecture.layers * architecture.loops, **tied}


def loops_of(network: Any) -> int:
    """How often a network passes through its layers: once, unless it is looped."""
    loops: int = getattr(network.config, TIED, 1)
    return loops


def tie(network: Any, what: str = "") -> None:
    """Have the layers of a looped network share their weights.

    ``UsageError`` where ``what`` was loaded, and its layers are not those of a looped one.
    """
    loops = getattr(network.config, TIED, 1)
    if loops == 1:
        return
    layers = getattr(network.base_model, "layers", ())
    if type(loops) is not int or loops < 1 or getattr(network.config, "model_type", "") != "qwen3":
        raise UsageError(f"{what}: {TIED} must be a whole number, at least 1, of a 'qwen3', got {loops!r}")
    if len(layers) % loops:
        raise UsageError(f"{what}: {TIED} must be a divisor of its {len(layers)} layers, got {loops}")
    own = len(layers) // loops
    for number in range(own, len(layers)):
        first = layers[number % own]
        for name, module in layers[number].named_modules():
            weights = first.get_submodule(name)._parameters
            for key, weight in module._parameters.items():
                if what and not _equal(weight, weights[key]):
                    pair = f"{name}.{key} of layers {number % own} and {number} differ"
                    raise UsageError(f"{what} says {TIED}: {loops}, and {pair}; take {TIED} out of its config.json")
                module._parameters[key] = weights[key]


def _equal(one: Tensor | None, other: Tensor | None) -> bool:
    return one is other if one is None or other is None else torch.equal(one, other)


def passed(network: Any, loops: int) -> Any:
    """A looped network as it is with that many passes: its own modules, and so its weights of the moment.

    More passes than it was taught with are taken as well.
    """
    if loops == loops_of(network):
        return network
    whole = list(network.model.layers)
    own = len(whole) // loops_of(network)
    layers = whole[: own * loops]
    for number in range(len(layers), own * loops):
        first = whole[number % own]
        layers.append(copy.deepcopy(first, {id(p): p for p in first.parameters()}))
        layers[-1].self_attn.layer_idx = number
    config = copy.copy(network.config)
    config.num_hidden_layers, config.layer_types = len(layers), config.layer_types[:1] * len(layers)
    setattr(config, TIED, loops)
    decoder, other = copy.copy(network.model), copy.copy(network)
    decoder._modules = {**network.model._modules, "layers": nn.ModuleList(layers)}
    other._modules = {**network._modules, "model": decoder}
    decoder.config = other.config = config
    return other


def drawn(network: Any, step: int) -> int:
    """The passes of a step of training, the same ones for every student; 0 where there is nothing to draw."""
    loops = loops_of(network)
    return 0 if loops == 1 else int(seeds.generator(0, "loops", step).integers(1, loops + 1))


def saved(network: Any) -> dict[str, Any]:
    """What ``save_pretrained`` is to be given: of a looped network every layer with weights of its own."""
    if loops_of(network) == 1:
        return {}
    head = network.get_output_embeddings().weight
    whole = network.state_dict().items()
    return {"state_dict": {n: t if t.data_ptr() == head.data_ptr() else t.clone() for n, t in whole}}
