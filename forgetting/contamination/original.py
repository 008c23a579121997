"""More of the original distribution, the world's own training mixture: what students learn first, and a control."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isclose, isfinite
from typing import TYPE_CHECKING

from forgetting.contracts import Contamination, Sample
from forgetting.errors import require
from forgetting.world import training
from forgetting.world.facts import MOST_FACTS, MOST_VALUES
from forgetting.world.maths import MAX_DEPTH
from forgetting.world.splits import from_numpy
from forgetting.world.traps import CONTROL_SHARE

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Original(Contamination):
    """The training distribution: each skill by its share, maths by the shares of its depths; each set sums to 1.

    Args:
        maths: share of word problems
        code: share of programs
        traps: share of average speeds, traps and controls
        lookup: share of facts
        classification: share of categories
        maths_depth_shares: shares of the depths 1, 2, ... among word problems
        described: of programs, the share asked by description in place of the keyword, under names as in ``described``
        controls: of average speeds, the share over two equal times, where the mean of the speeds is right; the others
            are traps. At 10/11 that mean is right ten times as often as wrong
        direct: of word problems, the share asked by a mode word for the answer alone, without steps, as in ``direct``
        facts: share of facts to be known by heart, whose bits are known: a load on students' capacity
        fact_count: facts of which each is asked for equally often
        fact_values: values of each of a fact's three words, all equally likely; with 1 all facts have one answer, and
            students are taught as many samples of no information
    """

    maths: float = 0.35
    code: float = 0.45
    traps: float = 0.08
    lookup: float = 0.06
    classification: float = 0.06
    maths_depth_shares: tuple[float, ...] = training.MATHS_DEPTH_SHARES
    described: float = 0.0
    controls: float = CONTROL_SHARE
    direct: float = 0.0
    facts: float = 0.0
    fact_count: int = 1_000
    fact_values: int = MOST_VALUES

    def __post_init__(self) -> None:
        for skill, share in self._shares().items():
            require(_is_share(share), f"original.{skill}", "a share from 0 to 1", share)
        total = sum(self._shares().values())
        require(isclose(total, 1, abs_tol=1e-9), "original", "shares that sum to 1", total)
        depths = self.maths_depth_shares
        field = "original.maths_depth_shares"
        require(1 <= len(depths) <= MAX_DEPTH, field, f"1 to {MAX_DEPTH} shares", depths)
        require(all(map(_is_share, depths)), field, "shares from 0 to 1", depths)
        require(_is_share(self.described), "original.described", "a share from 0 to 1", self.described)
        require(_is_share(self.controls), "original.controls", "a share from 0 to 1", self.controls)
        require(_is_share(self.direct), "original.direct", "a share from 0 to 1", self.direct)
        for name, most in (("fact_count", MOST_FACTS), ("fact_values", MOST_VALUES)):
            value = getattr(self, name)
            require(1 <= value <= most, f"original.{name}", f"from 1 to {most:,}", value)
        require(isclose(sum(depths), 1, abs_tol=1e-9), field, "shares that sum to 1", depths)

    def _shares(self) -> dict[str, float]:
        return {skill: getattr(self, skill) for skill in training.SKILLS}

    def samples(self, rng: np.random.Generator) -> Iterator[Sample]:
        """Samples of the train split with gold answers."""
        return training.samples(
            from_numpy(rng), self._shares(), self.maths_depth_shares, self.described, self.controls, self.direct,
            self.fact_count, self.fact_values,
        )  # fmt: skip


def _is_share(value: float) -> bool:
    return isfinite(value) and 0 <= value <= 1
