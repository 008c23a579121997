"""The draw of a token: logits and a uniform number in, the token out at which the distribution function reaches it.

Shape suffixes: B rows (any shape), V words of the vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from forgetting.contracts import Sampling


def drawn(logits_BV: Tensor, uniform_B: Tensor, sampling: Sampling) -> Tensor:
    """Tokens ``[B]``. In double precision: rounding of the logits moves a draw only where it lies at a border."""
    chance_BV = (logits_BV.double() / sampling.temperature).softmax(-1)
    if sampling.top_p < 1:
        ordered, order = chance_BV.sort(dim=-1, descending=True, stable=True)
        inside = ordered.cumsum(-1) - ordered < sampling.top_p
        chance_BV = torch.zeros_like(chance_BV).scatter(-1, order, ordered * inside)
    reached_BV = chance_BV.cumsum(-1)
    wanted_B1 = uniform_B.to(reached_BV.device)[..., None] * reached_BV[..., -1:]
    return torch.searchsorted(reached_BV, wanted_B1, right=True)[..., 0].clamp(max=chance_BV.shape[-1] - 1)
