"""LiNeS: what is measured has less of the change the nearer a block is to the input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import blocks, standing_in, start_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Scaled:
    """The starting weights, and the factor of each one's change."""

    start: dict[str, Tensor]
    factors: dict[str, float]


@dataclass(frozen=True)
class LiNeS(Mitigation):
    """At each look the change of block l of L since dose 0 is scaled by alpha + (1 - alpha) (l - 1) / (L - 1).

    That of what is in no block, embedding and last norm, is scaled by alpha, as in the published code (arXiv
    2410.17146), and so is that of an only block. Training itself is plain. With two blocks it is two numbers.

    Args:
        alpha: the factor at the input, from 0 to 1 (nothing is done); at the last block it is 1
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"alpha": 1.0}
    alpha: float = 0.5

    def __post_init__(self) -> None:
        require(0 <= self.alpha <= 1, "lines.alpha", "from 0 to 1", self.alpha)

    def prepare(self, student: Model, original: Sequence[Sample]) -> Scaled | None:
        """A copy of the starting weights, and which block each is in."""
        if self.alpha == 1:
            return None
        start, found = start_of(student), blocks(student)
        depth = {prefix: number / max(1, len(found) - 1) for number, prefix in enumerate(found)}
        factors = {}
        for name in start:
            share = next((part for prefix, part in depth.items() if name.startswith(prefix)), 0.0)
            factors[name] = self.alpha + (1 - self.alpha) * share
        return Scaled(start, factors)

    def at_look(self, student: Model, memory: Scaled | None) -> AbstractContextManager[None]:
        """The scaled changes stand in."""
        if memory is None:
            return nullcontext()
        return standing_in(
            student, lambda name, weight: memory.start[name].to(weight.device).lerp(weight, memory.factors[name])
        )
