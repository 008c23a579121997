"""Word problems under attack: of each, every wording that a budgeted adversary may try; the worst of them counts.

A candidate keeps the problem, and tests solve each anew from its text. Candidates are other ordinary names and things
(``words_1`` to ``words_4``), and one, two or three devices of ``world/maths.py`` at once (``renamed-distractor``);
``rephrased`` and ``reordered`` do not go together. ``renumbered_1`` to ``_4`` are no attack but its reference: the same
operations on other numbers. ``analysis/robustness.py`` takes the worst of each kind.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from forgetting.benchmarks.maths import Maths, check_items
from forgetting.contracts import Benchmark, Failure, Grade, Item, Split
from forgetting.errors import unknown
from forgetting.world import maths
from forgetting.world.splits import from_seed, problem_hash

BESIDE, LAST = ("renamed", "distractor"), ("rephrased", "reordered")
WORDS = tuple(f"words_{number}" for number in range(1, 5))
RENUMBERED = tuple(f"renumbered_{number}" for number in range(1, 5))
PAIRS = ("renamed-distractor", *(f"{one}-{other}" for one in BESIDE for other in LAST))
TRIPLES = tuple(f"renamed-distractor-{other}" for other in LAST)


@dataclass(frozen=True)
class Attacked(Benchmark):
    """The problems of ``maths`` with the same settings, in the wordings of an adversary.

    Args:
        items_per_depth: items of each depth
        depths: depths (operations) that are asked, 1 to 6
        seed: draws the items
    """

    items_per_depth: int = 60
    depths: tuple[int, ...] = (1, 2, 3)
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "maths"
    chance: ClassVar[float] = 0.0
    variants: ClassVar[tuple[str, ...]] = ("original", *WORDS, *BESIDE, *LAST, *PAIRS, *TRIPLES, *RENUMBERED)

    def __post_init__(self) -> None:
        check_items("attacked", self.items_per_depth, self.depths, self.seed)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Items in order of depth and index."""
        if variant not in self.variants:
            raise unknown("attacked.variant", variant, self.variants)
        plain = Maths(self.items_per_depth, self.depths, self.seed).twins(split)
        rng = from_seed(self.seed, "benchmarks/attacked", split, variant)
        found = []
        for item, problem, surface in plain:
            own = replace(item, id=item.id.replace("maths/original/", f"attacked/{variant}/"), variant=variant)
            if variant in RENUMBERED:
                other = _renumbered(rng, split, problem)
                own = replace(own, answer=maths.answer(other), problem=problem_hash(other.canonical()))
                own = replace(own, prompt=maths.prompt(other, surface))
            elif variant != "original":
                own = replace(own, prompt=maths.prompt(problem, _worded(rng, surface, variant)))
            found.append(own)
        return found

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """As ``maths`` does."""
        return Maths().grade(items, answers)

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """As ``maths`` does."""
        return Maths().failure(item, answer, grade, ended=ended)


def _renumbered(rng: random.Random, split: Split, problem: maths.MathsProblem) -> maths.MathsProblem:
    """Another problem with the same operations; there is one, since ``Maths`` asks no problem without."""
    while True:
        if other := maths.renumber(rng, split, problem):
            return other


def _worded(rng: random.Random, surface: maths.Surface, variant: str) -> maths.Surface:
    """The candidate's surface; with words, other names and things than the original's."""
    if variant in WORDS:
        while True:
            other = maths.draw_surface(rng, len(surface.wordings))
            if (other.name, other.thing) != (surface.name, surface.thing):
                return replace(surface, name=other.name, thing=other.thing)
    for device in variant.split("-"):
        surface = maths.perturb(rng, surface, device)
    return surface
