"""L2-SP: a pull of the weights towards where they started."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import start_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class L2SP(Mitigation):
    """Keeps weights near their start by strength / 2 x the squared distance from it (arXiv 1802.01483).

    As a ``penalty`` that is a term of the loss, which Adam rescales with the rest of the gradient, so that its strength
    means little. As a ``pull`` it is taken off after Adam's step, as AdamW decays weights: rate x strength x distance.
    Adam moves a weight by about the rate at most, so that a pull keeps it within about 1 / strength of its start.

    Args:
        strength: the factor; 0 switches it off
        form: ``pull`` beside Adam's step, or ``penalty`` in the loss
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"strength": 0.0}
    strength: float = (
        30.0  # halves how far (root mean square) 1,280 dialogues move a student of 34k at the default rate
    )
    form: Literal["pull", "penalty"] = "pull"

    def __post_init__(self) -> None:
        fits = math.isfinite(self.strength) and self.strength >= 0
        require(fits, "l2_sp.strength", "a finite number, 0 or more", self.strength)
        require(self.form in ("pull", "penalty"), "l2_sp.form", "pull or penalty", self.form)

    def prepare(self, student: Model, original: Sequence[Sample]) -> dict[str, Tensor] | None:
        """A copy of the starting weights."""
        return start_of(student) if self.strength else None

    def penalty(self, student: Model, memory: dict[str, Tensor] | None) -> Tensor | None:
        """``[R]``; None at strength 0, so that the run is bit for bit the unmitigated one."""
        if memory is None or self.form == "pull":
            return None
        squares = [(p - memory[name].to(p.device)).square().sum() for name, p in student.named_parameters()]
        return 0.5 * self.strength * sum(squares[1:], start=squares[0])[None]

    def pull(self, name: str, weight: Tensor, memory: dict[str, Tensor] | None, rate: float) -> Tensor | None:
        """At most the whole distance, so that no strength throws a weight beyond its start."""
        if memory is None or self.form == "penalty":
            return None
        return min(1.0, rate * self.strength) * (weight - memory[name].to(weight.device))
