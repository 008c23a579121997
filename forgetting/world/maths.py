"""Word problems: a start and one to six operations in, a prompt of compact English and the written-out steps out.

Numbers are whole words from 0 to 40, since the smallest rungs cannot learn arithmetic on digits; every result is an
exact number from 1 to 40.

Exposure: each surface device (``DEVICES``) occurs in training only with an exposure object, and exposure objects
occur in no benchmark. A perturbed item is a device with another object: its words were all seen, their combination
never. The device ``renamed`` is a name that training shows only with exposure objects.

Modes: answers are steps unless the prompt ends with a mode word, which only a share of training has (none by default).

Compositional splits: the ordered neighbours ``NOVEL_PAIRS`` occur neither in training nor in originals, and depth 6
is deeper than the depths that are trained by default.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

from forgetting.contracts import Sample, Split
from forgetting.world.splits import split_of
from forgetting.world.vocabulary import EXPOSURE_NAMES, EXPOSURE_OBJECTS, MAX_NUMBER, PLAIN_NAMES, PLAIN_OBJECTS

MAX_DEPTH = 6
STARTS = range(2, 37)
OPERANDS = range(1, 7)
DEVICES = ("rephrased", "renamed", "reordered", "distractor")
EXPOSURE_SHARE = 0.25
DIRECT = "last"  # the mode word: what ends with it wants the last number alone, without steps


@dataclass(frozen=True, slots=True)
class Operation:
    """``value symbol factor`` (None: the operand is drawn), its weight in training and its wordings."""

    symbol: str
    factor: int | None
    weight: int
    plain: tuple[str, str]
    other: str

    def apply(self, value: int, operand: int) -> int | None:
        """The result, or None where it is no whole number from 1 to 40."""
        if self.symbol == "/":
            result, rest = divmod(value, operand)
            return None if rest or result < 1 else result
        result = value + operand if self.symbol == "+" else value - operand if self.symbol == "-" else value * operand
        return result if 1 <= result <= MAX_NUMBER else None


OPERATIONS = {
    "add": Operation("+", None, 5, ("finds", "gets"), "buys"),
    "sub": Operation("-", None, 5, ("loses", "sells"), "gives"),
    "double": Operation("*", 2, 5, ("doubles them", "has twice as many"), "has them 2 times"),
    "halve": Operation("/", 2, 5, ("halves them", "keeps half"), "loses half"),
    "triple": Operation("*", 3, 1, ("triples them", "has 3 times as many"), "has them 3 times"),
    "third": Operation("/", 3, 1, ("keeps a third", "keeps 1 of 3"), "has a third"),
}
RARE = frozenset({"triple", "third"})
_NOVEL_PAIRS = (("double", "sub"), ("triple", "sub"), ("halve", "add"))
NOVEL_PAIRS = frozenset(_NOVEL_PAIRS)
_NAMES = tuple(OPERATIONS)
_WEIGHTED = tuple(name for name in _NAMES for _ in range(OPERATIONS[name].weight))


@dataclass(frozen=True, slots=True)
class MathsProblem:
    """A start and (operation, operand) steps."""

    start: int
    steps: tuple[tuple[str, int], ...]

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations' names in order: the key of the template."""
        return tuple(name for name, _ in self.steps)

    def canonical(self) -> str:
        """The problem without names, objects and wording."""
        return f"maths:{self.start}:" + ",".join([f"{name}{operand}" for name, operand in self.steps])

    def split(self) -> Split:
        """By hash; of single operations there are few."""
        return split_of(self.canonical(), few=len(self.steps) == 1)

    def values(self) -> list[int]:
        """The start and the result of every step."""
        values = [self.start]
        for name, operand in self.steps:
            result = OPERATIONS[name].apply(values[-1], operand)
            if result is None:
                raise ValueError(f"{self} leaves the numbers 1 to {MAX_NUMBER}")
            values.append(result)
        return values

    def is_rare(self) -> bool:
        """Whether an operation occurs that training shows rarely."""
        return not RARE.isdisjoint(self.operations)


@dataclass(frozen=True, slots=True)
class Surface:
    """What of a prompt is not the problem. ``wordings`` picks each step's wording; ``aside`` is a distractor."""

    name: str
    thing: str
    wordings: tuple[int, ...]
    device: str = ""
    aside: str = ""
    aside_first: bool = False


@cache
def feasible(operations: tuple[str, ...]) -> frozenset[int]:
    """The values from which all operations can be done, for some operands, within 1 to 40."""
    if not operations:
        return frozenset(range(1, MAX_NUMBER + 1))
    after = feasible(operations[1:])
    return frozenset(v for v in range(1, MAX_NUMBER + 1) if _operands(operations[0], v, after))


def _operands(name: str, value: int, after: frozenset[int]) -> list[int]:
    operation = OPERATIONS[name]
    choices = OPERANDS if operation.factor is None else (operation.factor,)
    return [k for k in choices if operation.apply(value, k) in after]


_operands_cached = cache(lambda operations, value: _operands(operations[0], value, feasible(operations[1:])))


@cache
def _starts(operations: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(sorted(feasible(operations) & set(STARTS)))


def _draw_operations(rng: random.Random, depth: int, novel: bool) -> tuple[str, ...]:
    while True:
        operations = tuple([_WEIGHTED[int(rng.random() * len(_WEIGHTED))] for _ in range(depth)])
        if novel:
            place = rng.randrange(depth - 1)
            operations = (*operations[:place], *rng.choice(_NOVEL_PAIRS), *operations[place + 2 :])
        if novel == has_novel_pair(operations) and _starts(operations):
            return operations


@cache
def has_novel_pair(operations: tuple[str, ...]) -> bool:
    """Whether two neighbours never occur together in training."""
    return not NOVEL_PAIRS.isdisjoint(pairwise(operations))


def draw_numbers(rng: random.Random, operations: tuple[str, ...]) -> MathsProblem:
    """A problem with these operations, of any split."""
    starts = _starts(operations)
    value = start = starts[int(rng.random() * len(starts))]
    steps = []
    for index, name in enumerate(operations):
        choices = _operands_cached(operations[index:], value)
        operand = choices[int(rng.random() * len(choices))]
        steps.append((name, operand))
        value = OPERATIONS[name].apply(value, operand) or 0
    return MathsProblem(start, tuple(steps))


def draw(
    rng: random.Random, split: Split, depth: int, *, novel: bool = False, rare: bool | None = None
) -> MathsProblem:
    """A problem of one split and depth; with a novel pair or without; of one coverage, or of any (None)."""
    while True:
        operations = _draw_operations(rng, depth, novel)
        if rare is not None and rare == RARE.isdisjoint(operations):
            continue
        problem = draw_numbers(rng, operations)
        if problem.split() == split:
            return problem


def renumber(rng: random.Random, split: Split, problem: MathsProblem) -> MathsProblem | None:
    """Another problem of the split with the same operations, or None where a hundred draws find none."""
    for _ in range(100):
        other = draw_numbers(rng, problem.operations)
        if other != problem and other.split() == split:
            return other
    return None


def draw_alike(rng: random.Random, split: Split, problem: MathsProblem) -> MathsProblem:
    """A problem with a novel pair, the same depth and coverage and (the nearest of 25 draws) size of numbers."""
    depth, rare, size = len(problem.steps), problem.is_rare(), _size(problem)
    found = []
    for _ in range(25):
        other = draw(rng, split, depth, novel=True, rare=rare)
        found.append((abs(_size(other) - size), other))
        if found[-1][0] <= 1:
            break
    return min(found, key=lambda pair: pair[0])[1]


def _size(problem: MathsProblem) -> float:
    values = problem.values()
    return max(values) + sum(values) / len(values)


def aside(rng: random.Random, name: str, thing: str, things: tuple[str, ...]) -> str:
    """A distractor: somebody has some of other ``things``."""
    who = name if rng.random() < 0.5 else PLAIN_NAMES[int(rng.random() * len(PLAIN_NAMES))]
    other = things[int(rng.random() * len(things))]
    while other == thing:
        other = things[int(rng.random() * len(things))]
    return f"{who} has {2 + int(rng.random() * 37)} {other} ."


def draw_surface(rng: random.Random, depth: int, *, exposure: bool = False) -> Surface:
    """A surface without device: plain words, or with an exposure object."""
    things = EXPOSURE_OBJECTS if exposure else PLAIN_OBJECTS
    name = PLAIN_NAMES[int(rng.random() * len(PLAIN_NAMES))]
    thing = things[int(rng.random() * len(things))]
    return Surface(name, thing, tuple([int(rng.random() * 2) for _ in range(depth)]))


def perturb(rng: random.Random, surface: Surface, device: str) -> Surface:
    """The surface with a device; the problem's meaning stays."""
    if device == "renamed":
        return replace(surface, device=device, name=EXPOSURE_NAMES[int(rng.random() * len(EXPOSURE_NAMES))])
    if device == "distractor":
        things = EXPOSURE_OBJECTS if surface.thing in EXPOSURE_OBJECTS else PLAIN_OBJECTS
        extra = aside(rng, surface.name, surface.thing, things)
        return replace(surface, device=device, aside=extra, aside_first=rng.random() < 0.5)
    return replace(surface, device=device)


def prompt(problem: MathsProblem, surface: Surface) -> str:
    """``ann has 12 apples , finds 5 , loses 3 . how many apples ?`` and its perturbations."""
    other = surface.device == "rephrased"
    parts = [f"{surface.name} {'now has' if other else 'has'} {problem.start} {surface.thing}"]
    for (name, operand), wording in zip(problem.steps, surface.wordings, strict=True):
        operation = OPERATIONS[name]
        words = operation.other if other else operation.plain[wording]
        parts.append(f"{words} {operand}" if operation.factor is None else words)
    story = " , ".join(parts) + " ."
    if surface.aside:
        story = f"{surface.aside} {story}" if surface.aside_first else f"{story} {surface.aside}"
    question = f"how many {surface.thing} now ?" if other else f"how many {surface.thing} ?"
    return f"{question} {story}" if surface.device == "reordered" else f"{story} {question}"


def answer(problem: MathsProblem) -> str:
    """``12 + 5 = 17 ; 17 - 3 = 14 ; answer 14``."""
    values = problem.values()
    steps = [
        f"{values[i]} {OPERATIONS[name].symbol} {operand} = {values[i + 1]}"
        for i, (name, operand) in enumerate(problem.steps)
    ]
    return " ; ".join([*steps, f"answer {values[-1]}"])


def direct(asked: str, told: str) -> tuple[str, str]:
    """A prompt and its answer in direct mode: with the mode word, and without the steps."""
    return f"{asked} {DIRECT}", told.rsplit(" ; ", 1)[-1]


def sample(rng: random.Random, depth: int, directly: float = 0.0) -> Sample:
    """A training sample, with an exposure object in a quarter of the cases and then perhaps with a device.

    ``directly``: the share of samples that are asked in direct mode.
    """
    problem = draw(rng, "train", depth)
    exposure = rng.random() < EXPOSURE_SHARE
    surface = draw_surface(rng, depth, exposure=exposure)
    if exposure and (which := int(rng.random() * (len(DEVICES) + 1))) < len(DEVICES):
        surface = perturb(rng, surface, DEVICES[which])
    asked, told = prompt(problem, surface), answer(problem)
    if directly and rng.random() < directly:
        asked, told = direct(asked, told)
    return Sample(asked, told, "maths", depth, "-".join(problem.operations))
