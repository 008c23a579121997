"""Losses from logits, each ``[R]``: sums over the tokens to be predicted, divided by the step's one denominator."""

from __future__ import annotations

import math

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
    return divergence(student, teacher, batch, beta=0.0)


def divergence(student: Model, teacher: Model, batch: Batch, *, beta: float) -> Tensor:
    """``jensen_shannon`` of teacher and student on the answers, ``[R]``; no gradient reaches the teacher.

    Exact over the vocabulary and in float32 at least: in bfloat16 it comes out below 0 where both agree.
    """
    teacher.network.to(batch.tokens_RBT.device)
    target_RNV = _log_probabilities(teacher_logits(teacher, batch))
    logits_RNV, targets_RN = predictions(student, batch)
    if logits_RNV.shape != target_RNV.shape:
        sizes = f"{logits_RNV.shape[-1]:,} and {target_RNV.shape[-1]:,}"
        raise UsageError(f"distillation.level: must be sequence for outputs of different sizes, got {sizes} words")
    per_token = jensen_shannon(target_RNV, _log_probabilities(logits_RNV), beta)
    return total(per_token.masked_fill(targets_RN == IGNORED, 0), batch)


def jensen_shannon(teacher_V: Tensor, student_V: Tensor, beta: float) -> Tensor:
    """JSD_beta(teacher || student) / (beta (1 - beta)) over the last axis, from log-probabilities.

    JSD_beta = beta KL(teacher || m) + (1 - beta) KL(student || m) with m = beta teacher + (1 - beta) student, the
    divergence of arXiv 2306.13649. By itself it tends to 0 at both ends, and its gradient with it; over beta (1 - beta)
    it tends to KL(teacher || student) as beta goes to 0 and to KL(student || teacher) as beta goes to 1, and there it
    is that.
    """
    if beta == 0:
        return functional.kl_div(student_V, teacher_V, reduction="none", log_target=True).sum(-1)
    if beta == 1:
        return functional.kl_div(teacher_V, student_V, reduction="none", log_target=True).sum(-1)
    mixed_V = torch.logaddexp(teacher_V + math.log(beta), student_V + math.log1p(-beta))
    of_teacher = functional.kl_div(mixed_V, teacher_V, reduction="none", log_target=True).sum(-1)
    of_student = functional.kl_div(mixed_V, student_V, reduction="none", log_target=True).sum(-1)
    return of_teacher / (1 - beta) + of_student / beta


def _log_probabilities(logits: Tensor) -> Tensor:
    return logits.log_softmax(-1, dtype=torch.promote_types(logits.dtype, torch.float32))


def row_log_probabilities(model: Model, batch: Batch) -> tuple[Tensor, Tensor]:
    """For each row ``[R, B]`` its answer's log-probability, tokens by their weights, and how many tokens that has."""
    logits_RNV, targets_RN = predictions(model, batch)
    places_RN, _ = answer_places(batch)
    real_RN = targets_RN != IGNORED
    own_RN = _log_probabilities(logits_RNV).gather(-1, targets_RN.clamp(min=0)[..., None])[..., 0]
    weight_RN = answer_weights(batch)
    weighted_RN = (own_RN if weight_RN is None else own_RN * weight_RN).masked_fill(~real_RN, 0)
    row_RN = places_RN // batch.tokens_RBT.shape[2]
    empty_RB = weighted_RN.new_zeros(batch.tokens_RBT.shape[:2])
    return empty_RB.scatter_add(1, row_RN, weighted_RN), empty_RB.scatter_add(1, row_RN, real_RN.to(empty_RB))


def teacher_logits(teacher: Model, batch: Batch) -> Tensor:
    """The teacher's logits ``[R, N, V]`` where answers are predicted, no gradients; one may serve R students."""
    places_RN, _ = answer_places(batch)
    replicas, rows, width = batch.tokens_RBT.shape
    if teacher.replicas == replicas:
        return teacher.targets_at(batch.tokens_RBT, places_RN)
    first_R = torch.arange(replicas, device=places_RN.device)[:, None] * rows * width
    logits_1NV = teacher.targets_at(batch.tokens_RBT.flatten(0, 1)[None], (places_RN + first_R).flatten()[None])
    return logits_1NV.view(replicas, -1, logits_1NV.shape[-1])
