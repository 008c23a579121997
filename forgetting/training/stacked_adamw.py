"""AdamW over stacked parameters ``[R, ...]``: a rate, a clipping norm and a step count per replica, in one program.

All stacked parameters live in one flat tensor ``[R, P]`` (P parameters of one replica), their gradients and both
moments in others, so that a step is a dozen elementwise operations whatever the number of tensors. Source of the
update: arXiv 1711.05101, in the order of operations of ``torch.optim.AdamW``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from forgetting.training.adamw import Flat


class StackedAdamW(torch.optim.Optimizer):
    """``lr`` of the one parameter group is a factor that a scheduler may move; ``rates_R`` are the replicas' own."""

    def __init__(
        self,
        parameters: Sequence[nn.Parameter],
        rates_R: Tensor,
        *,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        clip_norm_R: Tensor | None = None,
    ) -> None:
        super().__init__(parameters, {"lr": 1.0, "betas": betas, "eps": eps, "weight_decay": weight_decay})
        replicas, device = len(parameters[0]), parameters[0].device
        self.rates_R = rates_R.to(device, torch.float32)
        self.clip_norm_R = None if clip_norm_R is None else clip_norm_R.to(device)
        self.step_R = torch.zeros(replicas, device=device)
        self.norm_R = torch.zeros(replicas, device=device)
        self._stepped = False
        self._flat = Flat(parameters, replicas)
        self._first, self._second = (torch.zeros_like(self._flat.values) for _ in range(2))

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Zero in place, whatever is asked for."""
        self._flat.zero_grad()

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of every replica, its gradient clipped to its own norm first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        group = self.param_groups[0]
        (beta1, beta2), gradient = group["betas"], self._flat.gradient
        self.norm_R = gradient.norm(dim=1)
        if self.clip_norm_R is not None:
            gradient.mul_((self.clip_norm_R / (self.norm_R + 1e-6)).clamp(max=1.0)[:, None])
        self.step_R += 1
        rate = (group["lr"] * self.rates_R)[:, None]
        if group["weight_decay"]:
            self._flat.values.mul_(1 - rate * group["weight_decay"])
        self._first.lerp_(gradient, 1 - beta1)
        self._second.mul_(beta2).addcmul_(gradient, gradient, value=1 - beta2)
        correction1 = 1 - beta1 ** self.step_R.double()
        correction2 = (1 - beta2 ** self.step_R.double()).sqrt()
        scale = self._second.sqrt().div_(correction2.float()[:, None]).add_(group["eps"])
        self._flat.values.addcdiv_(self._first * (-rate / correction1.float()[:, None]), scale)
        self._stepped = True
        return loss

    def tensors(self) -> list[dict[str, Tensor]]:
        """For each parameter its ``step`` ``[R]`` and both moments ``[R, ...]``, as they are; empty before a step."""
        if not self._stepped:
            return [{} for _ in self._flat.parameters]
        first, second = self._flat.parts(self._first), self._flat.parts(self._second)
        return [{"step": self.step_R, "exp_avg": a, "exp_avg_sq": b} for a, b in zip(first, second, strict=True)]

    def load_tensors(self, given: Sequence[dict[str, Tensor]]) -> None:
        """Put back what ``tensors`` gave."""
        self._stepped = True
        for own, tensors in zip(self.tensors(), given, strict=True):
            for name, value in tensors.items():
                own[name].copy_(value)
