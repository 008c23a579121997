"""L2-SP: a pull of the weights towards where they started."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class L2SP(Mitigation):
    """Adds strength / 2 x the squared distance from the starting weights (arXiv 1802.01483).

    Args:
        strength: the penalty's factor; 0 switches it off
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"strength": 0.0}
    strength: float = 0.1

    def __post_init__(self) -> None:
        require(
            math.isfinite(self.strength) and self.strength >= 0,
            "l2_sp.strength",
            "a finite number, 0 or more",
            self.strength,
        )

    def prepare(self, student: Model, original: Sequence[Sample]) -> list[Tensor] | None:
        """A copy of the starting weights, in the order of ``named_parameters``."""
        return [p.detach().clone() for _, p in student.named_parameters()] if self.strength else None

    def penalty(self, student: Model, memory: list[Tensor] | None) -> Tensor | None:
        """``[R]``; None at strength 0, so that the run is bit for bit the unmitigated one."""
        if memory is None:
            return None
        squares = [
            (p - start.to(p.device)).square().sum()
            for (_, p), start in zip(student.named_parameters(), memory, strict=True)
        ]
        return 0.5 * self.strength * sum(squares[1:], start=squares[0])[None]
