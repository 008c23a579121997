"""The search for one target: rounds, order, stopping, failures, and a driver that is killed at every single write."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

import pytest
from optuna.storages import InMemoryStorage

from forgetting.errors import UsageError
from forgetting.study.run import Run
from forgetting.sweep.driver import Driver
from forgetting.sweep.outcomes import Made, RunOutcome
from forgetting.sweep.search_space import SweepSpace
from forgetting.sweep.sweep_spec import Method, Search, Stop
from tests.sweep.small import a_driver, a_space, made_at_once, nothing, sequence, surface, wide_space

ROUNDS = Search(round_size=4, startup_runs=4)


class Killed(BaseException):
    """The process is gone."""


class Mortal(InMemoryStorage):
    """A storage whose driver dies before or after its n-th write; what was written stays."""

    left: int | None = None
    after = False
    writes = 0

    def _write(self, name: str, *args: Any, **kwargs: Any) -> Any:
        self.writes += 1
        last = self.left == self.writes
        if last and not self.after:
            raise Killed
        written = getattr(super(), name)(*args, **kwargs)
        if last:
            raise Killed
        return written

    def create_new_trial(self, *args: Any, **kwargs: Any) -> int:
        return int(self._write("create_new_trial", *args, **kwargs))

    def set_trial_param(self, *args: Any, **kwargs: Any) -> None:
        self._write("set_trial_param", *args, **kwargs)

    def set_trial_user_attr(self, *args: Any, **kwargs: Any) -> None:
        self._write("set_trial_user_attr", *args, **kwargs)

    def set_trial_state_values(self, *args: Any, **kwargs: Any) -> bool:
        return bool(self._write("set_trial_state_values", *args, **kwargs))


def undisturbed(own: SweepSpace, search: Search, stop: Stop) -> tuple[list[Any], str, int]:
    """What a search gives, why it ended, and how many writes it took."""
    storage = Mortal()
    driver = a_driver(own, storage, search, stop)
    reason = driver.go(made_at_once(own), nothing)
    return sequence(driver), reason, storage.writes


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("method", "every"),
    [
        ("grid", 3),
        ("level_set", 20),
        pytest.param("grid", 1, marks=pytest.mark.slow),
        pytest.param("level_set", 2, marks=pytest.mark.slow),
    ],
)
def test_killed_at_any_write_and_continued_nothing_is_lost_or_done_twice(
    method: Method, every: int, after: bool
) -> None:
    own, stop = wide_space(), Stop(0.0, runs=10)
    search = Search(method=method, round_size=4, startup_runs=4)
    expected, reason, writes = undisturbed(own, search, stop)
    assert len(expected) == 10
    assert writes > 80
    for left in range(1, writes + 1, every):
        storage = Mortal()
        driver = a_driver(own, storage, search, stop)
        storage.left, storage.after = left, after
        with pytest.raises(Killed):
            driver.go(made_at_once(own), nothing)
        storage.left = None
        successor = a_driver(own, storage, search, stop)
        assert successor.go(made_at_once(own), nothing) == reason
        assert sequence(successor) == expected, f"killed at write {left}"


def test_killed_again_and_again_the_search_still_ends_the_same() -> None:
    own, stop, chance = wide_space(), Stop(0.0, runs=12), random.Random(1)
    expected, reason, writes = undisturbed(own, ROUNDS, stop)
    storage, kills = Mortal(), 0
    while True:
        storage.writes, storage.left = 0, chance.randint(1, writes // 6)
        driver = a_driver(own, storage, ROUNDS, stop)
        try:
            assert driver.go(made_at_once(own), nothing) == reason
        except Killed:
            kills += 1
        else:
            break
    assert kills >= 6
    assert sequence(driver) == expected


class Shuffled:
    """Starts runs that are done in random order, each when ``wait`` looks."""

    def __init__(self, own: SweepSpace, seed: int) -> None:
        self.own, self.chance, self.started = own, random.Random(seed), list[Run]()

    def __call__(self, keys: Sequence[Run]) -> dict[Run, Future[Made]]:
        self.started += keys
        futures: dict[Run, Future[Made]] = {key: Future() for key in keys}
        for key in self.chance.sample(list(keys), len(keys)):
            futures[key].set_result(surface(self.own, key))
        return futures


def test_in_rounds_it_does_not_matter_who_finishes_first() -> None:
    own, stop = wide_space(), Stop(0.0, runs=12)
    expected, _, _ = undisturbed(own, ROUNDS, stop)
    for seed in range(3):
        start, driver = Shuffled(own, seed), a_driver(own, search=ROUNDS, stop=stop)
        driver.go(start, nothing)
        assert sequence(driver) == expected
        assert Counter(start.started) == dict.fromkeys(start.started, 1)


def test_rounds_have_a_fixed_size() -> None:
    own, sizes = wide_space(), list[int]()
    at_once = made_at_once(own)

    def start(keys: Sequence[Run]) -> dict[Run, Future[Made]]:
        sizes.append(len(keys))
        return dict(at_once(keys))

    a_driver(own, search=Search(round_size=5, startup_runs=4), stop=Stop(0.0, runs=13)).go(start, nothing)
    assert sizes == [5, 5, 3]


def test_a_smaller_budget_is_the_beginning_of_a_larger_one() -> None:
    own = wide_space()
    small, large = (undisturbed(own, ROUNDS, Stop(0.0, runs=n))[0] for n in (8, 16))
    assert small == large[:8]
    storage = InMemoryStorage()
    a_driver(own, storage, ROUNDS, Stop(0.0, runs=8)).go(made_at_once(own), nothing)
    further = a_driver(own, storage, ROUNDS, Stop(0.0, runs=16))
    further.go(made_at_once(own), nothing)
    assert sequence(further) == large


def test_asynchronously_a_run_is_asked_for_when_one_ends() -> None:
    own, waiting, most = wide_space(), dict[Run, "Future[Made]"](), list[int]()

    def start(keys: Sequence[Run]) -> dict[Run, Future[Made]]:
        futures: dict[Run, Future[Made]] = {key: Future() for key in keys}
        waiting.update(futures)
        most.append(len(waiting))
        oldest = next(iter(waiting))
        waiting.pop(oldest).set_result(surface(own, oldest))
        return futures

    search = Search(round_size=3, startup_runs=4, asynchronous=True)
    driver = a_driver(own, search=search, stop=Stop(0.0, runs=10))
    assert driver.go(start, nothing) == "budget: 10 runs"
    assert most[0] == 3
    assert max(most) <= 3
    done = sequence(driver)
    assert len(done) == 10
    assert {state for _, _, state, _ in done} == {"COMPLETE"}
    assert len({run for _, run, _, _ in done}) == 10


def test_it_stops_when_the_interval_is_narrow_enough_and_not_before() -> None:
    own = wide_space()
    driver = a_driver(own, search=ROUNDS, stop=Stop(width_decades=0.3))
    assert driver.go(made_at_once(own), nothing).startswith("width: every interval is narrower than 0.3 decades")
    (found,) = [p.threshold for p in driver.thresholds()]
    assert found.located
    assert found.low <= 10**4.5 <= found.high
    inside = [s for s in own.students if found.low < own.capacity(s) < found.high]
    assert found.decades <= 0.3 or not inside
    assert len(driver.asked()) < len(own.points) * own.repeats
    assert len(driver.asked()) % 4 == 0


@pytest.mark.parametrize("edge", [2.0, 7.0])
def test_at_width_zero_a_threshold_outside_the_range_ends_nothing(edge: float) -> None:
    own = wide_space()
    driver = a_driver(own, search=ROUNDS, stop=Stop(width_decades=0.0, runs=20))
    assert driver.go(made_at_once(own, lambda key: surface(own, key, edge)), nothing) == "budget: 20 runs"
    soon = a_driver(own, search=ROUNDS, stop=Stop(width_decades=0.15, runs=20))
    assert soon.go(made_at_once(own, lambda key: surface(own, key, edge)), nothing).startswith("width")


def test_a_spent_budget_ends_it_between_rounds() -> None:
    own, heard = wide_space(), list[int]()
    driver = a_driver(own, search=ROUNDS, stop=Stop(0.0), spent=lambda: "budget: 2 hours" if len(heard) == 2 else "")
    assert driver.go(made_at_once(own), lambda: heard.append(1)) == "budget: 2 hours"
    assert len(driver.asked()) == 8


@pytest.mark.parametrize(
    "search", [ROUNDS, Search(round_size=1, startup_runs=4), Search(round_size=3, startup_runs=4, asynchronous=True)]
)
def test_a_run_that_fails_is_told_as_failed_and_its_point_is_left(search: Search) -> None:
    own = wide_space()

    def of(key: Run) -> Made:
        return "RuntimeError: broken" if key.student.name == "34k" else surface(own, key)

    driver = a_driver(own, search=search, stop=Stop(0.0))
    assert driver.go(made_at_once(own, of), nothing) == "every point has all its seeds"
    runs = Counter(one.point[0] for one in driver.asked())
    assert runs.pop("34k") <= 4  # one round at most had asked for it before it failed
    assert runs == dict.fromkeys([s for s in own.students if s != "34k"], own.repeats)
    failed = [one.trial for one in driver.asked() if one.trial.state.name == "FAIL"]
    assert {t.user_attrs["error"] for t in failed} == {"RuntimeError: broken"}


def test_what_was_not_learned_is_no_observation() -> None:
    own = wide_space()

    def of(key: Run) -> Made:
        return RunOutcome("not_learned", baseline=0.1) if key.student.name == "10k" else surface(own, key)

    driver = a_driver(own, search=Search(method="grid", round_size=4), stop=Stop(0.0, runs=12))
    driver.go(made_at_once(own, of), nothing)
    of_10k = [one.trial for one in driver.asked() if one.point[0] == "10k"]
    assert of_10k
    assert {t.state.name for t in of_10k} == {"FAIL"}
    assert {t.user_attrs["status"] for t in of_10k} == {"not_learned"}


def test_where_every_run_of_a_round_fails_the_first_reason_is_told() -> None:
    own = a_space()
    driver = a_driver(own, search=ROUNDS, stop=Stop(0.0))
    with pytest.raises(RuntimeError, match="no run of a round succeeded; the first said: disk on fire"):
        driver.go(made_at_once(own, lambda key: "disk on fire"), nothing)


def test_where_all_points_fail_together_nothing_is_told_and_the_same_runs_are_made_again() -> None:
    own, storage, broken = wide_space(), InMemoryStorage(), list[int]()

    def of(key: Run) -> Made:
        return "a lost node" if broken else surface(own, key)

    search, stop = Search(method="grid", round_size=4), Stop(0.0, runs=12)
    first = a_driver(own, storage, search, stop)
    with pytest.raises(RuntimeError, match="the first said: a lost node"):
        first.go(made_at_once(own, of), lambda: broken.append(1))  # from the second round on
    broken.clear()
    second = a_driver(own, storage, search, stop)
    second.go(made_at_once(own, of), nothing)
    assert sequence(second) == undisturbed(own, search, stop)[0]


def test_a_mistake_of_the_users_in_a_run_ends_the_search() -> None:
    own = a_space()

    def start(keys: Sequence[Run]) -> dict[Run, Future[Made]]:
        futures: dict[Run, Future[Made]] = {key: Future() for key in keys}
        for future in futures.values():
            future.set_exception(UsageError("store: cannot be written"))
        return futures

    with pytest.raises(UsageError, match="store: cannot be written"):
        a_driver(own, search=ROUNDS, stop=Stop(0.0)).go(start, nothing)


def test_the_trials_say_what_the_runs_showed() -> None:
    own = wide_space()
    driver: Driver = a_driver(own, search=ROUNDS, stop=Stop(0.0, runs=4))
    driver.go(made_at_once(own), nothing)
    for one in driver.asked():
        seen = surface(own, one.run)
        assert one.trial.value == pytest.approx(seen.retention - 0.5)  # the signed margin over the first level
        assert one.trial.user_attrs["retention"] == seen.retention
        assert one.trial.user_attrs["variance"] == seen.variance
        assert one.trial.user_attrs["run"] == str(one.run)
        assert one.trial.user_attrs["flops"] == own.flops(one.point)
