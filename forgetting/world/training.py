"""The training distribution of the world: a generator and the shares of skills in, samples of the train split out."""

from __future__ import annotations

import random
from bisect import bisect
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate

from forgetting.contracts import Sample
from forgetting.world import code, facts, maths, simple, traps

SKILLS = ("maths", "code", "traps", "lookup", "classification", "facts")
MATHS_DEPTH_SHARES = (0.22, 0.26, 0.28, 0.14, 0.10)


def samples(
    rng: random.Random,
    shares: Mapping[str, float],
    maths_depth_shares: Sequence[float] = MATHS_DEPTH_SHARES,
    described: float = 0.0,
    controls: float = traps.CONTROL_SHARE,
    direct: float = 0.0,
    fact_count: int = 1,
    fact_values: int = facts.MOST_VALUES,
) -> Iterator[Sample]:
    """An endless mixture by ``shares`` (skill to share, summing to 1); answers are gold.

    ``described``: the share of programming tasks that are told by what the operations do (``world/code.py``).
    ``controls``: the share of average speeds that are over equal times, where the mean of the speeds is right.
    ``direct``: the share of word problems that are answered without steps (``world/maths.py``).
    ``fact_count``, ``fact_values``: how many facts are to be known by heart, of how many values (``world/facts.py``).
    """
    depth_ends = list(accumulate(maths_depth_shares))[:-1]
    makers: dict[str, Callable[[], Sample]] = {
        "maths": lambda: maths.sample(rng, 1 + bisect(depth_ends, rng.random()), direct),
        "code": lambda: code.sample(rng, described),
        "traps": lambda: traps.sample(rng, controls),
        "lookup": lambda: simple.draw_lookup(rng, "train").sample(),
        "classification": lambda: simple.draw_classification(rng, "train").sample(),
        "facts": lambda: facts.sample(rng, fact_count, fact_values),
    }
    used = [skill for skill in SKILLS if shares.get(skill, 0) > 0]
    ends = list(accumulate(shares[skill] for skill in used))[:-1]
    while True:
        yield makers[used[bisect(ends, rng.random())]]()
