"""Programming tasks: one to three operations on a whole number or a list in, a description, a program and tests out.

For ``world/dialects.py`` and others (``rng`` is a ``random.Random``; see ``splits.from_numpy``):

- ``draw(rng, split, *, depth=None, rare=None) -> CodeProblem``
- ``draw_surface(rng, *, exposure=False) -> CodeSurface`` (function and variable name, device)
- ``describe(problem, surface) -> str``: the prompt, ``write : double each , keep above 5 , sum . def f ( x ) :``
- ``header(surface) -> str``: ``def f ( x ) :``
- ``program(problem, surface) -> str``: the answer, statements separated by `` <nl> ``
- ``program_tokens(problem, surface) -> list[str]``: the same as words
- ``reference(problem, value) -> int | list[int]``: what the program must return, by plain Python functions

Exposure: each device (``DEVICES``) occurs in training only with the function name ``h``, and ``h`` occurs in no
benchmark. A perturbed item is a device with another function name: its words were all seen, their combination never.
The device ``renamed`` is a variable name that training shows only with ``h``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from functools import cache
from typing import Literal

from forgetting.contracts import Sample, Split
from forgetting.world.code_operations import OPERATIONS, RARE, Value
from forgetting.world.maths import aside
from forgetting.world.splits import from_seed, split_of
from forgetting.world.vocabulary import (
    EXPOSURE_FUNCTIONS,
    EXPOSURE_VARIABLES,
    OBJECTS,
    PLAIN_FUNCTIONS,
    PLAIN_NAMES,
    PLAIN_VARIABLES,
)

MAX_DEPTH = 3
DEPTH_SHARES = (0.34, 0.38, 0.28)
CONSTANTS = range(2, 41)
DEVICES = ("rephrased", "renamed", "reordered", "distractor", "functional")
EXPOSURE_SHARE = 0.25
INTEGER_SHARE = 0.3
TERMINAL_SHARE = 0.45


_POOLS = {
    kind: tuple(name for name, op in OPERATIONS.items() if op.kind == kind for _ in range(op.weight))
    for kind in ("integer", "list", "terminal")
}


@dataclass(frozen=True, slots=True)
class CodeProblem:
    """(operation, constant) pairs in the order in which they are done; the constant is 0 where there is none."""

    steps: tuple[tuple[str, int], ...]

    @property
    def operations(self) -> tuple[str, ...]:
        """The operations' names in order: the key of the template."""
        return tuple([name for name, _ in self.steps])

    @property
    def takes_list(self) -> bool:
        """Whether the program's argument is a list."""
        return OPERATIONS[self.steps[0][0]].kind != "integer"

    def canonical(self) -> str:
        """The problem without names and wording."""
        return "code:" + ",".join([f"{name}{constant or ''}" for name, constant in self.steps])

    def split(self) -> Split:
        """By hash; of single operations there are few."""
        return split_of(self.canonical(), few=len(self.steps) == 1)

    def is_rare(self) -> bool:
        """Whether an operation occurs that training shows rarely."""
        return not RARE.isdisjoint(self.operations)


@dataclass(frozen=True, slots=True)
class CodeSurface:
    """Everything of a prompt that is not the problem; ``aside`` is a distractor."""

    function: str
    variable: str
    device: str = ""
    aside: str = ""
    aside_first: bool = False


def reference(problem: CodeProblem, value: Value) -> Value:
    """What the program must return for ``value``; raises where an operation is undefined (the largest of nothing)."""
    for name, constant in problem.steps:
        value = OPERATIONS[name].run(value, constant)
    return value


@cache
def is_sensible(operations: tuple[str, ...]) -> bool:
    """Whether each operation changes the result on some input, so that tests can tell it is there."""
    rng = from_seed(0, "world/code/sensible")
    constants = {"above": 20, "below": 80}
    steps = [(name, constants.get(name, 3)) for name in operations]
    takes_list = OPERATIONS[operations[0]].kind != "integer"
    inputs: list[Value] = [
        [rng.randrange(100) for _ in range(8)] if takes_list else rng.randrange(3, 20) for _ in range(12)
    ]
    for index in range(len(steps)):
        shorter = CodeProblem(tuple(steps[:index] + steps[index + 1 :]))
        if all(_safely(CodeProblem(tuple(steps)), value) == _safely(shorter, value) for value in inputs):
            return False
    return True


def _safely(problem: CodeProblem, value: Value) -> Value | None:
    try:
        return reference(problem, value)
    except (ValueError, IndexError, StopIteration):
        return None


def pools_of(depth: int) -> list[tuple[tuple[tuple[str, ...], ...], float]]:
    """The pools that ``draw_problem`` takes its operations from, each with its probability."""
    lists = (_POOLS["list"],) * (depth - 1)
    return [
        ((_POOLS["integer"],) * depth, INTEGER_SHARE),
        ((*lists, _POOLS["terminal"]), (1 - INTEGER_SHARE) * TERMINAL_SHARE),
        ((*lists, _POOLS["list"]), (1 - INTEGER_SHARE) * (1 - TERMINAL_SHARE)),
    ]


def draw_problem(rng: random.Random, depth: int) -> CodeProblem:
    """A problem of any split in which every operation can matter."""
    while True:
        if rng.random() < INTEGER_SHARE:
            pools = ["integer"] * depth
        else:
            pools = ["list"] * (depth - 1) + ["terminal" if rng.random() < TERMINAL_SHARE else "list"]
        operations = tuple([_POOLS[pool][int(rng.random() * len(_POOLS[pool]))] for pool in pools])
        if is_sensible(operations):
            return draw_constants(rng, operations)


def draw_constants(rng: random.Random, operations: tuple[str, ...]) -> CodeProblem:
    """A problem of any split with these operations."""
    return CodeProblem(
        tuple(
            [
                (name, CONSTANTS[int(rng.random() * len(CONSTANTS))] if OPERATIONS[name].takes_constant else 0)
                for name in operations
            ]
        )
    )


def draw(rng: random.Random, split: Split, *, depth: int | None = None, rare: bool | None = None) -> CodeProblem:
    """A problem of one split, of one depth (or the training's mixture), of one coverage (or any)."""
    steps = depth or draw_depth(rng)
    while True:
        problem = draw_problem(rng, steps)
        if (rare is None or rare == problem.is_rare()) and problem.split() == split:
            return problem


def renumber(rng: random.Random, split: Split, problem: CodeProblem) -> CodeProblem | None:
    """Another problem of the split with the same operations, or None where a hundred draws find none."""
    for _ in range(100):
        other = draw_constants(rng, problem.operations)
        if other != problem and other.split() == split:
            return other
    return None


def draw_depth(rng: random.Random) -> int:
    """A depth by the training's shares."""
    place = rng.random()
    return 1 if place < DEPTH_SHARES[0] else 2 if place < DEPTH_SHARES[0] + DEPTH_SHARES[1] else 3


def draw_surface(rng: random.Random, *, exposure: bool = False) -> CodeSurface:
    """A surface without device: a plain function name, or one of the exposure names."""
    names = EXPOSURE_FUNCTIONS if exposure else PLAIN_FUNCTIONS
    return CodeSurface(names[int(rng.random() * len(names))], PLAIN_VARIABLES[0])


def perturb(rng: random.Random, surface: CodeSurface, device: str) -> CodeSurface:
    """The surface with a device; the problem stays."""
    if device == "renamed":
        return replace(surface, device=device, variable=EXPOSURE_VARIABLES[0])
    if device == "distractor":
        name = PLAIN_NAMES[int(rng.random() * len(PLAIN_NAMES))]
        return replace(surface, device=device, aside=aside(rng, name, "", OBJECTS), aside_first=rng.random() < 0.5)
    return replace(surface, device=device)


def header(surface: CodeSurface) -> str:
    """``def f ( x ) :``, with which every prompt ends."""
    return f"def {surface.function} ( {surface.variable} ) :"


def phrases(problem: CodeProblem, surface: CodeSurface, form: Literal["plain", "other", "functional"]) -> list[str]:
    """The operations told one by one: by keyword, in another wording with the keyword, or by what they do."""
    return [
        getattr(OPERATIONS[name], form).replace("{k}", str(constant)).replace("{x}", surface.variable)
        for name, constant in problem.steps
    ]


def describe(problem: CodeProblem, surface: CodeSurface) -> str:
    """The prompt: the description and the header."""
    device = surface.device
    told = phrases(
        problem, surface, "other" if device == "rephrased" else "functional" if device == "functional" else "plain"
    )
    if device == "rephrased":
        text = f"now {' and '.join(told)} ."
    elif device == "reordered":
        text = f"{' , after '.join(reversed(told))} : write ."
    else:
        text = f"write : {' , '.join(told)} ."
    if surface.aside:
        text = f"{surface.aside} {text}" if surface.aside_first else f"{text} {surface.aside}"
    return f"{text} {header(surface)}"


def program_tokens(problem: CodeProblem, surface: CodeSurface) -> list[str]:
    """The words of the program's body, statements separated by ``<nl>``."""
    return program(problem, surface).split()


def program(problem: CodeProblem, surface: CodeSurface) -> str:
    """The program's body: ``x = [ v * 2 for v in x ] <nl> return sum ( x )``."""
    x, last = surface.variable, len(problem.steps) - 1
    return " <nl> ".join(
        [
            ("return " if i == last else f"{x} = ") + OPERATIONS[n].python.replace("{x}", x).replace("{k}", str(k))
            for i, (n, k) in enumerate(problem.steps)
        ]
    )


def sample(rng: random.Random, described: float = 0.0) -> Sample:
    """A training sample, with an exposure name in a quarter of the cases and then perhaps with a device.

    ``described``: the share of samples that are told by what the operations do, under a name of the benchmarks.
    """
    problem = draw(rng, "train")
    if described and rng.random() < described:
        surface = perturb(rng, draw_surface(rng), "functional")
        return _sample(problem, surface)
    exposure = rng.random() < EXPOSURE_SHARE
    surface = draw_surface(rng, exposure=exposure)
    if exposure and (which := int(rng.random() * (len(DEVICES) + 1))) < len(DEVICES):
        surface = perturb(rng, surface, DEVICES[which])
    return _sample(problem, surface)


def _sample(problem: CodeProblem, surface: CodeSurface) -> Sample:
    return Sample(
        describe(problem, surface), program(problem, surface), "code", len(problem.steps), "-".join(problem.operations)
    )
