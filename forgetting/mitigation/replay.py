"""Replay: a share of the stream is original samples again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Any, ClassVar

from forgetting.contracts import Contamination, Mitigation, Model, Sample
from forgetting.errors import require

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Replay(Mitigation):
    """Original samples take a share of the stream; the dose counts contaminating samples as ever (arXiv 2502.06042).

    Args:
        share: share of the stream that is replaced, from 0 (nothing is) to below 1
        pool: how many original samples are kept, and come again in turn; 0: no sample comes twice
    """

    stacks: ClassVar[bool] = True
    stream_only: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"share": 0.0, "pool": 0}
    share: float = 0.05
    pool: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.share < 1, "replay.share", "from 0 to below 1", self.share)
        require(self.pool >= 0, "replay.pool", "0 (no sample comes twice) or more", self.pool)

    def mix(self, shift: float) -> float:
        """The contaminating share that is left."""
        return shift * (1 - self.share)

    def samples(
        self, student: Model, memory: None, original: Contamination, rng: np.random.Generator
    ) -> Iterator[Sample]:
        """Original samples, the first ``pool`` of them again and again."""
        drawn = original.samples(rng)
        return cycle(islice(drawn, self.pool)) if self.pool else drawn
