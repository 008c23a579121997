"""Average-speed problems in which the plain mean of the speeds is the tempting wrong answer, and their controls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

from forgetting.contracts import Benchmark, Failure, Grade, Item, Split
from forgetting.errors import require, unknown
from forgetting.world import traps
from forgetting.world.failures import of_steps
from forgetting.world.splits import SPLITS, Distinct, from_seed, problem_hash
from forgetting.world.steps import grade_steps, read
from forgetting.world.vocabulary import PLAIN_NAMES


@dataclass(frozen=True)
class Traps(Benchmark):
    """``items_per_form`` traps (depth 5) and as many controls (depth 2).

    The traps begin with those over two equal distances, as many as their split has (two or three: only nine exist
    whose every step is a number of the world), each once; the others have unequal distances. Where there are fewer
    problems than items, problems repeat with other names. An error's kind is ``shortcut`` where the answer is the
    plain mean of the speeds.

    Args:
        items_per_form: traps, and controls
        seed: draws the items
    """

    items_per_form: int = 60
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "traps"
    chance: ClassVar[float] = 0.0

    def __post_init__(self) -> None:
        require(self.items_per_form > 0, "traps.items_per_form", "a positive number of items", self.items_per_form)
        require(self.seed >= 0, "traps.seed", "0 or more", self.seed)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Controls first, then traps; ``check`` holds the tempting answers."""
        if variant not in self.variants:
            raise unknown("traps.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown("traps.split", split, SPLITS)
        return list(_items(self.seed, split, self.items_per_form))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the final number is right."""
        return [_grade(item, answer) for item, answer in zip(items, answers, strict=True)]

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """By its steps, aligned with the gold ones; a shortcut by the steps that lead to the plain mean."""
        chain = item.depth == traps.CONTROL_DEPTH
        return of_steps(item.prompt, item.answer, answer, chain=chain, ended=ended, tempting=item.check)


def _grade(item: Item, answer: str) -> Grade:
    grade = grade_steps(item.answer, answer, chain=False)
    if grade.verdict == "wrong" and read(answer)[1] in item.check:
        return replace(grade, kind="shortcut")
    return grade


def _problems(seed: int, split: Split, count: int) -> list[traps.TrapProblem]:
    rng = from_seed(seed, "benchmarks/traps", split)
    distinct = Distinct[traps.TrapProblem](lambda problem: problem)
    harmonic = list(traps.of_split("harmonic-equal", split))
    rng.shuffle(harmonic)
    del harmonic[count:]
    while len(harmonic) < count:
        harmonic.append(distinct.draw(lambda: traps.draw(rng, split, "harmonic-unequal")))
    return [*(distinct.draw(lambda: traps.draw(rng, split, "control")) for _ in range(count)), *harmonic]


@lru_cache(maxsize=32)
def _items(seed: int, split: Split, count: int) -> tuple[Item, ...]:
    rng = from_seed(seed, "benchmarks/traps", split, "surface")
    items = []
    for place, problem in enumerate(_problems(seed, split, count)):
        name, swapped = rng.choice(PLAIN_NAMES), rng.random() < 0.5
        items.append(
            Item(
                id=f"traps/original/d{problem.depth}/{place % count:04d}",
                prompt=traps.prompt(problem, name, swapped),
                answer=traps.answer(problem, swapped),
                skill="traps",
                depth=problem.depth,
                template=problem.template,
                variant="original",
                problem=problem_hash(problem.canonical()),
                check=traps.tempting(problem),
            )
        )
    return tuple(items)
