"""Parameters as parts of one tensor: a step is then a few operations, whatever the number of tensors."""

from __future__ import annotations

from collections.abc import Sequence
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
