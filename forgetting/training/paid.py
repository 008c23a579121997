"""What a fit's steps cost other samples, tensor by tensor: g(θ) · (the step actually taken), summed over steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import lightning
import pandas as pd
import torch
from torch import Tensor

from forgetting.training.module import FitModule

COLUMNS = ("step", "tensor", "first_order", "paid")


class PaidLoss(lightning.Callback):
    """After each optimizer step, what the change of every trainable tensor added to a loss of other samples.

    ``first_order`` is g(θ before) · Δ with the real step Δ, Adam's scaling and clipping included; ``paid`` takes the
    mean of the gradients before and after it (the trapezoid rule), so that over tensors and steps it adds up to the
    measured change of the loss but for what is cubic in the step. Where the two differ, the linear theory has ended.
    Costs one forward and backward pass over the samples a step; trains nothing, and leaves no ``.grad``.
    """

    def __init__(self, loss: Callable[[], Tensor]) -> None:
        """``loss`` gives the loss ``[R]`` of the other samples with the student as it is; of one replica."""
        self.loss = loss
        self.rows: list[tuple[int, str, float, float]] = []
        self.losses: dict[int, float] = {}  # measured, by steps taken
        self._step = -1
        self._before: dict[str, tuple[Tensor, Tensor]] = {}  # weight and gradient

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """The loss and its gradient before the first step."""
        assert isinstance(pl_module, FitModule)
        self._before, self._step = self._look(pl_module), pl_module.step

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Lightning calls it once a micro-batch; what counts is the step."""
        assert isinstance(pl_module, FitModule)
        if pl_module.step == self._step:
            return
        self._step, before = pl_module.step, self._before
        self._before = self._look(pl_module)
        for name, (weight, gradient) in self._before.items():
            change = (weight - before[name][0]).double()
            first, last = (float((one.double() * change).sum()) for one in (before[name][1], gradient))
            self.rows.append((self._step, name, first, (first + last) / 2))

    def table(self) -> pd.DataFrame:
        """One row a step and tensor: ``step`` (counted from 1), ``tensor``, ``first_order``, ``paid``, nats a token."""
        return pd.DataFrame(self.rows, columns=list(COLUMNS))

    def _look(self, module: FitModule) -> dict[str, tuple[Tensor, Tensor]]:
        names, weights = zip(*module.student.named_parameters(), strict=True)
        with torch.enable_grad():
            loss = self.loss().sum()
            gradients = torch.autograd.grad(loss, weights)
        self.losses[module.step] = float(loss.detach())
        copies = (weight.detach().clone() for weight in weights)
        return dict(zip(names, zip(copies, gradients, strict=True), strict=True))


def module_of(tensor: str) -> str:
    """Where a tensor of a Qwen3 student is, in few words: ``embedding``, ``layer 0 attention``, ``layer 1 norms``."""
    words = tensor.removeprefix("model.").split(".")
    if words[0] != "layers":
        return "embedding" if "embed" in words[0] else "final norm" if "norm" in words[0] else words[0]
    kind = "norms" if any("norm" in word for word in words) else {"self_attn": "attention"}.get(words[2], words[2])
    return f"layer {words[1]} {kind}"
