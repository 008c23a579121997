"""Splits by hash, and the generators."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from forgetting.world import code, maths
from forgetting.world.code_operations import OPERATIONS, RARE
from forgetting.world.splits import SPLITS, Distinct, from_numpy, from_seed, problem_hash, split_of


@pytest.mark.parametrize(("few", "shares"), [(False, (0.8, 0.1, 0.1)), (True, (0.5, 0.25, 0.25))])
def test_shares_of_the_splits(few: bool, shares: tuple[float, ...]) -> None:
    counts = Counter(split_of(f"problem {n}", few=few) for n in range(20_000))
    for split, share in zip(SPLITS, shares, strict=True):
        assert abs(counts[split] / 20_000 - share) < 0.01


def test_enough_single_operations_in_every_split() -> None:
    """A word problem can be renumbered, and 100 tasks of depth 1 with two function names need not repeat."""
    found: Counter[tuple[str, str]] = Counter()
    for name, operation in maths.OPERATIONS.items():
        for start in maths.STARTS:
            for operand in maths.OPERANDS if operation.factor is None else [operation.factor]:
                if operation.apply(start, operand):
                    found[name, maths.MathsProblem(start, ((name, operand),)).split()] += 1
    assert min(found[name, split] for name in maths.OPERATIONS for split in SPLITS) >= 3
    for name, task in OPERATIONS.items():
        for constant in code.CONSTANTS if task.takes_constant else [0]:
            coverage = "rare tasks" if name in RARE else "common tasks"
            found[coverage, code.CodeProblem(((name, constant),)).split()] += 1
    assert min(found["rare tasks", split] for split in SPLITS) >= 25 / 2
    assert min(found["common tasks", split] for split in SPLITS) >= 75 / 2


def test_problem_hash_is_short_and_stable() -> None:
    assert problem_hash("maths:12:add5") == "f0e4779f16e1be74"


def test_generators_depend_on_state_and_roles_only() -> None:
    assert from_numpy(np.random.default_rng(3)).random() == from_numpy(np.random.default_rng(3)).random()
    assert from_seed(1, "a", 2).random() == from_seed(1, "a", 2).random()
    assert from_seed(1, "a", 2).random() != from_seed(1, "a", 3).random()


def test_distinct_falls_back_key_by_key() -> None:
    rng = from_seed(0, "distinct")
    distinct = Distinct[tuple[int, int]](lambda pair: pair[0], lambda pair: pair)
    found = [distinct.draw(lambda: (rng.randrange(3), rng.randrange(2)), tries=200) for _ in range(8)]
    assert len({pair[0] for pair in found[:3]}) == 3
    assert len(set(found[:6])) == 6
    assert len(found) == 8
