"""Growth: the student gets more room before it is fine-tuned, and computes the same function until it is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import UsageError, require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Growth(Mitigation):
    """Widens every feed-forward block until the student has ``times`` its parameters (arXiv 2603.08647).

    The new units' inputs are drawn as those of a fresh student, and their outputs begin at zero: the same function, and
    more room beside it. Where all weights learn, this asks whether parameters as such protect; where only the new ones
    do, it is a remedy that leaves the old ones alone.

    Args:
        times: parameters after growth, as a multiple of those before; 1 grows nothing
        only_new: the old weights stay as they are, and only the new ones learn
        seed: draws the new units' inputs
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"times": 1.0}

    times: float = 3.0
    only_new: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        fits = math.isfinite(self.times) and self.times >= 1
        require(fits, "growth.times", "a finite number, 1 or more", self.times)
        require(self.seed >= 0, "growth.seed", "0 or more", self.seed)

    def prepare(self, student: Model, original: Sequence[Sample]) -> Any:
        """Put new units beside those of every block; how many in each, for who asks."""
        if self.times == 1:
            return None
        import torch
        from torch import nn

        from forgetting import seeds

        network: Any = student.network
        blocks = [m for m in network.modules() if {"gate_proj", "up_proj", "down_proj", "act_fn"} <= _parts(m)]
        if not blocks:
            raise UsageError(
                "growth: must be of a student with gated feed-forward blocks, as Qwen3 and Llama have them"
            )
        size, width = sum(p.numel() for p in network.parameters()), int(network.config.hidden_size)
        units = round((self.times - 1) * size / (3 * width * len(blocks)))
        require(units >= 1, "growth.times", "large enough for one new unit a block", self.times)
        draws = torch.Generator().manual_seed(seeds.integer(self.seed, "growth"))
        if self.only_new:
            for parameter in network.parameters():
                parameter.requires_grad_(False)
        for block in blocks:
            like = block.gate_proj.weight
            scale = float(like.detach().float().std())
            added = nn.Module()
            for name, shape in (
                ("gate_proj", (units, width)),
                ("up_proj", (units, width)),
                ("down_proj", (width, units)),
            ):
                layer = nn.Linear(shape[1], shape[0], bias=False)
                with torch.no_grad():
                    drawn = torch.zeros(shape) if name == "down_proj" else torch.randn(shape, generator=draws) * scale
                    layer.weight = nn.Parameter(drawn.to(device=like.device, dtype=like.dtype))
                added.add_module(name, layer)
            block.grown = added
            block.register_forward_hook(_with_new_units)
        return units


def _parts(module: Any) -> set[str]:
    return {name for name, _ in module.named_children()}


def _with_new_units(block: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
    """What the block gives, and what its new units add."""
    new, x = block.grown, inputs[0]
    added: Tensor = new.down_proj(block.act_fn(new.gate_proj(x)) * new.up_proj(x))
    return output + added
