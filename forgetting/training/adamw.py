"""AdamW whose parameters are parts of one tensor: a step is a few operations, whatever the number of tensors.

For one student torch's own update; for a stack a rate, a clipping norm and a step count per replica, in the order of
operations of ``torch.optim.AdamW`` (arXiv 1711.05101).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Flat:
    """The parameters of R replicas as parts of one tensor ``[R, P]``; their gradients likewise.

    ``[R, ...]`` each, or without the first axis where there is one replica; P counts the numbers of one. The parameters
    stay what they are, their numbers move; they are to be changed in place, and so are their gradients.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], replicas: int) -> None:
        self.parameters = list(parameters)
        self.values = torch.cat([p.detach().reshape(replicas, -1) for p in parameters], 1)
        self.gradient = torch.zeros_like(self.values)
        for parameter, part in zip(self.parameters, self.parts(self.values), strict=True):
            parameter.data = part
        self._gradients = self.parts(self.gradient)
        self.zero_grad()

    def parts(self, flat: Tensor) -> list[Tensor]:
        """The parts of such a tensor in the parameters' shapes; writing to them writes to it."""
        parts = torch.split(flat, [p.numel() // len(flat) for p in self.parameters], dim=1)
        return [part.view(p.shape) for part, p in zip(parts, self.parameters, strict=True)]

    def zero_grad(self) -> None:
        """Zero in place, so that what is added to the parameters' gradients is added to the one."""
        self.gradient.zero_()
        for parameter, part in zip(self.parameters, self._gradients, strict=True):
            parameter.grad = part


class FlatAdamW(torch.optim.AdamW):
    """``torch.optim.AdamW`` of a small model, whose many tensors would cost it more than the numbers in them."""

    def __init__(self, parameters: Sequence[nn.Parameter], **settings: Any) -> None:
        self._flat = Flat(parameters, 1)
        self._values = nn.Parameter(self._flat.values)
        self._values.grad = self._flat.gradient
        super().__init__([self._values], **settings)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Zero in place, whatever is asked for."""
        self._flat.zero_grad()

    def tensors(self) -> list[dict[str, Tensor]]:
        """For each parameter its ``step`` and both moments, as they are; empty before a step."""
        state = self.state.get(self._values)
        if not state:
            return [{} for _ in self._flat.parameters]
        first, second = (self._flat.parts(state[name]) for name in ("exp_avg", "exp_avg_sq"))
        return [{"step": state["step"], "exp_avg": a, "exp_avg_sq": b} for a, b in zip(first, second, strict=True)]

    def load_tensors(self, given: Sequence[dict[str, Tensor]]) -> None:
        """Put back what ``tensors`` gave."""
        moments = {name: torch.zeros_like(self._flat.values) for name in ("exp_avg", "exp_avg_sq")}
        self.state[self._values] = {"step": given[0]["step"].clone(), **moments}
        for own, tensors in zip(self.tensors(), given, strict=True):
            own["exp_avg"].copy_(tensors["exp_avg"])
            own["exp_avg_sq"].copy_(tensors["exp_avg_sq"])


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
