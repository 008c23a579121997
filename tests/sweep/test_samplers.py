"""The samplers of a search: grid and random visit every run once, the level-set one keeps to seeds and to the edge."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from forgetting.sweep.samplers import InOrder, distributions, level_set, sampler
from forgetting.sweep.sweep_spec import Method, Search, Stop
from tests.sweep.small import a_driver, a_space, made_at_once, nothing, surface, wide_space

SHIFTS = (1.0, 0.5)


def asked(method: Method, seed: int = 0, **changes: object) -> list[tuple[str, float]]:
    """The points that a search to the end of all seeds asks for, in order."""
    own = a_space(shifts=SHIFTS, seeds=3, **changes)
    driver = a_driver(own, search=Search(method=method, round_size=4, startup_runs=4, seed=seed), stop=Stop(0.0))
    assert driver.go(made_at_once(own), nothing) == "every point has all its seeds"
    return [one.point for one in driver.asked()]


@pytest.mark.parametrize("method", ["level_set", "grid", "random"])
def test_to_the_end_every_run_is_asked_for_once(method: Method) -> None:
    own = a_space(shifts=SHIFTS, seeds=3)
    assert Counter(asked(method)) == dict.fromkeys(own.points, 3)


def test_the_grid_goes_over_all_points_once_before_the_second_seed() -> None:
    own = a_space(shifts=SHIFTS, seeds=3)
    assert asked("grid") == [*own.points] * 3


def test_random_is_another_order_for_another_seed_and_the_same_for_the_same() -> None:
    assert asked("random", 0) == asked("random", 0)
    assert asked("random", 0) != asked("random", 1)


def test_the_parameters_are_choices_of_the_space() -> None:
    own = a_space(shifts=SHIFTS)
    found = distributions(own)
    assert found["student"].choices == own.students
    assert found["shift"].choices == own.shifts


def test_only_the_level_set_search_has_hold_outs() -> None:
    own = a_space()
    assert isinstance(sampler(own, Search(method="grid")), InOrder)
    holdouts = [n for n in range(400) if level_set(own, Search(startup_runs=4)).is_holdout(n)]
    assert min(holdouts) >= 4
    assert 0.12 < len(holdouts) / 396 < 0.28
    assert not any(level_set(own, Search(holdout_share=0.0)).is_holdout(n) for n in range(400))


def test_the_level_set_search_goes_to_the_edge() -> None:
    """Of 7 capacities the edge lies between the fourth and the fifth; the grid gives those two 2 of 7 of its runs."""
    own = wide_space()
    share = []
    for seed in range(5):
        driver = a_driver(own, search=Search(round_size=2, startup_runs=4, seed=seed), stop=Stop(0.0, runs=18))
        driver.go(made_at_once(own, lambda key: surface(own, key, edge=4.6)), nothing)
        chosen = [one.point[0] for one in driver.asked()][4:]
        share.append(np.mean([student in ("34k", "50k") for student in chosen]))
    assert np.mean(share) > 3 / 7
