"""How much of a generator's answers no student can know: settings in, nats of an answer given its prompt out.

Divided by the mean number of answer tokens, the end among them, it is the floor of NLL on that source.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import cache
from itertools import product

from forgetting.world import code, noise
from forgetting.world.code_operations import OPERATIONS
from forgetting.world.splits import SHARES

MOST_COUNTED = 100  # problems of a template that are told apart by split one by one; of more, the share is close enough


def of_counts(counts: Iterable[float]) -> float:
    """Entropy, in nats, of a draw from things that occur so often."""
    known = [count for count in counts if count > 0]
    total = math.fsum(known)
    return -math.fsum(c / total * math.log(c / total) for c in known)


@cache
def of_programs(depth: int) -> float:
    """Nats of a training program whose header alone is known; ``depth`` 0 is the mixture of the benchmark."""
    if not depth:
        within = (share * of_programs(d) for d, share in enumerate(code.DEPTH_SHARES, 1))
        return of_counts(code.DEPTH_SHARES) + math.fsum(within)
    templates: defaultdict[tuple[str, ...], float] = defaultdict(float)
    for pools, share in code.pools_of(depth):
        for operations in product(*pools):
            if code.is_sensible(operations):
                templates[operations] += share / math.prod(map(len, pools))
    constants = {operations: _in_training(operations) for operations in templates}
    drawn = {o: share * constants[o][1] for o, share in templates.items()}
    total = math.fsum(drawn.values())
    within = (p / total * math.log(constants[o][0]) for o, p in drawn.items() if p)
    return of_counts(drawn.values()) + math.fsum(within)


def _in_training(operations: tuple[str, ...]) -> tuple[float, float]:
    """How many problems with these operations training has, and which share of all that is."""
    places = [code.CONSTANTS if OPERATIONS[name].takes_constant else (0,) for name in operations]
    every = math.prod(map(len, places))
    if every > MOST_COUNTED:
        return every * SHARES[0], SHARES[0]
    problems = (code.CodeProblem(tuple(zip(operations, constants, strict=True))) for constants in product(*places))
    found = sum(problem.split() == "train" for problem in problems)
    return found, found / every


@cache
def of_noise(profile: str) -> tuple[float, float]:
    """Nats of a noise answer whose prompt is known, its end included, and its mean number of tokens."""
    a_word = of_counts(Counter(noise.pool(profile)).values())
    pairs = noise.lengths()
    ends = of_counts(Counter(pairs).values()) - of_counts(Counter(prompt for prompt, _ in pairs).values())
    words = math.fsum(answer for _, answer in pairs) / len(pairs)
    return words * a_word + ends, words + 1
