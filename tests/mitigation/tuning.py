"""What the tests of mitigations share: a fit by the package, and one by a loop in plain torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from forgetting import losses
from forgetting.contracts import Batch, Mitigation
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Optimiser
from forgetting.testing.small import pool, samples
from forgetting.training.fit import fit
from forgetting.training.module import FitModule

RATE, SIZE = 2e-3, 4


def batches(steps: int) -> list[Batch]:
    """Of a fit's steps."""
    encoded = pool(steps * SIZE)
    return [encoded.batch(np.arange(i, i + SIZE), SIZE) for i in range(0, steps * SIZE, SIZE)]


def fitted(student: HuggingFaceModel, part: Mitigation, steps: int = 10, clip_norm: float = 0.0) -> Any:
    """Trains as a run does, without warm-up; gives the mitigation's memory."""
    memory = part.prepare(student, samples(part.memory_samples(), seed=1))
    optimiser = Optimiser(batch_size=SIZE, learning_rate=RATE, warmup_steps=0, clip_norm=clip_norm)
    module = FitModule(
        student, lambda b: losses.cross_entropy(student, b), optimiser, total_steps=steps, mitigation=part,
        memory=memory,
    )  # fmt: skip
    fit(module, lambda: iter(batches(steps)))
    return memory


def by_hand(
    student: HuggingFaceModel,
    after: Callable[[str, Tensor], None] = lambda name, weight: None,
    steps: int = 10,
    clip_norm: float = 0.0,
) -> None:
    """Trains in plain torch; ``after`` changes each weight in place after a step."""
    student.network.train()
    named = list(student.named_parameters())
    weights = [p for _, p in named]
    adam = torch.optim.AdamW(weights, lr=RATE, betas=(0.9, 0.98), weight_decay=0.0, fused=True)
    for batch in batches(steps):
        adam.zero_grad()
        losses.cross_entropy(student, batch).sum().backward()  # type: ignore[no-untyped-call]
        if clip_norm:
            torch.nn.utils.clip_grad_norm_(weights, clip_norm)
        adam.step()
        with torch.no_grad():
            for name, weight in named:
                after(name, weight)


def moved(student: HuggingFaceModel, size: float = 0.05, seed: int = 1) -> None:
    """Add noise to every weight."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for _, weight in student.named_parameters():
            weight.add_(size * torch.randn(weight.shape, generator=draw))


def kl(base: HuggingFaceModel, student: HuggingFaceModel, batch: Batch) -> Tensor:
    """KL(base || student) in nats a learned token, from whole logits in double precision."""
    learned = batch.answer_RBT[0, :, 1:]
    before, now = (m.logits(batch.tokens_RBT)[0, :, :-1][learned].double().log_softmax(-1) for m in (base, student))
    return (before.exp() * (before - now)).sum() / learned.sum()
