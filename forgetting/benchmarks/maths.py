"""Word problems of the world, depth by depth, graded by the final number; with perturbed and compositional variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from forgetting.contracts import Benchmark, Failure, Grade, Item, Split
from forgetting.errors import require, unknown
from forgetting.world import maths
from forgetting.world.failures import of_steps
from forgetting.world.splits import SPLITS, Distinct, from_seed, problem_hash
from forgetting.world.steps import grade_steps

RARE_EVERY = 4


def check_items(part: str, items_per_depth: int, depths: tuple[int, ...], seed: int) -> None:
    """``UsageError`` unless these are settings of word problems; ``part`` is the benchmark that they are of."""
    require(items_per_depth > 0, f"{part}.items_per_depth", "a positive number of items", items_per_depth)
    in_range = all(1 <= depth <= maths.MAX_DEPTH for depth in depths)
    require(bool(depths) and in_range, f"{part}.depths", f"depths from 1 to {maths.MAX_DEPTH}", depths)
    require(len(set(depths)) == len(depths), f"{part}.depths", "without repetitions", depths)
    require(seed >= 0, f"{part}.seed", "0 or more", seed)


@dataclass(frozen=True)
class Maths(Benchmark):
    """``items_per_depth`` items of each depth; from depth 2 on every fourth has an operation that is rare in training.

    Variants of one index are twins. ``rephrased``, ``renamed``, ``reordered`` and ``distractor`` keep the problem;
    ``renumbered`` keeps its operations; ``novel_pair`` keeps depth, coverage and size of numbers and has neighbouring
    operations that training never shows together (so it starts at depth 2). Where a depth has fewer problems than
    items, problems repeat with other names and things.

    Args:
        items_per_depth: items of each depth
        depths: depths (operations) that are asked, 1 to 6
        seed: draws the items
    """

    items_per_depth: int = 100
    depths: tuple[int, ...] = (1, 2, 3)
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "maths"
    chance: ClassVar[float] = 0.0
    variants: ClassVar[tuple[str, ...]] = ("original", *maths.DEVICES, "renumbered", "novel_pair")

    def __post_init__(self) -> None:
        check_items("maths", self.items_per_depth, self.depths, self.seed)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Items in order of depth and index."""
        if variant not in self.variants:
            raise unknown("maths.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown("maths.split", split, SPLITS)
        return [
            item for depth in self.depths for item in _items(self.seed, split, variant, depth, self.items_per_depth)
        ]

    def twins(self, split: Split = "test") -> list[tuple[Item, maths.MathsProblem, maths.Surface]]:
        """The original items with the problem and the wording behind each."""
        behind = (one for depth in self.depths for one in _twins(self.seed, split, depth, self.items_per_depth))
        return [(item, one.problem, one.surface) for item, one in zip(self.items(split), behind, strict=True)]

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the final number is right."""
        return [grade_steps(item.answer, answer, chain=True) for item, answer in zip(items, answers, strict=True)]

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """By its steps, aligned with the gold ones."""
        return of_steps(item.prompt, item.answer, answer, chain=True, ended=ended)


@dataclass(frozen=True)
class _Twins:
    problem: maths.MathsProblem
    renumbered: maths.MathsProblem
    surface: maths.Surface


@lru_cache(maxsize=64)
def _twins(seed: int, split: Split, depth: int, count: int) -> tuple[_Twins, ...]:
    rng = from_seed(seed, "benchmarks/maths", split, depth)
    distinct = [Distinct[_Twins](lambda t: t.problem, lambda t: maths.prompt(t.problem, t.surface)) for _ in range(2)]

    def make() -> _Twins:
        while True:
            problem = maths.draw(rng, split, depth, rare=rare)
            if other := maths.renumber(rng, split, problem):
                return _Twins(problem, other, maths.draw_surface(rng, depth))

    found = []
    for index in range(count):
        rare = depth > 1 and index % RARE_EVERY == 0
        found.append(distinct[rare].draw(make))
    return tuple(found)


@lru_cache(maxsize=256)
def _items(seed: int, split: Split, variant: str, depth: int, count: int) -> tuple[Item, ...]:
    if variant == "novel_pair" and depth < 2:
        return ()
    rng = from_seed(seed, "benchmarks/maths", split, depth, variant)
    items = []
    for index, twins in enumerate(_twins(seed, split, depth, count)):
        problem, surface = twins.problem, twins.surface
        if variant in maths.DEVICES:
            surface = maths.perturb(rng, surface, variant)
        elif variant == "renumbered":
            problem = twins.renumbered
        elif variant == "novel_pair":
            problem = maths.draw_alike(rng, split, problem)
        items.append(
            Item(
                id=f"maths/{variant}/d{depth}/{index:04d}",
                prompt=maths.prompt(problem, surface),
                answer=maths.answer(problem),
                skill="maths",
                depth=depth,
                template="-".join(problem.operations),
                variant=variant,
                problem=problem_hash(problem.canonical()),
                coverage="rare" if problem.is_rare() else "common",
            )
        )
    return tuple(items)
