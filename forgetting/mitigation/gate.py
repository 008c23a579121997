"""A gate: after each block of steps the weights go back towards where it began, until old answers are kept."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Batch, Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import frozen_copy, start_of

if TYPE_CHECKING:
    from torch import Tensor

HALVINGS = 8  # of the stretch in which the factor of a block's change lies: it is known to within 1 / 256


@dataclass(frozen=True)
class Checked:
    """What the gate compares: the base and original answers; where the block began, and the steps so far."""

    base: Model
    answers: Batch
    begin: dict[str, Tensor]
    steps: Tensor


@dataclass(frozen=True)
class Gate(Mitigation):
    """Scales the change of each block of steps to a budget of KL(base || student) on original answers (STABLE,
    arXiv 2510.16089).

    The largest factor at which the budget is kept is found by halving; at factor 0 the block is rejected. Adam's
    averages stay. It decides by original samples, so that it is to be compared with replay.

    Args:
        budget: most nats a token
        every: steps of a block; 0: no gate
        pool: original samples that the budget is measured on
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"every": 0}
    budget: float = 0.1
    every: int = 10
    pool: int = 64

    def __post_init__(self) -> None:
        fits = math.isfinite(self.budget) and self.budget > 0
        require(fits, "gate.budget", "a finite number above 0", self.budget)
        require(self.every >= 0, "gate.every", "0 (no gate) or more", self.every)
        require(self.pool >= 1, "gate.pool", "1 or more", self.pool)

    def memory_samples(self) -> int:
        """The pool."""
        return self.pool if self.every else 0

    def prepare(self, student: Model, original: Sequence[Sample]) -> Checked | None:
        """A copy of the student, the samples as one batch, and where the first block begins."""
        import numpy as np
        import torch

        from forgetting.batching import encode

        if not self.every:
            return None
        batch = encode(original, student.tokenizer).batch(np.arange(len(original)), len(original))
        tokens, answer = batch.tokens_RBT.to(student.device), batch.answer_RBT.to(student.device)
        answers = dataclasses.replace(batch, tokens_RBT=tokens, answer_RBT=answer)
        return Checked(frozen_copy(student), answers, start_of(student), torch.zeros((), dtype=torch.int64))

    def after_step(self, student: Model, memory: Checked | None) -> None:
        """At a block's end the gate; the next block begins at what it leaves."""
        import torch

        if memory is None:
            return
        memory.steps.add_(1)
        if int(memory.steps) % self.every:
            return
        end = start_of(student)
        with torch.no_grad(), student.at_rest():
            self._fit_in(student, memory, end)
            for name, weight in student.named_parameters():
                memory.begin[name].copy_(weight)

    def _fit_in(self, student: Model, memory: Checked, end: dict[str, Tensor]) -> None:
        if self.divergence(student, memory) <= self.budget:
            return
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            self._go(student, memory, end, middle)
            low, high = (middle, high) if self.divergence(student, memory) <= self.budget else (low, middle)
        self._go(student, memory, end, low)

    def _go(self, student: Model, memory: Checked, end: dict[str, Tensor], factor: float) -> None:
        for name, weight in student.named_parameters():
            weight.copy_(memory.begin[name].to(weight.device).lerp(end[name], factor))

    def divergence(self, student: Model, memory: Checked) -> float:
        """KL(base || student) on the original answers, in nats a token."""
        from forgetting.losses import forward_kl

        return float(forward_kl(student, memory.base, memory.answers).detach())

    def kept(self, memory: Checked | None) -> dict[str, Tensor]:
        """Where the block began, and the count of steps."""
        return {} if memory is None else {"steps": memory.steps, **{f"begin:{n}": t for n, t in memory.begin.items()}}
