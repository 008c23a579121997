"""Trimming: what is measured has only the part of the change of each matrix that is said to matter."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from forgetting import seeds
from forgetting.contracts import Mitigation, Model, Sample
from forgetting.errors import require
from forgetting.mitigation._shared import standing_in, start_of

if TYPE_CHECKING:
    from torch import Tensor


def fapm_score(start: Tensor, change: Tensor) -> Tensor:
    """|change| - mean |start| x |change| / |start|: large where a weight moved far, but not for its own size."""
    size, moved = start.abs(), change.abs()
    score = moved - size.mean() * moved / size
    return score.nan_to_num(nan=0.0, neginf=float("-inf"))  # 0 / 0: neither the weight nor its change is there


def largest(score: Tensor, keep: float) -> Tensor:
    """Where the share ``keep`` of the numbers is that is largest; of equal ones those that come first."""
    import torch

    order = score.flatten().argsort(descending=True, stable=True)[: round(keep * score.numel())]
    chosen = torch.zeros(score.numel(), dtype=torch.bool, device=score.device)
    return chosen.index_fill(0, order, True).view(score.shape)


def low_rank(change: Tensor, keep: float) -> Tensor:
    """The change with the share ``keep`` of its singular values that is largest, the others being 0."""
    import torch

    left, values, right = torch.linalg.svd(change.float(), full_matrices=False)
    count = round(keep * len(values))
    kept: Tensor = (left[:, :count] * values[:count]) @ right[:count]
    return kept.to(change.dtype)


@dataclass(frozen=True)
class Trim(Mitigation):
    """At each look a part of each matrix's change since dose 0 is taken back; vectors keep theirs. Training is plain.

    Args:
        keep: share that is kept, from 0 (of matrices the start is measured) to 1 (nothing is done)
        by: ``fapm``: the weights with the largest score of arXiv 2509.08255; ``singular``: the largest singular values
            of the change (a hard threshold as of arXiv 1305.5870, whose constant is for large matrices);
            ``random``: as many weights drawn by chance, the control of both
        seed: of that control
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"keep": 1.0}
    keep: float = 0.5
    by: Literal["fapm", "singular", "random"] = "fapm"
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.keep <= 1, "trim.keep", "from 0 to 1", self.keep)
        require(self.by in ("fapm", "singular", "random"), "trim.by", "fapm, singular or random", self.by)
        require(self.seed >= 0, "trim.seed", "0 or more", self.seed)

    def prepare(self, student: Model, original: Sequence[Sample]) -> dict[str, Tensor] | None:
        """A copy of the starting weights."""
        return start_of(student) if self.keep < 1 else None

    def at_look(self, student: Model, memory: dict[str, Tensor] | None) -> AbstractContextManager[None]:
        """The start with what is kept of the change stands in."""
        return nullcontext() if memory is None else standing_in(student, self._trimmed(memory))

    def _trimmed(self, memory: dict[str, Tensor]) -> Callable[[str, Tensor], Tensor]:
        return lambda name, weight: self.trimmed(name, memory[name].to(weight.device), weight)

    def trimmed(self, name: str, start: Tensor, weight: Tensor) -> Tensor:
        """What stands in for one weight ``[...]``; a matrix is whatever has two axes."""
        import torch

        if weight.ndim != 2:
            return weight
        if self.by == "singular":
            return start + low_rank(weight - start, self.keep)
        if self.by == "random":
            score = torch.from_numpy(seeds.generator(self.seed, "trim", name).random(weight.numel(), dtype="float32"))
            return torch.where(largest(score.to(weight.device), self.keep).view(weight.shape), weight, start)
        return torch.where(largest(fapm_score(start, weight - start), self.keep), weight, start)
