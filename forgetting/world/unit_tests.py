"""Hidden unit tests of programming tasks: a problem in, six (argument, wanted value) pairs out.

The wanted values come from the plain Python reference of ``world/code.py``, not from the interpreter that grades. The
arguments are chosen so that programs with one mistake fail: an operation left out, another operation, a constant
that is off by one.
"""

from __future__ import annotations

import random
from functools import lru_cache

from forgetting.world.code import CodeProblem, reference
from forgetting.world.code_operations import OPERATIONS, Value
from forgetting.world.interpreter import Tests
from forgetting.world.splits import from_seed

TESTS, CANDIDATES, REPLACEMENTS = 6, 28, 3


@lru_cache(maxsize=65536)
def hidden_tests(problem: CodeProblem) -> Tests | None:
    """The tests, the same ones every time; None where leaving out some operation would change no result."""
    rng = from_seed(0, "world/unit_tests", problem.canonical())
    candidates = [
        value for value in (_argument(rng, problem) for _ in range(CANDIDATES)) if _result(problem, value) is not None
    ]
    if len(candidates) < TESTS:
        return None
    needed, wanted_too = _without_one(problem), _with_a_mistake(rng, problem)
    wanted = [_result(problem, value) for value in candidates]
    told_apart = [
        {i for i, other in enumerate([*needed, *wanted_too]) if _result(other, value) != right}
        for value, right in zip(candidates, wanted, strict=True)
    ]
    chosen: list[int] = []
    left = set().union(*told_apart)
    if not left.issuperset(range(len(needed))):
        return None
    for _ in range(TESTS):
        rest = [i for i in range(len(candidates)) if i not in chosen]
        best = max(rest, key=lambda i: len(told_apart[i] & left))
        chosen.append(best)
        left -= told_apart[best]
    return tuple((_frozen(candidates[i]), _frozen(wanted[i])) for i in chosen)


def _frozen(value: Value | None) -> int | tuple[int, ...] | None:
    return tuple(value) if isinstance(value, list) else value


def _result(problem: CodeProblem, value: Value) -> Value | None:
    try:
        return reference(problem, value)
    except (IndexError, StopIteration):
        return None


def _argument(rng: random.Random, problem: CodeProblem) -> Value:
    if not problem.takes_list:
        return rng.randrange(30)
    edges = _edges(problem)
    return [
        rng.choice(edges) + rng.randrange(-1, 2) if edges and rng.random() < 0.4 else rng.randrange(-20, 100)
        for _ in range(rng.randrange(4, 9))
    ]


def _edges(problem: CodeProblem) -> list[int]:
    """The elements of the argument that reach a filter as its very constant."""
    edges = []
    for index, (name, constant) in enumerate(problem.steps):
        if name in ("above", "below"):
            for earlier, operand in reversed(problem.steps[:index]):
                constant = (
                    constant - operand if earlier == "raise" else constant // 2 if earlier == "double" else constant
                )
            edges.append(constant)
    return edges


def _without_one(problem: CodeProblem) -> list[CodeProblem]:
    return [CodeProblem(problem.steps[:i] + problem.steps[i + 1 :]) for i in range(len(problem.steps))]


def _with_a_mistake(rng: random.Random, problem: CodeProblem) -> list[CodeProblem]:
    wrong: list[tuple[int, tuple[str, int]]] = []
    for i, (name, constant) in enumerate(problem.steps):
        if constant:
            wrong += [(i, (name, constant + 1)), (i, (name, constant - 1))]
        same_kind = [other for other, op in OPERATIONS.items() if op.kind == OPERATIONS[name].kind and other != name]
        wrong += [(i, (other, constant or 3)) for other in rng.sample(same_kind, min(REPLACEMENTS, len(same_kind)))]
    return [CodeProblem((*problem.steps[:i], step, *problem.steps[i + 1 :])) for i, step in wrong]
