"""Programming tasks by keyword, by description, by both, and by two that disagree: which do students read?

The tasks are those of ``code``. By both: ``double each ( each twice )``; ``twice``, two wordings with the keyword, is
the control of the form. In a ``conflict`` one operation's keyword stands with the description of another, in
``conflict_turned`` the description stands first. Asides name an operation that is another's errand, ``bob has 5 pens to
sort .``: one of the task (``own_aside``, the control) or a foreign one of the same kind (``other_aside``), before or
after a task by description alone.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar

from forgetting.benchmarks.code import Code
from forgetting.contracts import Benchmark, Failure, Grade, Item, Split
from forgetting.errors import unknown
from forgetting.world import code
from forgetting.world.code_operations import OPERATIONS
from forgetting.world.interpreter import Execution, Tests, run_tests
from forgetting.world.splits import from_seed
from forgetting.world.unit_tests import hidden_tests
from forgetting.world.vocabulary import NEWLINE, OBJECTS, PLAIN_NAMES

GLOSSED, ASIDES, CONFLICTS = ("both", "twice"), ("own_aside", "other_aside"), ("conflict", "conflict_turned")
DESCRIPTION = "description"
NOUNS = frozenset({"largest", "smallest", "first", "last"})  # "5 pens to largest" is no English
TRIES = 60


@dataclass(frozen=True)
class Described(Benchmark):
    """The tasks of ``code`` with the same settings, told in other ways; a conflict is right by its keyword.

    A wrong answer to a conflict that does what the description says has the kind ``description``. Tasks for which there
    is no foreign operation that tests tell apart have no conflict, those whose operations are all nouns no aside.

    Args:
        items_per_depth: tasks of each depth
        depths: depths (operations) that are asked, 1 to 3
        seed: draws the tasks
    """

    items_per_depth: int = 60
    depths: tuple[int, ...] = (1, 2, 3)
    seed: int = 0

    version: ClassVar[int] = 1
    skill: ClassVar[str] = "code"
    chance: ClassVar[float] = 0.0
    variants: ClassVar[tuple[str, ...]] = (
        "original", "rephrased", "functional", *GLOSSED, *ASIDES, *CONFLICTS, "renumbered",
    )  # fmt: skip

    def __post_init__(self) -> None:
        Code(self.items_per_depth, self.depths, self.seed)  # checks them

    def items(self, split: Split = "test", variant: str = "original") -> list[Item]:
        """Items in order of depth and index; the ``check`` of a conflict holds both tests, the keyword's first."""
        if variant not in self.variants:
            raise unknown("described.variant", variant, self.variants)
        return list(_items(Code(self.items_per_depth, self.depths, self.seed), split, variant))

    def grade(self, items: Sequence[Item], answers: Sequence[str]) -> list[Grade]:
        """As ``code`` does, a conflict by its keyword."""
        own = [replace(item, check=item.check[0]) if item.variant in CONFLICTS else item for item in items]
        grades = Code().grade(own, answers)
        return [
            replace(grade, kind=DESCRIPTION)
            if item.variant in CONFLICTS and grade.verdict == "wrong" and _passes(item, answer)
            else grade
            for item, answer, grade in zip(items, answers, grades, strict=True)
        ]

    def failure(self, item: Item, answer: str, grade: Grade, *, ended: bool) -> Failure:
        """As ``code`` does; of a conflict by the lines of the keyword's program."""
        return Code().failure(item, answer, grade, ended=ended)


@lru_cache(maxsize=64)
def _items(tasks: Code, split: Split, variant: str) -> tuple[Item, ...]:
    if variant in Code.variants:
        return tuple(_named(item, variant) for item in tasks.items(split, variant))
    found = []
    for item, problem, surface in tasks.twins(split):
        # Both orders of a conflict, and both asides, differ in nothing else.
        rng = from_seed(tasks.seed, "benchmarks/described", split, item.id, variant in ASIDES)
        if (own := _told(rng, split, problem, surface, variant)) is not None:
            text, check = own
            found.append(_named(replace(item, prompt=text, check=check or item.check), variant))
    return tuple(found)


def _named(item: Item, variant: str) -> Item:
    return replace(item, id=f"described/{variant}/{item.id.split('/', 2)[2]}", variant=variant)


def _passes(item: Item, answer: str) -> bool:
    """Whether a conflict's answer does what the description says."""
    header = item.prompt[item.prompt.rindex("def ") :]
    return run_tests(f"{header} {NEWLINE} {answer}", item.check[1]) is Execution.passed


def _told(
    rng: random.Random, split: Split, problem: code.CodeProblem, surface: code.CodeSurface, variant: str
) -> tuple[str, tuple[Tests, Tests] | None] | None:
    """The prompt, and both tests of a conflict; None where there is no such item."""
    keyword, functional = (code.phrases(problem, surface, form) for form in ("plain", "functional"))
    if variant in ASIDES:
        verbs = [(name, others) for name in problem.operations if (others := _alike(problem, name))]
        if not verbs:
            return None
        own, others = rng.choice(verbs)
        name, number = rng.choice(others), dict(problem.steps)[own] or rng.choice(code.CONSTANTS)
        step = (own if variant == "own_aside" else name, number)
        errand = code.phrases(code.CodeProblem((step,)), surface, "plain")[0]
        head = f"{rng.choice(PLAIN_NAMES)} has {rng.randrange(2, 39)} {rng.choice(OBJECTS)}"
        aside = replace(surface, device="functional", aside=f"{head} to {errand} .", aside_first=rng.random() < 0.5)
        return code.describe(problem, aside), None
    check = None
    if variant in CONFLICTS:
        foreign = _foreign(rng, split, problem, surface)
        if foreign is None:
            return None
        functional = code.phrases(foreign, surface, "functional")
        check = (hidden_tests(problem) or (), hidden_tests(foreign) or ())
    first, second = keyword, code.phrases(problem, surface, "other") if variant == "twice" else functional
    if variant == "conflict_turned":
        first, second = second, first
    told = " , ".join(f"{one} ( {other} )" for one, other in zip(first, second, strict=True))
    return f"write : {told} . {code.header(surface)}", check


def _alike(problem: code.CodeProblem, own: str) -> list[str]:
    """Operations of one's kind that the task has not, to be named by a verb; none where it is itself a noun."""
    kind = OPERATIONS[own].kind
    others = [name for name, op in OPERATIONS.items() if op.kind == kind and name not in (*problem.operations, *NOUNS)]
    return [] if own in NOUNS else others


def _foreign(
    rng: random.Random, split: Split, problem: code.CodeProblem, surface: code.CodeSurface
) -> code.CodeProblem | None:
    """The task with another operation in one place; each program fails the other's tests."""
    header = code.header(surface)
    for _ in range(TRIES):
        place = rng.randrange(len(problem.steps))
        name, constant = problem.steps[place]
        kind = OPERATIONS[name].kind
        other = rng.choice([o for o, op in OPERATIONS.items() if op.kind == kind and o not in problem.operations])
        number = (constant or rng.choice(code.CONSTANTS)) if OPERATIONS[other].takes_constant else 0
        found = code.CodeProblem((*problem.steps[:place], (other, number), *problem.steps[place + 1 :]))
        if found.split() != split or not code.is_sensible(found.operations):
            continue
        tests, own = hidden_tests(found), hidden_tests(problem)
        if not tests or not own:
            continue
        crossed = ((problem, tests), (found, own))
        if all(
            run_tests(f"{header} {NEWLINE} {code.program(one, surface)}", wanted) is not Execution.passed
            for one, wanted in crossed
        ):
            return found
    return None
