"""Two operations together and each alone: does a student that can do A and B do A then B, also where it never saw that?

Wholes are word problems of two operations, ``original`` in an order that training shows (``loses 3 , doubles them``),
``novel_pair`` in one that it never shows (``doubles them , loses 3``). Parts are word problems of one operation: of 25
of the split the one whose start is nearest to the number that the operation meets in the whole. ``crossed`` is the
original with one operation written as a line of a program (``x = x - 3``): two skills in one problem.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import ClassVar

from forgetting.benchmarks.maths import Maths
from forgetting.contracts import Benchmark, Failure, Grade, Item, Split
from forgetting.errors import require, unknown
from forgetting.world import maths
from forgetting.world.splits import SPLITS, Distinct, from_seed, problem_hash

NOVEL = (("double", "sub"), ("halve", "add"))
LINES = {"add": "x = x + {k}", "sub": "x = x - {k}", "double": "x = x * 2"}
PARTS = {"first": 0, "second": 1}
NEAREST = 25


@dataclass(frozen=True)
class Composition(Benchmark):
    """``item_count`` wholes of each kind with their parts; the depth of a part is that of its whole.

    Where there are fewer problems than items, problems repeat with other names and things.

    Args:
        item_count: wholes in training's order, and as many in the other
        seed: draws the items
    """

    item_count: int = 120
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "maths"
    chance: ClassVar[float] = 0.0
    variants: ClassVar[tuple[str, ...]] = (
        "original", *PARTS, "novel_pair", *(f"novel_{name}" for name in PARTS), "crossed",
    )  # fmt: skip

    def __post_init__(self) -> None:
        require(self.item_count > 0, "composition.item_count", "a positive number of items", self.item_count)
        require(self.seed >= 0, "composition.seed", "0 or more", self.seed)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Items in order of index."""
        if variant not in self.variants:
            raise unknown("composition.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown("composition.split", split, SPLITS)
        return list(_items(self.seed, split, variant, self.item_count))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """As ``maths`` does."""
        return Maths().grade(items, answers)

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """As ``maths`` does."""
        return Maths().failure(item, answer, grade, ended=ended)


WholeProblem = tuple[maths.MathsProblem, maths.Surface]


@lru_cache(maxsize=16)
def _wholes(seed: int, split: Split, novel: bool, count: int) -> tuple[WholeProblem, ...]:
    rng = from_seed(seed, "benchmarks/composition", split, int(novel))
    distinct = [Distinct[WholeProblem](lambda w: w[0], lambda w: maths.prompt(*w)) for _ in NOVEL]
    orders = NOVEL if novel else tuple(pair[::-1] for pair in NOVEL)

    def make(order: int) -> WholeProblem:
        return _draw(rng, split, orders[order]), maths.draw_surface(rng, 2)

    kinds = [index % len(orders) for index in range(count)]
    return tuple(distinct[kind].draw(partial(make, kind)) for kind in kinds)


def _draw(rng: random.Random, split: Split, operations: tuple[str, ...]) -> maths.MathsProblem:
    while True:
        problem = maths.draw_numbers(rng, operations)
        if problem.split() == split:
            return problem


@lru_cache(maxsize=64)
def _items(seed: int, split: Split, variant: str, count: int) -> tuple[Item, ...]:
    rng = from_seed(seed, "benchmarks/composition", split, variant)
    items = []
    for index, (whole, surface) in enumerate(_wholes(seed, split, variant.startswith("novel"), count)):
        problem, text = whole, maths.prompt(whole, surface)
        if (name := variant.removeprefix("novel_")) in PARTS:
            place = PARTS[name]
            drawn = [_draw(rng, split, whole.operations[place : place + 1]) for _ in range(NEAREST)]
            problem = min(drawn, key=lambda other: abs(other.start - whole.values()[place]))
            text = maths.prompt(problem, maths.draw_surface(rng, 1))
        elif variant == "crossed":
            text = _crossed(rng, whole, text)
        items.append(
            Item(
                id=f"composition/{variant}/{index:04d}",
                prompt=text,
                answer=maths.answer(problem),
                skill="maths",
                depth=len(whole.steps),
                template="-".join(problem.operations),
                variant=variant,
                problem=problem_hash(problem.canonical()),
            )
        )
    return tuple(items)


def _crossed(rng: random.Random, whole: maths.MathsProblem, text: str) -> str:
    """The prompt with one of its operations as a line of a program."""
    story, question = text.split(" . ")
    clauses = story.split(" , ")
    place = rng.choice([place for place, name in enumerate(whole.operations) if name in LINES])
    name, operand = whole.steps[place]
    clauses[1 + place] = LINES[name].replace("{k}", str(operand))
    return f"{' , '.join(clauses)} . {question}"
