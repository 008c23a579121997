"""Canonical problem in, its hash and split out; and the random generators that problems are drawn with.

A canonical problem is structure, numbers and operations, without names, objects or wording. Its hash alone decides
its split, so the splits are disjoint by construction: generators draw a problem and reject those of another split.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, TypeVar

from forgetting.contracts import Split
from forgetting.seeds import integer

if TYPE_CHECKING:
    import numpy as np

SHARES, FEW_SHARES = (0.8, 0.1), (0.5, 0.25)
SALT = "497"  # of 600 tried, one that leaves enough problems of every single operation in every split (tests/world)
T = TypeVar("T")
SPLITS: tuple[Split, ...] = ("train", "validation", "test")


def problem_hash(canonical: str) -> str:
    """The name of a problem in items and ledgers: 16 hexadecimal digits."""
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def split_of(canonical: str, *, few: bool = False) -> Split:
    """Train for 80%, validation for 10% and test for 10% of all canonical problems.

    ``few``: 50%, 25% and 25%, for kinds with only some hundred problems, whose tests would else repeat themselves.
    """
    place = int.from_bytes(hashlib.sha256(f"{SALT}:{canonical}".encode()).digest()[:4], "big") / 2**32
    train, validation = FEW_SHARES if few else SHARES
    return "train" if place < train else "validation" if place < train + validation else "test"


def from_numpy(rng: np.random.Generator) -> random.Random:
    """A generator of Python's own, quicker for single draws; a pure function of the state of ``rng``."""
    return random.Random(int(rng.integers(0, 2**63 - 1)))


def from_seed(seed: int, *roles: str | int) -> random.Random:
    """A generator of Python's own that depends on the seed and on every role."""
    return random.Random(integer(seed, *roles))


class Distinct(Generic[T]):
    """Draws that avoid what was drawn before: new by the first key, when no more can be had by the next, then any."""

    def __init__(self, *keys: Callable[[T], Hashable]) -> None:
        self.seen: list[tuple[Callable[[T], Hashable], set[Hashable]]] = [(key, set()) for key in keys]

    def draw(self, make: Callable[[], T], tries: int = 300) -> T:
        """One more draw of ``make``; a key is given up for good after that many draws with nothing new."""
        found = make()
        while self.seen:
            key, seen = self.seen[0]
            for _ in range(tries):
                if key(found) not in seen:
                    for other_key, other_seen in self.seen:
                        other_seen.add(other_key(found))
                    return found
                found = make()
            del self.seen[0]
        return found
