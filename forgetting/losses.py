"""Losses from logits, each ``[R]``: sums over the tokens to be predicted, divided by the step's one denominator."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from forgetting.batching import IGNORED, answer_places, answer_weights
from forgetting.contracts import Batch, Model
from forgetting.errors import UsageError


def predictions(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """Logits ``[R, N, V]`` at the places that predict answer tokens, and their targets ``[R, N]``, some ``IGNORED``."""
    places_RN, targets_RN = answer_places(batch)
    return model.logits_at(batch.tokens_RBT, places_RN), targets_RN


def cross_entropy(student: Model, batch: Batch) -> Tensor:
    """Cross-entropy on the answers, ``[R]``, in nats."""
    logits_RNV, targets_RN = predictions(student, batch)
    per_token = functional.cross_entropy(logits_RNV.flatten(0, 1), targets_RN.flatten(), reduction="none")
    return total(per_token.view(targets_RN.shape), batch)


def total(per_token_RN: Tensor, batch: Batch) -> Tensor:
    """The loss ``[R]`` from that of each answer token: weighted, summed, over the step's denominator."""
    weight_RN = answer_weights(batch)
    return (per_token_RN if weight_RN is None else weight_RN * per_token_RN).sum(1) / batch.denominator


def forward_kl(student: Model, teacher: Model, batch: Batch) -> Tensor:
    """KL(teacher || student) on the answers, ``[R]``, in nats; no gradient reaches the teacher."""
    teacher.network.to(batch.tokens_RBT.device)
    with torch.no_grad():
        target_RNV = teacher_logits(teacher, batch).log_softmax(-1)
    logits_RNV, targets_RN = predictions(student, batch)
    if logits_RNV.shape != target_RNV.shape:
        sizes = f"{logits_RNV.shape[-1]:,} and {target_RNV.shape[-1]:,}"
        raise UsageError(f"distillation.level: must be sequence for outputs of different sizes, got {sizes} words")
    per_token = functional.kl_div(logits_RNV.log_softmax(-1), target_RNV, reduction="none", log_target=True).sum(-1)
    return total(per_token.masked_fill(targets_RN == IGNORED, 0), batch)


def teacher_logits(teacher: Model, batch: Batch) -> Tensor:
    """The teacher's logits ``[R, N, V]`` where answers are predicted; one teacher may serve R students."""
    places_RN, _ = answer_places(batch)
    replicas, rows, width = batch.tokens_RBT.shape
    if teacher.replicas == replicas:
        return teacher.logits_at(batch.tokens_RBT, places_RN)
    first_R = torch.arange(replicas, device=places_RN.device)[:, None] * rows * width
    logits_1NV = teacher.logits_at(batch.tokens_RBT.flatten(0, 1)[None], (places_RN + first_R).flatten()[None])
    return logits_1NV.view(replicas, -1, logits_1NV.shape[-1])
