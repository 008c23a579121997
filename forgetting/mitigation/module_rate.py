"""A rate of their own for chosen modules: of each step they take a part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import inside

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ModuleRate(Mitigation):
    """Chosen modules go a part of each step, as they would at that part of the learning rate; the others all of it.

    It is the mild form of ``freezing``: at 0 they stay, though their gradients count in the norm at which gradients are
    clipped. The controls are other modules with as many weights, or with as much change in plain tuning.

    Args:
        modules: by a name or more of their path: ``mlp``, ``layers.0.self_attn``, ``embed_tokens``
        multiple: the part of each step, from 0 to 1 (nothing is done)
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"multiple": 1.0}
    modules: tuple[str, ...] = ("mlp",)
    multiple: float = 0.1

    def __post_init__(self) -> None:
        require(bool(self.modules) and all(self.modules), "module_rate.modules", "names of modules", self.modules)
        require(0 <= self.multiple <= 1, "module_rate.multiple", "from 0 to 1", self.multiple)

    def prepare(self, student: Model, original: Sequence[Sample]) -> dict[str, Tensor]:
        """The weights of the modules, where the next step begins."""
        names = inside(student, self.modules, "module_rate.modules") if self.multiple < 1 else set()
        return {name: weight.detach().clone() for name, weight in student.named_parameters() if name in names}

    def after_step(self, student: Model, memory: dict[str, Tensor]) -> None:
        """Back by what is not taken."""
        import torch

        with torch.no_grad():
            for name, weight in student.named_parameters() if memory else ():
                if name in memory:
                    memory[name] = memory[name].to(weight.device)
                    weight.copy_(memory[name].lerp(weight, self.multiple))
                    memory[name].copy_(weight)

    def kept(self, memory: dict[str, Tensor]) -> dict[str, Tensor]:
        """Where the next step begins."""
        return memory
