"""Freezing: chosen parts of the student stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting import seeds
from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import UsageError, require
from forgetting.mitigation._shared import blocks, inside


@dataclass(frozen=True)
class Freezing(Mitigation):
    """Takes weights out of training: the bottom blocks, the embedding, modules by name (arXiv 2501.13453).

    They enter neither the optimiser nor the norm at which gradients are clipped. Where the head is tied to the
    embedding, both stay. The control is as many weights in tensors drawn by chance.

    Args:
        layers: how many blocks, counted from the input
        embedding: the input embedding too
        modules: modules too, by a name or more of their path: ``mlp``, ``self_attn.q_proj``, ``layers.0``
        random: tensors drawn by chance instead, as long as they fit into the number of weights that the others have
        seed: of that draw
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"layers": 0, "embedding": False, "modules": ()}
    layers: int = 1
    embedding: bool = False
    modules: tuple[str, ...] = ()
    random: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        require(self.layers >= 0, "freezing.layers", "0 or more", self.layers)
        require(all(self.modules), "freezing.modules", "names of modules", self.modules)
        require(self.seed >= 0, "freezing.seed", "0 or more", self.seed)

    def prepare(self, student: Model, original: Sequence[Sample]) -> dict[str, int]:
        """From here on the others alone are trainable; how many weights each frozen tensor has."""
        sizes = {name: weight.numel() for name, weight in student.named_parameters()}
        names = self._chosen(student)
        if self.random:
            names = self._drawn(sizes, sum(sizes[name] for name in names))
        if len(names) == len(sizes):
            raise UsageError("freezing: must leave a weight to be trained, got all of them frozen")
        for name, weight in student.named_parameters():
            if name in names:
                weight.requires_grad_(False)
        return {name: sizes[name] for name in sizes if name in names}

    def _chosen(self, student: Model) -> set[str]:
        weights, bottom = dict(student.named_parameters()), blocks(student)
        rule = f"at most {len(bottom)}, the student's blocks"
        require(self.layers <= len(bottom), "freezing.layers", rule, self.layers)
        names = {name for name in weights if name.startswith(tuple(bottom[: self.layers]))}
        if self.embedding:
            network: Any = student.network
            names |= {name for name, weight in weights.items() if weight is network.get_input_embeddings().weight}
        return names | inside(student, self.modules, "freezing.modules")

    def _drawn(self, sizes: Mapping[str, int], left: int) -> set[str]:
        """Tensors in an order drawn by chance, each taken that still fits."""
        names, drawn = list(sizes), set[str]()
        for place in seeds.generator(self.seed, "freezing").permutation(len(names)):
            if sizes[names[place]] <= left:
                drawn.add(names[place])
                left -= sizes[names[place]]
        return drawn
