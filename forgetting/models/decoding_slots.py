"""Texts that were read in, as keys and values of every layer; out come the logits of each next token, in slots.

A slot holds one text at its own position, so texts of any lengths take their steps together; a slot that is free takes
the next text.

Shape suffixes: B slots, T tokens of a step, V words of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
from transformers.cache_utils import DynamicLayer

from forgetting.contracts import Layers
from forgetting.models import fused_qwen3
from forgetting.models.decodable import FULL, SLIDING, attention_kinds

if TYPE_CHECKING:
    from forgetting.models.huggingface import HuggingFaceModel


@dataclass(frozen=True)
class DecodingRow:
    """A text that was read: ``length`` tokens of row ``index`` of ``layers``, and the token that comes next."""

    layers: Layers
    index: int
    length: int
    token: int


def layers_of(cache: Cache) -> Layers:
    """Keys and values that a forward pass wrote into the cache."""
    return [(layer.keys, layer.values) for layer in cast(list[Any], cache.layers)]


def selected(layers: Layers, index: Sequence[int]) -> Layers:
    """Copies of some rows."""
    if not index:
        return []
    chosen = torch.tensor(index, device=layers[0][0].device)
    return [(keys[chosen], values[chosen]) for keys, values in layers]


class _LayerSlots(DynamicLayer):  # type: ignore[no-untyped-call]  # transformers leaves its subclassing unannotated
    """Keys and values of one layer in slots; a step writes each slot at its own position."""

    keys: Tensor
    values: Tensor

    def __init__(self, keys: Tensor, values: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # as above
        self.keys, self.values, self.is_initialized = keys, values, True
        self.dtype, self.device = keys.dtype, keys.device
        self.at: tuple[Tensor, Tensor] = (torch.empty(0), torch.empty(0))
        self.until = 0

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write this step's keys and values and give all up to the longest text."""
        slots, places = self.at
        self.keys[slots, :, places] = key_states.transpose(1, 2)
        self.values[slots, :, places] = value_states.transpose(1, 2)
        return self.keys[:, :, : self.until], self.values[:, :, : self.until]

    def get_seq_length(self) -> int:
        """Key positions in use."""
        return self.until


class Slots:
    """Slots with room for ``room`` tokens each."""

    def __init__(self, model: HuggingFaceModel, slots: int, room: int) -> None:
        self.model, self.count, self.room = model, slots, room
        self.length_B = torch.zeros(slots, dtype=torch.long, device=model.device)
        self.cache, self.slots = DynamicCache(), list[_LayerSlots]()
        self._places = torch.arange(room, device=model.device)
        self._kinds = attention_kinds(model.network.config)
        self._by_kind = SLIDING in self._kinds and getattr(model.network.config, "layer_types", None) is not None
        self._reader = fused_qwen3.Reader(model.network) if fused_qwen3.suits(model.network, room) else None

    def fill(self, slots: Sequence[int], rows: Sequence[DecodingRow]) -> None:
        """Put the keys and values of rows into slots."""
        sources: dict[int, list[tuple[int, DecodingRow]]] = {}
        for slot, row in zip(slots, rows, strict=True):
            sources.setdefault(id(row.layers), []).append((slot, row))
        for pairs in sources.values():
            layers, longest = pairs[0][1].layers, max(row.length for _, row in pairs)
            into = torch.tensor([slot for slot, _ in pairs], device=self.length_B.device)
            index = torch.tensor([row.index for _, row in pairs], device=self.length_B.device)
            if not self.slots:
                self.slots = [_LayerSlots(*(self._room(own) for own in one)) for one in layers]
                self.cache.layers = [*self.slots]
            for layer, (keys, values) in zip(self.slots, layers, strict=True):
                layer.keys[into, :, :longest] = keys[index, :, :longest]
                layer.values[into, :, :longest] = values[index, :, :longest]
            self.length_B[into] = torch.tensor([row.length for _, row in pairs], device=self.length_B.device)

    def _room(self, own: Tensor) -> Tensor:
        """Zeros for every slot, of the heads and their size of these keys or values, which may differ."""
        return own.new_zeros(self.count, own.shape[1], self.room, own.shape[3])

    def keep(self, slots: Tensor) -> None:
        """Drop the other slots."""
        self.length_B = self.length_B[slots]
        for layer in self.slots:
            layer.keys, layer.values = layer.keys[slots], layer.values[slots]

    def layers(self) -> Layers:
        """Keys and values as they are."""
        return [(layer.keys, layer.values) for layer in self.slots]

    def step(self, tokens_BT: Tensor) -> Tensor:
        """Read the next tokens of every slot; the logits after each, ``[B, T, V]``."""
        steps = tokens_BT.shape[1]
        places_BT = (self.length_B[:, None] + self._places[:steps]).clamp(max=self.room - 1)  # slots that are done wait
        until = int(places_BT.max()) + 1
        if self._reader is not None and steps == 1:
            self.length_B = self.length_B + 1
            return self._reader.next(tokens_BT, places_BT, until, self.layers())
        slots = torch.arange(len(tokens_BT), device=tokens_BT.device)[:, None]
        for layer in self.slots:
            layer.at, layer.until = (slots, places_BT), until
        biases = {kind: self._bias(places_BT, until, window) for kind, window in self._kinds.items()}
        self.length_B = self.length_B + steps
        if self._reader is not None:
            return self._reader.write(tokens_BT, places_BT, biases[FULL][:, 0], [s.update for s in self.slots])
        mask = biases if len(biases) > 1 or self._by_kind else next(iter(biases.values()))
        logits: Tensor = self.model.network(
            input_ids=tokens_BT, attention_mask=mask, position_ids=places_BT, past_key_values=self.cache, use_cache=True
        ).logits
        return logits

    def _bias(self, places_BT: Tensor, until: int, window: int | None) -> Tensor:
        """What is added to the scores of keys that a token does not look at: those after it, or beyond its window."""
        keys, own = self._places[None, None, None, :until], places_BT[:, None, :, None]
        hidden = keys > own if window is None else (keys > own) | (keys <= own - window)
        bias = torch.zeros(hidden.shape, dtype=self.model.network.dtype, device=places_BT.device)
        return bias.masked_fill_(hidden, torch.finfo(bias.dtype).min)
