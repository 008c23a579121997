"""Named random streams: functions of seed and roles, and of nothing else."""

from __future__ import annotations

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from forgetting import seeds

role = st.one_of(st.text(max_size=8), st.integers(-5, 5))
roles = st.lists(role, max_size=3)


@settings(max_examples=50)
@given(st.integers(0, 2**63 - 1), roles)
def test_equal_names_are_equal_streams(seed: int, names: list[str | int]) -> None:
    one, other = seeds.generator(seed, *names), seeds.generator(seed, *names)
    assert one.integers(0, 2**63, 5).tolist() == other.integers(0, 2**63, 5).tolist()
    assert seeds.integer(seed, *names) == seeds.integer(seed, *names)
    assert 0 <= seeds.integer(seed, *names) < 2**63


def test_values_stay_what_they_are() -> None:
    """Every number of every record depends on these: a change here is a change of all results."""
    assert seeds.integer(0) == 3756213618097445030
    assert seeds.integer(0, "stream") == 5244351530672254340
    assert seeds.integer(7, "student", 3) == 4225209937904338463


def test_seeds_and_roles_that_differ_give_streams_that_differ() -> None:
    names: list[tuple[str | int, ...]] = [(), ("a",), ("b",), ("a", "b"), ("ab",), ("a", 1), ("a", 2), (1,), (2,)]
    found = [seeds.integer(seed, *n) for seed, n in itertools.product(range(20), names)]
    assert len(set(found)) == len(found)


def test_neighbouring_seeds_are_independent() -> None:
    draws = np.array([seeds.generator(seed, "spread").random(200) for seed in range(40)])
    assert stats.kstest(draws.ravel(), "uniform").pvalue > 0.001
    correlations = np.corrcoef(draws)[np.triu_indices(40, 1)]
    assert np.abs(correlations).max() < 0.35
    assert abs(correlations.mean()) < 0.02


def test_the_global_generator_is_left_alone() -> None:
    state = np.random.get_state(legacy=True)
    seeds.generator(3, "a").random(5)
    assert np.array_equal(np.random.get_state(legacy=True)[1], state[1])
