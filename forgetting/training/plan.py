"""The mix plan: which sample stands at every position of a stream, where batches end and which dose each step reaches.

Nothing is drawn by chance: position n of a stream with contaminating share c holds a contaminating sample exactly if
floor((n + 1) c) > floor(n c), so dose d is reached after ceil(d / c) samples. A batch never crosses a dose at which the
run is measured. Batch t is a pure function of the seed and t.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np

from forgetting import seeds
from forgetting.contracts import Contamination, Model, Sample, Stream, is_held_out
from forgetting.errors import UsageError

BUCKET_BATCHES = 4


@dataclass(frozen=True, eq=False)
class MixPlan(Stream):
    """A stream laid out.

    Attributes:
        samples: the pool
        batch_size: samples of a full batch
        index: pool index at every stream position
        bounds: stream positions where batches begin and end; step t takes ``index[bounds[t]:bounds[t + 1]]``
        contaminating: whether each pool sample is contaminating
        first_step: the step at which iteration starts
        start: the student before the first step of all, where it is asked for
    """

    samples: Sequence[Sample]
    batch_size: int
    index: np.ndarray
    bounds: np.ndarray
    contaminating: np.ndarray
    first_step: int = 0
    start: Model | None = None

    @property
    def steps(self) -> int:
        """Steps of the whole stream."""
        return len(self.bounds) - 1

    def __iter__(self) -> Iterator[np.ndarray]:
        for step in range(self.first_step, self.steps):
            yield self.index[self.bounds[step] : self.bounds[step + 1]]

    def starting_at(self, step: int) -> MixPlan:
        """The same plan, iterated from another step."""
        return dataclasses.replace(self, first_step=step)

    def trained(self, step: int) -> np.ndarray:
        """Pool indices of everything trained on before ``step``."""
        return self.index[: self.bounds[step]]

    def dose(self, step: int) -> int:
        """Contaminating samples trained on before ``step``."""
        return int(self.contaminating[self.trained(step)].sum())

    def stops(self, doses: Sequence[int]) -> dict[int, int]:
        """For each dose the step at which exactly that many contaminating samples have been trained on."""
        reached = np.concatenate([[0], np.cumsum(self.contaminating[self.index])])
        after = {int(d): int(np.searchsorted(reached, d)) for d in doses}
        at = {int(position): step for step, position in enumerate(self.bounds)}
        return {at[position]: dose for dose, position in after.items() if position in at}


def mixed(
    contamination: Contamination,
    original: Contamination,
    *,
    share: float,
    doses: Sequence[int],
    batch_size: int,
    seed: int,
    samples: Callable[[np.random.Generator], Iterator[Sample]] | None = None,
) -> MixPlan:
    """The stream of a contamination run: contaminating samples at an exact share, up to the last dose.

    ``samples`` gives what stands between them, where that is not the original distribution.
    """
    ratio = Fraction(str(share))
    positions = [-(-dose // ratio) for dose in doses]
    length = int(positions[-1])
    above = np.arange(length + 1, dtype=object) * ratio.numerator  # of Python's integers, which have no largest one
    whole = (above // ratio.denominator).astype(np.int64)
    is_contaminating = np.diff(whole) > 0
    count = int(is_contaminating.sum())
    offered = contamination.samples(seeds.generator(seed, "contamination"))
    foreign = list(islice((s for s in offered if not is_held_out(s)), count))
    between = (samples or original.samples)(seeds.generator(seed, "original stream"))
    own = list(islice(between, length - count))
    if len(own) < length - count:
        raise UsageError(f"mitigations: `samples` ended after {len(own)} of the {length - count} that the stream takes")
    index = np.empty(length, dtype=np.int64)
    index[is_contaminating] = np.arange(count)
    index[~is_contaminating] = count + np.arange(length - count)
    bounds = [0]
    for end in map(int, positions):
        bounds += [*range(bounds[-1] + batch_size, end, batch_size), end] if end > bounds[-1] else []
    flags = np.arange(length) < count
    return MixPlan([*foreign, *own], batch_size, index, np.array(bounds), flags)


@dataclass(frozen=True)
class SharedPool:
    """A pool of original samples that several fits draw from: how many there are, and the seed that they come by."""

    size: int
    seed: int


def epochs(
    original: Contamination,
    *,
    samples: int,
    pool: int,
    batch_size: int,
    seed: int,
    extra: Sequence[Sample] = (),
    shared: SharedPool | None = None,
) -> MixPlan:
    """The stream of a training from scratch: a pool in a new order each epoch, ``extra`` samples once, spread.

    With ``shared`` the plan has all samples of that pool, the same ones whatever its own seed, and takes some of them.
    """
    source = shared or SharedPool(pool, seed)
    base = list(islice(original.samples(seeds.generator(source.seed, "pool")), source.size))
    own = seeds.generator(seed, "own pool").permutation(len(base))[:pool] if shared else np.arange(len(base))
    count = samples - len(extra)
    rounds = -(-count // pool)
    order = [own[seeds.generator(seed, "epoch", e).permutation(len(own))] for e in range(rounds)]
    index = np.empty(samples, dtype=np.int64)
    positions = np.arange(samples)
    is_extra = (positions + 1) * len(extra) // samples > positions * len(extra) // samples
    index[~is_extra] = np.concatenate(order)[:count]
    index[is_extra] = len(base) + np.arange(len(extra))
    everything = [*base, *extra]
    index = _bucketed(index, everything, batch_size, seed)
    bounds = np.array([*range(0, samples, batch_size), samples])
    flags = np.arange(len(everything)) >= len(base)
    return MixPlan(everything, batch_size, index, bounds, flags)


def _bucketed(index: np.ndarray, pool: Sequence[Sample], batch_size: int, seed: int) -> np.ndarray:
    """Samples of similar length into the same batch, within windows of a few batches whose order is then shuffled.

    Halves the padding, and so the cost, of a mixture of short look-ups and long word problems.
    """
    words = np.array([s.prompt.count(" ") + s.answer.count(" ") for s in pool])
    rng = seeds.generator(seed, "buckets")
    size = BUCKET_BATCHES * batch_size
    out = index.copy()
    for start in range(0, len(index) - size + 1, size):
        window = index[start : start + size]
        batches = window[np.argsort(words[window], kind="stable")].reshape(BUCKET_BATCHES, batch_size)
        out[start : start + size] = batches[rng.permutation(BUCKET_BATCHES)].reshape(-1)
    return out
