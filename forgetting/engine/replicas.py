"""What a stack needs beside its model: one batch of many, and each replica's own mitigation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from forgetting.contracts import Batch, Mitigation, Model


def stacked_batch(batches: Sequence[Batch], pad: int) -> Batch:
    """Batches ``[1, B, T]`` of equally many samples as one ``[R, B, T]``, each with its own denominator."""
    width = max(b.tokens_RBT.shape[2] for b in batches)
    tokens = [functional.pad(b.tokens_RBT, (0, width - b.tokens_RBT.shape[2]), value=pad) for b in batches]
    answer = [functional.pad(b.answer_RBT, (0, width - b.answer_RBT.shape[2]), value=False) for b in batches]
    return Batch(torch.cat(tokens), torch.cat(answer), torch.tensor([float(b.denominator) for b in batches]))


@dataclass(frozen=True)
class EachItsOwn(Mitigation):
    """Every replica under its own mitigation, which sees it as a model of its own."""

    mitigations: tuple[Mitigation, ...] = ()
    replicas: tuple[Model, ...] = field(default=(), compare=False)

    def penalty(self, student: Model, memory: Sequence[Any]) -> Tensor | None:
        """``[R]``, zero for a replica without one; None if none has one."""
        each = [m.penalty(r, kept) for m, r, kept in zip(self.mitigations, self.replicas, memory, strict=True)]
        if all(term is None for term in each):
            return None
        return torch.cat([torch.zeros(1, device=student.device) if term is None else term for term in each])

    def after_step(self, student: Model, memory: Sequence[Any]) -> None:
        """Each mitigation's own."""
        for mitigation, replica, kept in zip(self.mitigations, self.replicas, memory, strict=True):
            mitigation.after_step(replica, kept)
