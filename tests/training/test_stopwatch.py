"""Seconds by stage, with a clock that the test moves."""

from __future__ import annotations

import time

import pytest

import forgetting.sandbox.waiting
from forgetting.sandbox.waiting import waiting
from forgetting.training.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(time, "process_time", lambda: now[0] / 2)  # half a core
    # What earlier tests of this process waited for would be added to both ends, and rounds off in the difference.
    monkeypatch.setattr(forgetting.sandbox.waiting, "_seconds", 0.0)
    return now


def test_an_inner_stage_is_taken_out_of_the_outer_one(clock: list[float]) -> None:
    watch = Stopwatch()
    with watch("training"):
        clock[0] += 1
        with watch("evaluation"):
            clock[0] += 10
            with watch("logging"):
                clock[0] += 100
            clock[0] += 10
        with watch("checkpoint"):
            clock[0] += 1000
        clock[0] += 1
    assert watch.wall_seconds == {"training": 2, "evaluation": 20, "logging": 100, "checkpoint": 1000}
    assert sum(watch.wall_seconds.values()) == clock[0] - 100
    assert watch.processor_seconds == {stage: seconds / 2 for stage, seconds in watch.wall_seconds.items()}


def test_a_stage_adds_up_over_its_visits(clock: list[float]) -> None:
    watch = Stopwatch()
    for seconds in (1, 2, 3):
        with watch("training"):
            clock[0] += seconds
        clock[0] += 50
    assert watch.wall_seconds == {"training": 6}


def test_a_stage_within_itself_is_counted_once(clock: list[float]) -> None:
    watch = Stopwatch()
    with watch("evaluation"):
        clock[0] += 1
        with watch("evaluation"):
            clock[0] += 2
    assert watch.wall_seconds == {"evaluation": 3}


def test_a_stage_that_fails_is_counted_too(clock: list[float]) -> None:
    watch = Stopwatch()

    def fail() -> None:
        with watch("checkpoint"):
            clock[0] += 4
            raise ValueError("broken")

    with watch("training"):
        with pytest.raises(ValueError, match="broken"):
            fail()
        clock[0] += 1
    assert watch.wall_seconds == {"training": 1, "checkpoint": 4}


def test_what_is_not_kept_is_taken_from_every_stage(clock: list[float]) -> None:
    watch = Stopwatch()
    for stage, seconds in (("training", 8), ("evaluation", 4)):
        with watch(stage):
            clock[0] += seconds
    watch.keep(0.75)
    with watch("training"):
        clock[0] += 1
    assert watch.wall_seconds == {"training": 7, "evaluation": 3}
    assert watch.processor_seconds == {"training": 3.5, "evaluation": 1.5}


def test_waiting_for_a_grader_in_another_process_counts_beside_the_processors_own_seconds(clock: list[float]) -> None:
    watch = Stopwatch()
    with watch("evaluation"):
        clock[0] += 4
        with waiting():
            clock[0] += 10
    assert watch.wall_seconds == {"evaluation": 14}
    assert watch.processor_seconds == {"evaluation": 2 + 10}  # of the 10 this process itself took 5
