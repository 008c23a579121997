"""Token masking: the tokens that surprise the student most are not learned."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Batch, Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import frozen_copy

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TokenMask(Mitigation):
    """Leaves the share of a step's answer tokens with the largest loss under the base out (STM, arXiv 2501.14315).

    The loss is then the mean over the tokens that are left. The paper leaves out what has a perplexity above a number,
    which of a text that is new to a small student is everything; hence the share. Where steps are cut into pieces it
    is the share of each piece. It costs a second copy of the weights and one pass more a step.

    Args:
        share: of the answer tokens, from 0 (nothing is left out) to below 1
    """

    neutral: ClassVar[Mapping[str, Any] | None] = {"share": 0.0}
    share: float = 0.25

    def __post_init__(self) -> None:
        require(0 <= self.share < 1, "token_mask.share", "from 0 to below 1", self.share)

    def prepare(self, student: Model, original: Sequence[Sample]) -> Model | None:
        """A copy of the student."""
        return frozen_copy(student) if self.share else None

    def loss(self, student: Model, memory: Model | None, batch: Batch, loss: Callable[[Batch], Tensor]) -> Tensor:
        """The loss of the batch with other weights."""
        return loss(batch if memory is None else self.masked(memory, batch))

    def masked(self, base: Model, batch: Batch) -> Batch:
        """The batch with weight 0 at the tokens left out, and a larger one at the others: the sum of all stays."""
        import torch
        from torch.nn.functional import cross_entropy

        from forgetting.batching import IGNORED
        from forgetting.losses import predictions

        base.network.to(batch.tokens_RBT.device)
        with torch.no_grad():
            logits_RNV, targets_RN = predictions(base, batch)
            loss_RN = cross_entropy(logits_RNV.flatten(0, 1).float(), targets_RN.flatten(), reduction="none")
        loss_RN = loss_RN.view(targets_RN.shape).masked_fill(targets_RN == IGNORED, -1.0)  # below every loss
        count_R1 = (targets_RN != IGNORED).sum(1, keepdim=True)
        left_out_R1 = (count_R1 * self.share).floor()
        rank_RN = loss_RN.argsort(dim=1, descending=True, stable=True).argsort(dim=1)
        weight_RN = (rank_RN >= left_out_R1) * (count_R1 / (count_R1 - left_out_R1).clamp(min=1))
        where_RBT = torch.ones(batch.tokens_RBT.shape, device=loss_RN.device)
        where_RBT[batch.answer_RBT & (torch.arange(where_RBT.shape[2], device=loss_RN.device) > 0)] = weight_RN[
            targets_RN != IGNORED
        ].to(where_RBT.dtype)  # row by row, as the places are
        own = 1.0 if batch.weight_RBT is None else batch.weight_RBT
        return dataclasses.replace(batch, weight_RBT=where_RBT * own)
