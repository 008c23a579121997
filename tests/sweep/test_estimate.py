"""What a sweep will cost: counts by hand, operations of the grid, time that grows with runs and falls with slots."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetting.executors import executor_of
from forgetting.spec import Ladder
from forgetting.sweep.estimate import _duration, _laid, estimate_cost, show
from forgetting.sweep.spec import Stop
from forgetting.sweep.sweep import construct_sweep
from tests.sweep.small import study_spec, sweep_spec


@pytest.mark.parametrize(
    ("seconds", "slots", "wall"),
    [([], 2, 0.0), ([3.0], 2, 3.0), ([1, 2, 3], 1, 6.0), ([1, 2, 3], 2, 3.0), ([2, 2, 3], 2, 4.0), ([5, 1, 1], 3, 5.0)],
)
def test_tasks_are_laid_on_slots_the_longest_first(seconds: list[float], slots: int, wall: float) -> None:
    assert _laid(seconds, slots) == wall


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.6, "10 s"), (179.0, "179 s"), (600.0, "10.0 min"), (7200.0, "2.0 h"), (9000.0, "2.5 h")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert _duration(seconds) == text


@pytest.mark.slow
def test_the_whole_grid_is_counted_exactly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With no limit of runs there is nothing to guess: the operations are those of every run of the study."""
    study = study_spec(controls=("noise",), ladder=Ladder(students=("10k", "14k", "34k")))
    sweep = construct_sweep(sweep_spec(study, stop=Stop(0.15)))
    with executor_of("inline") as executor:
        cost = estimate_cost(sweep, executor, tmp_path / "store")
    (own,) = sweep.spaces
    assert (cost.runs, cost.grid_runs, cost.control_runs, cost.slots) == (6, 6, 6, 1)
    assert cost.missing_students == 1  # 14k is not shipped
    searched = sum(own.flops(point) * own.repeats for point in own.points) / 1e15
    assert searched < cost.petaflops < 3 * searched  # and the controls
    assert cost.seconds_low <= cost.seconds <= cost.seconds_high
    assert not any((tmp_path / "store").glob("*/model.safetensors"))  # nothing was distilled to find out
    show(cost)
    printed = capsys.readouterr().out
    assert "6 searched (the full grid has 6), 6 of controls" in printed

    few = construct_sweep(sweep_spec(study, stop=Stop(0.15, runs=2)))
    with executor_of("inline") as executor:
        less = estimate_cost(few, executor, tmp_path / "store")
    assert less.runs == 2
    assert less.petaflops < cost.petaflops
    assert less.disk_megabytes < cost.disk_megabytes
