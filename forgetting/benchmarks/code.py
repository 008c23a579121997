"""Programming tasks of the world, graded by running the program on hidden unit tests; with perturbed variants."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from forgetting.contracts import Benchmark, Failure, Grade, Item, Split
from forgetting.errors import require, unknown
from forgetting.world import code, dialects
from forgetting.world.interpreter import Execution, Tests, run_tests
from forgetting.world.program_failures import of_program
from forgetting.world.splits import SPLITS, Distinct, from_seed, problem_hash
from forgetting.world.unit_tests import hidden_tests
from forgetting.world.vocabulary import NEWLINE

RARE_EVERY = 4


@dataclass(frozen=True)
class Code(Benchmark):
    """``items_per_depth`` tasks of each number of operations; every fourth has one that training shows rarely.

    Variants of one index are twins. ``rephrased``, ``renamed``, ``reordered``, ``distractor`` and ``functional`` keep
    the task; ``renumbered`` keeps its operations and leaves out tasks without a number. Where a depth has fewer tasks
    than items, tasks repeat with another function name.

    Args:
        items_per_depth: tasks of each depth
        depths: depths (operations) that are asked, 1 to 3
        seed: draws the tasks
    """

    items_per_depth: int = 100
    depths: tuple[int, ...] = (1, 2, 3)
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "code"
    chance: ClassVar[float] = 0.0
    variants: ClassVar[tuple[str, ...]] = ("original", *code.DEVICES, "renumbered")

    def __post_init__(self) -> None:
        require(self.items_per_depth > 0, "code.items_per_depth", "a positive number of items", self.items_per_depth)
        in_range = all(1 <= depth <= code.MAX_DEPTH for depth in self.depths)
        require(bool(self.depths) and in_range, "code.depths", f"depths from 1 to {code.MAX_DEPTH}", self.depths)
        require(len(set(self.depths)) == len(self.depths), "code.depths", "without repetitions", self.depths)
        require(self.seed >= 0, "code.seed", "0 or more", self.seed)

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Items in order of depth and index; ``check`` holds the hidden tests."""
        if variant not in self.variants:
            raise unknown("code.variant", variant, self.variants)
        if split not in SPLITS:
            raise unknown("code.split", split, SPLITS)
        return [
            item for depth in self.depths for item in _items(self.seed, split, variant, depth, self.items_per_depth)
        ]

    def twins(self, split: Split = "test") -> list[tuple[Item, code.CodeProblem, code.CodeSurface]]:
        """The original items with the problem and the wording behind each."""
        behind = (one for depth in self.depths for one in _twins(self.seed, split, depth, self.items_per_depth))
        return [(item, one.problem, one.surface) for item, one in zip(self.items(split), behind, strict=True)]

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """Right where the program passes all tests; right in a dialect where its translation does."""
        return [_grade(item, answer) for item, answer in zip(items, answers, strict=True)]

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """By its lines, aligned with those of the gold program."""
        return of_program(item.prompt, item.answer, answer, grade, ended=ended)


def _grade(item: Item, answer: str) -> Grade:
    header, gold = item.prompt[item.prompt.rindex("def ") :], _statements(item.answer)
    tests: Tests = item.check
    outcome = run_tests(f"{header} {NEWLINE} {answer}", tests)
    if outcome is Execution.passed:
        return Grade("right", "", len(gold), len(gold))
    for dialect, program in dialects.readings(answer).items():
        if run_tests(f"{header} {NEWLINE} {program}", tests) is Execution.passed:
            return Grade("right_in_dialect", dialect, len(gold), len(gold))
    same = sum(a == b for a, b in zip(gold, _statements(answer), strict=False))
    return Grade("unparsed" if outcome is Execution.syntax_error else "wrong", outcome.value, same, len(gold))


def _statements(program: str) -> list[str]:
    return [" ".join(part.split()) for part in program.split(NEWLINE)]


@dataclass(frozen=True)
class _Twins:
    problem: code.CodeProblem
    renumbered: code.CodeProblem | None
    surface: code.CodeSurface


@lru_cache(maxsize=64)
def _twins(seed: int, split: Split, depth: int, count: int) -> tuple[_Twins, ...]:
    rng = from_seed(seed, "benchmarks/code", split, depth)
    distinct = [Distinct[_Twins](lambda t: t.problem, lambda t: code.describe(t.problem, t.surface)) for _ in range(2)]

    def make() -> _Twins:
        while True:
            problem = code.draw(rng, split, depth=depth, rare=rare)
            has_number = any(constant for _, constant in problem.steps)
            other = code.renumber(rng, split, problem) if has_number else None
            if other or not has_number:
                return _Twins(problem, other, code.draw_surface(rng))

    found: list[_Twins] = []
    while len(found) < count:
        rare = len(found) % RARE_EVERY == 0
        twins = distinct[rare].draw(make)
        if all(hidden_tests(p) for p in (twins.problem, twins.renumbered) if p):
            found.append(twins)
    return tuple(found)


@lru_cache(maxsize=256)
def _items(seed: int, split: Split, variant: str, depth: int, count: int) -> tuple[Item, ...]:
    rng = from_seed(seed, "benchmarks/code", split, depth, variant)
    items = []
    for index, twins in enumerate(_twins(seed, split, depth, count)):
        problem, surface = twins.problem, twins.surface
        if variant == "renumbered":
            if twins.renumbered is None:
                continue
            problem = twins.renumbered
        elif variant in code.DEVICES:
            surface = code.perturb(rng, surface, variant)
        items.append(
            Item(
                id=f"code/{variant}/d{depth}/{index:04d}",
                prompt=code.describe(problem, surface),
                answer=code.program(problem, surface),
                skill="code",
                depth=depth,
                template="-".join(problem.operations),
                variant=variant,
                problem=problem_hash(problem.canonical()),
                coverage="rare" if problem.is_rare() else "common",
                check=hidden_tests(problem) or (),
            )
        )
    return tuple(items)
