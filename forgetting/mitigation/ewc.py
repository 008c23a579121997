"""EWC: a pull towards the starting weights, each by how much the student's own answers depend on it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Batch, Mitigation, Model, Sample, Sampling
from forgetting.errors import require
from forgetting.mitigation._shared import asked, start_of

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Importance:
    """The starting weights, their Fisher information with mean 1 in each tensor, and what that mean was before."""

    start: dict[str, Tensor]
    fisher: dict[str, Tensor]
    raw_mean: dict[str, float]


@dataclass(frozen=True)
class EWC(Mitigation):
    """After each step min(1, rate x strength x F) x (weight - start) is taken off (arXiv 1612.00796).

    F is the diagonal of the Fisher information: the mean over prompts, and over answers that the student of dose 0
    draws to them, of the squared gradient of the whole answer's log-probability. (Gold answers, or the square of a
    batch's mean gradient, would be another thing: arXiv 2502.11756.) A student that is sure of its answers has hardly
    any, so F is divided by its mean in each tensor; the record of a run keeps what that was in the lowest, the median
    and the highest tensor. In the loss Adam would undo the pull (arXiv 2604.22407), which therefore stands beside its
    step: it holds weights within about 1 / (strength x F).

    With 64 prompts and 2 draws F is rough, with 256 and 4 it takes longer than a small run (docs/remedies.md).

    Args:
        strength: the factor of F; 0 switches it off
        prompts: original prompts that F is taken over
        draws: answers drawn to each of them
        max_new_tokens: longest answer, in tokens
        seed: of the draws
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"strength": 0.0}
    strength: float = 30.0
    prompts: int = 64
    draws: int = 2
    max_new_tokens: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        fits = math.isfinite(self.strength) and self.strength >= 0
        require(fits, "ewc.strength", "a finite number, 0 or more", self.strength)
        for name, least in (("prompts", 1), ("draws", 1), ("max_new_tokens", 1), ("seed", 0)):
            require(getattr(self, name) >= least, f"ewc.{name}", f"{least} or more", getattr(self, name))

    def memory_samples(self) -> int:
        """One a prompt."""
        return self.prompts if self.strength else 0

    def prepare(self, student: Model, original: Sequence[Sample]) -> Importance | None:
        """The Fisher information; no gradient is left behind."""
        import torch

        from forgetting.losses import cross_entropy

        if not self.strength:
            return None
        names, weights = zip(*student.named_parameters(), strict=True)
        squares = [torch.zeros_like(weight, dtype=torch.float32) for weight in weights]
        with student.at_rest():
            for batch in self._written(student, original):
                log_probability = -cross_entropy(student, batch).sum()
                found = torch.autograd.grad(log_probability, weights, allow_unused=True)
                for own, gradient in zip(squares, found, strict=True):
                    if gradient is not None:
                        own.add_(gradient.float().square())
        count = len(original) * self.draws
        raw = {name: float(own.double().mean()) / count for name, own in zip(names, squares, strict=True)}
        fisher = {n: own / (raw[n] * count) if raw[n] else own for n, own in zip(names, squares, strict=True)}
        return Importance(start_of(student), fisher, raw)

    def _written(self, student: Model, original: Sequence[Sample]) -> Iterator[Batch]:
        """One drawn answer a batch, whose loss is minus its log-probability."""
        import numpy as np

        from forgetting.batching import encode_answers

        rows = [row for row in asked(original, student) for _ in range(self.draws)]
        how = Sampling(seed=self.seed, samples=self.draws)
        answers = student.generate([rows], max_new_tokens=self.max_new_tokens, sampling=how)[0]
        encoded = encode_answers(rows, answers, student.tokenizer.pad_token_id)
        for number in range(len(rows)):
            one = encoded.batch(np.array([number]), 1)
            yield Batch(one.tokens_RBT.to(student.device), one.answer_RBT.to(student.device), 1.0)

    def told(self, memory: Importance | None) -> dict[str, float]:
        """The mean of F before it was divided, of the lowest, the median and the highest tensor."""
        if memory is None:
            return {}
        raw = memory.raw_mean.values()
        return {"raw_fisher_lowest": min(raw), "raw_fisher": statistics.median(raw), "raw_fisher_highest": max(raw)}

    def pull(self, name: str, weight: Tensor, memory: Importance | None, rate: float) -> Tensor | None:
        """At most the whole distance of each weight."""
        if memory is None:
            return None
        start, fisher = memory.start[name].to(weight.device), memory.fisher[name].to(weight.device)
        return (rate * self.strength * fisher).clamp(max=1.0) * (weight - start)
