"""The mix plan: exact doses, even spread, batches that never cross a dose, a stream that is a function of its seed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from itertools import islice

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import seeds
from forgetting.contracts import Sample, is_held_out
from forgetting.training.plan import BUCKET_BATCHES, MixPlan, SharedPool, epochs, mixed
from tests.contracts.small import Numbered

FOREIGN, OWN = Numbered("foreign"), Numbered("own")
shares = st.one_of(
    st.sampled_from([1.0, 0.5, 0.2, 0.05, 0.95, 0.99, 0.01, 1 / 3, 0.1 + 0.2, 0.9 * (1 - 0.05)]),
    st.fractions(Fraction(1, 40), 1, max_denominator=60).map(float),
)
dose_lists = st.lists(st.integers(1, 90), min_size=1, max_size=5, unique=True).map(lambda d: (0, *sorted(d)))
quick = settings(max_examples=30, deadline=None)


def plan_of(share: float, doses: Sequence[int], batch_size: int = 7, seed: int = 0) -> MixPlan:
    return mixed(FOREIGN, OWN, share=share, doses=doses, batch_size=batch_size, seed=seed)


def stream(plan: MixPlan) -> list[Sample]:
    """The samples in the order in which they are trained on."""
    return [plan.samples[i] for batch in plan for i in batch]


@quick
@given(shares, dose_lists, st.integers(1, 40))
def test_every_dose_is_reached_exactly_and_at_the_end_of_a_batch(
    share: float, doses: tuple[int, ...], batch_size: int
) -> None:
    plan, ratio = plan_of(share, doses, batch_size), Fraction(str(share))
    stops = plan.stops(doses)
    assert sorted(stops.values()) == list(doses)
    assert list(stops) == sorted(stops)
    for step, dose in stops.items():
        trained = plan.trained(step)
        assert plan.dose(step) == dose
        assert len(trained) == math.ceil(dose / ratio)
        assert sum(plan.samples[i].skill == "foreign" for i in trained) == dose
    assert max(stops) == plan.steps
    assert plan.stops([0]) == {0: 0}


@quick
@given(shares, dose_lists, st.integers(1, 40))
def test_the_stream_is_cut_into_batches_without_gap_or_overlap(
    share: float, doses: tuple[int, ...], batch_size: int
) -> None:
    plan = plan_of(share, doses, batch_size)
    batches = list(plan)
    assert len(batches) == plan.steps
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert np.concatenate(batches).tolist() == plan.index.tolist()
    ends = {int(plan.bounds[step]) for step in plan.stops(doses)}
    assert all(len(b) == batch_size or int(plan.bounds[step + 1]) in ends for step, b in enumerate(batches))


@quick
@given(shares, dose_lists)
def test_contaminating_samples_are_spread_evenly(share: float, doses: tuple[int, ...]) -> None:
    """Any stretch of n positions holds n times the share of them, rounded down or up; position n is the formula's."""
    plan, ratio = plan_of(share, doses), Fraction(str(share))
    flags = plan.contaminating[plan.index]
    assert flags.tolist() == [(n + 1) * ratio // 1 > n * ratio // 1 for n in range(len(flags))]
    count = np.concatenate([[0], np.cumsum(flags)])
    for width in {1, len(flags) // 3, len(flags) // 2, len(flags)}:
        inside = count[width:] - count[: len(count) - width]
        assert math.floor(width * ratio) <= inside.min() and inside.max() <= math.ceil(width * ratio)


@quick
@given(shares, dose_lists, st.integers(0, 5))
def test_every_sample_is_used_once_and_in_its_sources_order(share: float, doses: tuple[int, ...], seed: int) -> None:
    plan = plan_of(share, doses, seed=seed)
    found = stream(plan)
    for source, role in (("foreign", "contamination"), ("own", "original stream")):
        prompts = [s.prompt for s in found if s.skill == source]
        offered = (s for s in (FOREIGN if source == "foreign" else OWN).samples(seeds.generator(seed, role)))
        wanted = (s.prompt for s in offered if source == "own" or not is_held_out(s))
        assert prompts == list(islice(wanted, len(prompts)))
    assert len(plan.samples) == len(found)


@quick
@given(shares, dose_lists, st.integers(0, 5), st.data())
def test_the_stream_is_a_pure_function_of_the_seed(
    share: float, doses: tuple[int, ...], seed: int, data: st.DataObject
) -> None:
    plan, again = plan_of(share, doses, seed=seed), plan_of(share, doses, seed=seed)
    assert stream(plan) == stream(again)
    assert stream(plan) != stream(plan_of(share, doses, seed=seed + 1))
    start = data.draw(st.integers(0, plan.steps))
    rest = list(plan.starting_at(start))
    assert all(np.array_equal(a, b) for a, b in zip(rest, list(plan)[start:], strict=True))
    assert all(np.array_equal(a, b) for a, b in zip(plan, again, strict=True))


@quick
@given(shares, st.integers(1, 60), st.integers(1, 60), st.integers(0, 3))
def test_a_longer_run_begins_like_a_shorter_one(share: float, dose: int, more: int, seed: int) -> None:
    short, long = plan_of(share, (0, dose), seed=seed), plan_of(share, (0, dose, dose + more), seed=seed)
    assert stream(long)[: len(stream(short))] == stream(short)
    assert long.stops((0, dose)) == short.stops((0, dose))


def test_shares_that_binary_fractions_miss() -> None:
    """1 in 10 is one in ten, whatever 0.1 is in memory; at share .3 dose 3 takes 10 samples."""
    assert plan_of(0.1, (0, 1, 2, 3)).bounds.tolist() == [0, 7, 10, 17, 20, 27, 30]
    assert len(plan_of(0.3, (0, 3)).index) == 10
    assert plan_of(0.3, (0, 3)).contaminating[plan_of(0.3, (0, 3)).index].nonzero()[0].tolist() == [3, 6, 9]
    assert plan_of(1.0, (0, 20)).contaminating.all()


@quick
@given(
    pool=st.integers(1, 60),
    rounds=st.integers(1, 4),
    rest=st.integers(0, 59),
    batch_size=st.integers(1, 16),
    extra=st.integers(0, 30),
    seed=st.integers(0, 5),
)
def test_epochs_cover_the_pool_and_every_extra_sample_once(
    pool: int, rounds: int, rest: int, batch_size: int, extra: int, seed: int
) -> None:
    added = [Sample(f"extra {i}", "x", "extra", 0, "extra") for i in range(extra)]
    count = pool * rounds + rest % pool
    plan = epochs(OWN, samples=count + extra, pool=pool, batch_size=batch_size, seed=seed, extra=added)
    found = stream(plan)
    assert len(found) == count + extra
    assert sorted(s.prompt for s in found if s.skill == "extra") == sorted(s.prompt for s in added)
    times = Counter(s.prompt for s in found if s.skill == "own")
    assert len(times) == pool
    assert set(times.values()) <= {rounds, rounds + 1}
    assert sum(times.values()) == count
    assert all(len(batch) == batch_size for batch in list(plan)[:-1])
    assert plan.dose(plan.steps) == extra


@quick
@given(pool=st.integers(1, 50), batch_size=st.integers(1, 8), extra=st.integers(0, 40), seed=st.integers(0, 5))
def test_wherever_a_window_of_batches_ends_the_pool_was_covered_evenly(
    pool: int, batch_size: int, extra: int, seed: int
) -> None:
    """Length buckets reorder inside windows only: at their ends all samples have come equally often, or once more."""
    added = [Sample(f"extra {i}", "x", "extra", 0, "extra") for i in range(extra)]
    total = 3 * pool + extra
    plan = epochs(OWN, samples=total, pool=pool, batch_size=batch_size, seed=seed, extra=added)
    found = stream(plan)
    for end in range(0, total, BUCKET_BATCHES * batch_size):
        before = Counter(s.prompt for s in found[:end] if s.skill == "own")
        times = [before[f"own {place}"] for place in range(pool)]
        assert max(times) - min(times) <= 1
        assert end * extra // total == sum(s.skill == "extra" for s in found[:end])


def test_epochs_differ_in_order_and_equal_seeds_do_not() -> None:
    plan = epochs(OWN, samples=120, pool=40, batch_size=10, seed=3)
    order = plan.index.reshape(3, 40).tolist()
    assert [sorted(epoch) for epoch in order] == [list(range(40))] * 3
    assert order[0] != order[1] != order[2]
    assert plan.index.tolist() == epochs(OWN, samples=120, pool=40, batch_size=10, seed=3).index.tolist()
    assert plan.index.tolist() != epochs(OWN, samples=120, pool=40, batch_size=10, seed=4).index.tolist()
    assert [b.tolist() for b in plan.starting_at(5)] == [b.tolist() for b in list(plan)[5:]]


def test_batches_of_the_pool_hold_samples_of_like_length() -> None:
    """Within a window the padding is less than without the buckets."""

    def width(sample: Sample) -> int:
        return len(sample.answer.split())

    plan = epochs(OWN, samples=640, pool=640, batch_size=16, seed=0)
    padded = sum(len(b) * max(width(plan.samples[i]) for i in b) for b in plan)
    unsorted = sum(16 * max(width(plan.samples[i]) for i in range(k, k + 16)) for k in range(0, 640, 16))
    assert padded < unsorted


@pytest.mark.parametrize("samples", [1, 39, 40, 41])
def test_a_stream_that_is_shorter_or_longer_than_its_pool(samples: int) -> None:
    plan = epochs(OWN, samples=samples, pool=40, batch_size=16, seed=0)
    assert sum(map(len, plan)) == samples
    assert set(Counter(plan.index.tolist()).values()) <= {1, 2}


def test_students_of_a_shared_pool_have_its_samples_and_each_draws_its_own() -> None:
    """The pool is the same whatever a plan's seed, so that a teacher writes its answers once."""
    own = [epochs(OWN, samples=200, pool=50, batch_size=10, seed=seed, shared=SharedPool(80, 7)) for seed in (3, 3, 4)]
    assert own[0].samples == own[2].samples and len(own[0].samples) == 80
    taken = [set(plan.index.tolist()) for plan in own]
    assert all(len(one) == 50 for one in taken) and taken[0] != taken[2]
    assert own[0].index.tolist() == own[1].index.tolist() != own[2].index.tolist()
    counts = np.bincount(own[0].index, minlength=80)
    assert set(counts) == {0, 4}  # each of its own in every epoch
