"""What a sweep will cost: counts by hand, operations of the grid, time that grows with runs and falls with slots."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forgetting.executors import executor_of
from forgetting.spec import Doses, Ladder, Matching, Optimiser
from forgetting.sweep.cost import _duration, _laid, _Measured, _small, estimate_cost, show
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.sweep_spec import Search, Stop, Target
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


def test_the_start_the_wait_at_the_end_of_rounds_and_the_views_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six runs of 4 s (three looks of 1 s, and 1 s) in rounds of three on two workers: 2 x (4 + 4), not 24 / 2."""
    one, zero = np.ones(3), np.full(3, 1e-9)
    measured = _Measured(np.array([4.0, 4.5, 5.0]), zero, one, one, start=7.0, views=2.0, look_bytes=1e6)
    monkeypatch.setattr("forgetting.sweep.cost._measure", lambda *_: measured)
    spec = sweep_spec(study_spec(doses=Doses(dose=80, first=40)), search=Search(round_size=3, startup_runs=2))
    with executor_of({"name": "processes", "workers": 2}) as executor:
        cost = estimate_cost(construct_sweep(spec), executor)
    assert cost.seconds == pytest.approx(7 + 2 * 8 + 2, abs=1e-3)
    assert cost.seconds_low == pytest.approx(cost.seconds_high)
    assert cost.disk_megabytes == pytest.approx(6 * 3)


@pytest.mark.parametrize(
    ("doses", "kept"),
    [(Doses(2560, first=40), (0, 40, 80, 160, 320, 640)), (Doses(160, first=40), (0, 40, 80, 160)),
     (Doses(5000, first=1000), (0, 640))],
)  # fmt: skip
def test_the_small_sweep_is_the_sweeps_own_setting_made_small(doses: Doses, kept: tuple[int, ...]) -> None:
    study = study_spec(
        doses=doses, shifts=(0.2, 1.0), mitigations=("none", "replay"), controls=("noise",), rate_multiples=(1.0, 4.0)
    )
    target = Target(levels=(0.5,), shifts=(0.2,), students=("10k", "34k"), rate_multiple=4.0)
    small = _small(sweep_spec(study, targets=(target,)), slots=3)
    whole = construct_sweep(small)
    assert small.study.doses.values() == kept
    assert (small.study.fine_tuning, small.study.evaluation) == (study.fine_tuning, study.evaluation)
    assert len(whole.study.runs()) == len(whole.spaces[0].runs) == small.stop.runs == 3 * 4  # one more than workers


def test_rates_are_not_matched_to_measure_what_a_run_costs() -> None:
    matched = Optimiser(learning_rate=4e-3, rate_policy="matched_plasticity")
    study = study_spec(fine_tuning=matched, matching=Matching(reference="20k"))
    small = construct_sweep(_small(sweep_spec(study), slots=1))
    assert not any(small.study.is_matched(arm) for arm in small.study.arms)


@pytest.mark.slow
@pytest.mark.drawn
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
