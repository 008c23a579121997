"""WiSE-FT: what is measured lies between the starting weights and the trained ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import standing_in, start_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class WiSEFT(Mitigation):
    """At each look (1 - alpha) x start + alpha x trained stands in for the trained weights (arXiv 2109.01903).

    Training itself is plain, so that the looks of one alpha differ from those of another in nothing else.

    Args:
        alpha: where between the two, from 0 (the start) to 1 (the trained weights, so that nothing is done)
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"alpha": 1.0}
    alpha: float = 0.5

    def __post_init__(self) -> None:
        require(0 <= self.alpha <= 1, "wise_ft.alpha", "from 0 to 1", self.alpha)

    def prepare(self, student: Model, original: Sequence[Sample]) -> dict[str, Tensor] | None:
        """A copy of the starting weights."""
        return start_of(student) if self.alpha < 1 else None

    def at_look(self, student: Model, memory: dict[str, Tensor] | None) -> AbstractContextManager[None]:
        """The average stands in."""
        if memory is None:
            return nullcontext()
        return standing_in(student, lambda name, weight: memory[name].to(weight.device).lerp(weight, self.alpha))
