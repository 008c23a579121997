"""Replay: a share of the stream is original samples again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from forgetting.contracts import Mitigation
from forgetting.errors import require


@dataclass(frozen=True)
class Replay(Mitigation):
    """Original samples take the place of a share of the stream; the dose counts contaminating samples as ever.

    Args:
        share: share of the stream that is replaced, from 0 (nothing is) to below 1
    """

    stacks: ClassVar[bool] = True
    stream_only: ClassVar[bool] = True
    share: float = 0.05

    def __post_init__(self) -> None:
        require(0 <= self.share < 1, "replay.share", "from 0 to below 1", self.share)

    def mix(self, shift: float) -> float:
        """The contaminating share that is left."""
        return shift * (1 - self.share)
