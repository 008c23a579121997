"""Weights between the student and what it was: WiSE-FT."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from forgetting.contracts import Intervention, Model, Sample
from forgetting.errors import require

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Average(Intervention):
    """(1 - alpha) x the weights at dose 0 + alpha x the tuned ones, for each alpha (WiSE-FT, arXiv 2109.01903).

    Args:
        alphas: shares of the tuned weights, above 0 and below 1, ascending
    """

    alphas: tuple[float, ...] = (0.25, 0.5, 0.75)

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in zip(self.alphas, self.alphas[1:], strict=False))
        inside = bool(self.alphas) and all(0 < alpha < 1 for alpha in self.alphas)
        require(inside and rising, "average.alphas", "one or several, above 0 and below 1, ascending", self.alphas)

    def variants(self, base: Model, tuned: Model, samples: Sequence[Sample]) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """One for each alpha."""
        before, after = base.state(), tuned.state()
        for alpha in self.alphas:
            mixed = {name: before[name].to(w.device).lerp(w, alpha) for name, w in after.items()}
            yield f"average alpha={alpha:g}", mixed
