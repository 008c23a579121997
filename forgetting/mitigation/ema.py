"""EMA: what is measured is a moving average of the weights over the steps."""

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
class EMA(Mitigation):
    """After each step average <- decay x average + (1 - decay) x weights, which stands in at looks (arXiv 1703.01780).

    The average begins at the starting weights. Training itself is plain: what is measured lags behind it by about
    1 / (1 - decay) steps, which a lower rate does too.

    Args:
        decay: of the average at each step, from 0 (the weights themselves, so that nothing is done) to below 1
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"decay": 0.0}
    decay: float = 0.98

    def __post_init__(self) -> None:
        require(0 <= self.decay < 1, "ema.decay", "from 0 to below 1", self.decay)

    def prepare(self, student: Model, original: Sequence[Sample]) -> dict[str, Tensor] | None:
        """The average before the first step: the starting weights, in fp32, since in bfloat16 it would stand still."""
        return {name: weight.float() for name, weight in start_of(student).items()} if self.decay else None

    def after_step(self, student: Model, memory: dict[str, Tensor] | None) -> None:
        """The weights of the step enter the average, which stays where the weights are."""
        for name, weight in student.named_parameters() if memory is not None else ():
            assert memory is not None
            if memory[name].device != weight.device:
                memory[name] = memory[name].to(weight.device)
            memory[name].lerp_(weight.detach().float(), 1 - self.decay)

    def at_look(self, student: Model, memory: dict[str, Tensor] | None) -> AbstractContextManager[None]:
        """The average stands in."""
        return nullcontext() if memory is None else standing_in(student, lambda name, _: memory[name])

    def kept(self, memory: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """The average."""
        return memory or {}
