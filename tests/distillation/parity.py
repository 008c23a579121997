"""A benchmark as judge that an untrained student sometimes pleases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from forgetting.contracts import Benchmark, Grade, Item, Split


@dataclass(frozen=True)
class Parity(Benchmark):
    """An answer is right where it is the gold one or has an odd number of words."""

    version = 1
    skill = "parity"
    chance = 0.5

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        return []

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        right = [a == item.answer or len(a.split()) % 2 for item, a in zip(items, answers, strict=True)]
        return [Grade("right" if one else "wrong") for one in right]
