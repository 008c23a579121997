"""A hard mask: the single weights that the student's own answers depend on most stay as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting import seeds
from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import start_of
from forgetting.mitigation.ewc import EWC

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Held:
    """The starting weights, and which of them stay."""

    start: dict[str, Tensor]
    held: dict[str, Tensor]


@dataclass(frozen=True)
class FisherMask(Mitigation):
    """Of all weights the share with the largest Fisher information is put back after each step.

    The information is that of ``ewc`` before it is divided in each tensor, so that weights of all tensors are ranked
    together; more prompts and draws rank them better (docs/remedies.md). Gradients of held weights count in the norm at
    which gradients are clipped. The control is as many weights drawn by chance.

    It is no published method to the letter. FISH Mask (arXiv 2111.09839) ranks single weights by Fisher information as
    well, and its mask is fixed too, but it is the new task's, and the largest are what is trained, as in Child-Tuning
    (arXiv 2109.05687). That the weights which old abilities need stay and all others are trained is arXiv 2604.17051,
    whose importance sets the old abilities against the new domain; here the new task has no say. In arXiv 2604.14010
    the mask is taken anew as training goes on.

    Args:
        share: of all weights, from 0 (none is held) to below 1
        random: weights drawn by chance instead
        prompts: original prompts that the information is taken over
        draws: answers drawn to each of them
        max_new_tokens: longest answer, in tokens
        seed: of the draws, of answers or of weights
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"share": 0.0}
    share: float = 0.2
    random: bool = False
    prompts: int = 64
    draws: int = 2
    max_new_tokens: int = 48
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.share < 1, "fisher_mask.share", "from 0 to below 1", self.share)
        for name, least in (("prompts", 1), ("draws", 1), ("max_new_tokens", 1), ("seed", 0)):
            require(getattr(self, name) >= least, f"fisher_mask.{name}", f"{least} or more", getattr(self, name))

    def memory_samples(self) -> int:
        """One a prompt."""
        return 0 if self.random or not self.share else self.prompts

    def prepare(self, student: Model, original: Sequence[Sample]) -> Held | None:
        """Which weights stay; among equal ones some of them, so that they are as many as the share says."""
        import torch

        if not self.share:
            return None
        start = start_of(student)
        sizes = [weight.numel() for weight in start.values()]
        places = self._ranked(student, original, sum(sizes))[: round(self.share * sum(sizes))]
        chosen = torch.zeros(sum(sizes), dtype=torch.bool)
        chosen[places.cpu()] = True
        each = zip(start.items(), torch.split(chosen, sizes), strict=True)
        return Held(start, {name: own.view_as(weight).to(weight.device) for (name, weight), own in each})

    def _ranked(self, student: Model, original: Sequence[Sample], count: int) -> Tensor:
        """The places of all weights, one tensor after another, those that are held first."""
        import torch

        if self.random:
            return torch.from_numpy(seeds.generator(self.seed, "fisher_mask").permutation(count))
        how = EWC(1.0, self.prompts, self.draws, self.max_new_tokens, self.seed)
        found = how.prepare(student, original)
        assert found is not None
        raw = [(found.fisher[name] * mean).flatten() for name, mean in found.raw_mean.items()]
        return torch.cat(raw).argsort(descending=True, stable=True)

    def after_step(self, student: Model, memory: Held | None) -> None:
        """Held weights are what they were at dose 0, bit for bit."""
        import torch

        if memory is None:
            return
        with torch.no_grad():
            for name, weight in student.named_parameters():
                held, start = memory.held[name].to(weight.device), memory.start[name].to(weight.device)
                weight.copy_(torch.where(held, start, weight))
