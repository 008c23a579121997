"""Facts to be known by heart: how many and of how many values in, the facts out; they are there to fill students.

A fact tells whose some things are: ``ann : 17 red pens ?`` is answered ``bob kim ned``. Owners are drawn once for all,
each name by itself, so nothing but memory tells them and their bits are known: ``OWNERS`` times log2 of the values.
With one value all things have the same owners: prompts, words and exposures are those of facts, the bits are 0.
The facts themselves are in training by necessity (nobody can know a fact unseen); what is split is the question, (fact,
asker).
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from functools import lru_cache
from itertools import product

from forgetting.contracts import Sample, Split
from forgetting.world.splits import from_seed
from forgetting.world.vocabulary import COLOURS, NAMES, NUMBERS, OBJECTS

OWNERS = 3
MOST_FACTS, MOST_VALUES = len(NUMBERS) * len(COLOURS) * len(OBJECTS), len(NAMES)
HELD_OUT = 2  # askers of each fact that ask in the test split, and as many in the validation split


@dataclass(frozen=True, slots=True)
class KnownFact:
    """Whose some things are, and who asks for them in which split."""

    things: str
    owners: tuple[str, ...]
    askers: tuple[str, ...]

    def asking(self, split: Split) -> tuple[str, ...]:
        """The names that ask in a split."""
        first = {"test": 0, "validation": HELD_OUT, "train": 2 * HELD_OUT}[split]
        return self.askers[first : None if split == "train" else first + HELD_OUT]

    def canonical(self, asker: str) -> str:
        """The question."""
        return f"facts:{self.things}:{asker}"

    def sample(self, asker: str) -> Sample:
        """``ann : 17 red pens ?`` with its answer."""
        return Sample(f"{asker} : {self.things} ?", " ".join(self.owners), "facts", 1, "owners")


def bits(values: int) -> float:
    """What one fact tells, where each owner is one of so many."""
    return OWNERS * math.log2(values)


@lru_cache(maxsize=16)
def known_facts(count: int, values: int) -> tuple[KnownFact, ...]:
    """The first facts of the world, the same ones always; fewer facts are among more, in the same order."""
    rng = from_seed(0, "world/facts")
    keys = [" ".join(words) for words in product(NUMBERS, COLOURS, OBJECTS)]
    rng.shuffle(keys)
    found = []
    for things in keys[:count]:
        owners = tuple(NAMES[int(rng.random() * values)] for _ in range(OWNERS))
        found.append(KnownFact(things, owners, tuple(rng.sample(NAMES, len(NAMES)))))
    return tuple(found)


def sample(rng: random.Random, count: int, values: int) -> Sample:
    """A training sample: any of the facts, asked for by one of those who ask in training."""
    facts = known_facts(count, values)
    fact = facts[int(rng.random() * len(facts))]
    asking = fact.asking("train")
    return fact.sample(asking[int(rng.random() * len(asking))])
