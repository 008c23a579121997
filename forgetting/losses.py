"""Losses from logits, each ``[R]``: sums over the tokens to be predicted, divided by the step's one denominator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from forgetting.contracts import Batch, Model
from forgetting.errors import UsageError

IGNORED = -100  # torch's mark of a token that has no loss


def predictions(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits ``[N, V]`` at the positions that predict answer tokens, and their targets ``[N]`` (one replica)."""
    logits = model.logits(batch.tokens_RBT)[0, :, :-1]
    chosen = batch.answer_RBT[0, :, 1:]
    return logits[chosen], batch.tokens_RBT[0, :, 1:][chosen]


def cross_entropy(student: Model, batch: Batch) -> Tensor:
    """Cross-entropy on the answers, ``[R]``, in nats."""
    if student.replicas > 1:
        logits_RBTV, other = student.logits(batch.tokens_RBT)[:, :, :-1], ~batch.answer_RBT[:, :, 1:]
        wanted_RBT = batch.tokens_RBT[:, :, 1:].masked_fill(other, IGNORED)
        per_token = functional.cross_entropy(logits_RBTV.flatten(0, 2), wanted_RBT.flatten(), reduction="none")
        return per_token.view(student.replicas, -1).sum(1) / batch.denominator
    logits, targets = predictions(student, batch)
    return functional.cross_entropy(logits, targets, reduction="sum")[None] / batch.denominator


def forward_kl(student: Model, teacher: Model, batch: Batch) -> Tensor:
    """KL(teacher || student) on the answers, ``[R]``, in nats; no gradient reaches the teacher."""
    teacher.network.to(batch.tokens_RBT.device)
    with torch.no_grad():
        target = predictions(teacher, batch)[0].log_softmax(-1)
    own = predictions(student, batch)[0].log_softmax(-1)
    if own.shape != target.shape:
        sizes = f"{own.shape[-1]:,} and {target.shape[-1]:,}"
        raise UsageError(f"distillation.level: must be sequence for outputs of different sizes, got {sizes} words")
    return functional.kl_div(own, target, reduction="sum", log_target=True)[None] / batch.denominator
