"""What a sweep will cost: counts by hand, operations of the grid, time that grows with runs and falls with slots."""

from __future__ import annotations

from pathlib import Path

import pytest

from forgetting.executors import executor_of
from forgetting.record.store import Store
from forgetting.spec import Doses, Fit, Ladder, Matching, Optimiser, Until
from forgetting.sweep.cost import _duration, estimate_cost, show
from forgetting.sweep.layout import construct_sweep
from forgetting.sweep.pace import Pace, TeachingPace, at, laid, small_sweep
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target
from tests.sweep.small import study_spec, sweep_spec

FREE = {5_000: 1e-9, 1_000_000: 1e-9}  # seconds by size
SECOND = dict.fromkeys(FREE, 1.0)


@pytest.mark.parametrize(
    ("seconds", "slots", "wall"),
    [([], 2, 0.0), ([3.0], 2, 3.0), ([1, 2, 3], 1, 6.0), ([1, 2, 3], 2, 3.0), ([2, 2, 3], 2, 4.0), ([5, 1, 1], 3, 5.0)],
)
def test_tasks_are_laid_on_slots_the_longest_first(seconds: list[float], slots: int, wall: float) -> None:
    assert laid(seconds, slots) == wall


@pytest.mark.parametrize(
    ("seconds", "text"), [(9.6, "10 s"), (179.0, "179 s"), (600.0, "10.0 min"), (7200.0, "2.0 h"), (9000.0, "2.5 h")]
)
def test_durations_in_words(seconds: float, text: str) -> None:
    assert _duration(seconds) == text


def test_the_start_the_wait_at_the_end_of_rounds_and_the_views_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Six runs of 4 s (three looks of 1 s, and 1 s) in rounds of three on two workers: 2 x (4 + 4), not 24 / 2."""
    measured = Pace(FREE, SECOND, SECOND, start=7.0, views=2.0, look_bytes=1e6)
    monkeypatch.setattr("forgetting.sweep.cost.measure", lambda *_: measured)
    spec = sweep_spec(study_spec(doses=Doses(dose=80, first=40)), search=Search(round_size=3, startup_runs=2))
    with executor_of({"name": "processes", "workers": 2}) as executor:
        cost = estimate_cost(construct_sweep(spec), executor)
    assert cost.seconds == pytest.approx(7 + 2 * 8 + 2, abs=1e-3)
    assert cost.seconds_low == pytest.approx(cost.seconds_high)
    assert cost.disk_megabytes == pytest.approx(6 * 3)


def test_seconds_between_sizes_and_beyond_them() -> None:
    """Between 10 and 40 thousand the geometric mean of both; beyond, a step of N costs as N + 40,000 parameters do."""
    known = {10_000: 1.0, 40_000: 4.0}
    assert [at(known, size) for size in (10_000, 20_000, 40_000)] == pytest.approx([1, 2, 4])
    assert at(known, 120_000) == pytest.approx(4 * 160 / 80)


def _distilling(monkeypatch: pytest.MonkeyPatch, spec: SweepSpec, lessons: TeachingPace, store: Path) -> float:
    """Seconds of a sweep on one worker, in which nothing costs anything but looks of a second and lessons."""
    measured = Pace(FREE, SECOND, FREE, start=0.0, views=0.0, look_bytes=1.0, lessons=lessons)
    monkeypatch.setattr("forgetting.sweep.cost.measure", lambda *_: measured)
    with executor_of("inline") as executor:
        return estimate_cost(construct_sweep(spec), executor, store).seconds


def test_students_are_counted_with_their_checks_and_the_pool_that_is_written_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four students: 640 samples at .01 s, 500 of the pool at .02 s, 2 checks of half a look, a look when stored."""
    until = Until(benchmark={"name": "maths", "items_per_depth": 4}, every=5)
    fit = Fit(samples=640, pool=300, shared_pool=500, until=until)
    ladder = Ladder(students=("14k", "50k"), fresh_students=True, distilling=fit)
    spec = sweep_spec(study_spec(ladder=ladder, doses=Doses(dose=80, first=40)), stop=Stop(runs=4))
    lessons = TeachingPace(({10_000: 0.01, 1_000_000: 0.01},), pooled=0.02, written=0.1)
    once = 4 * 3 + 500 * 0.1  # three looks a run
    assert _distilling(monkeypatch, spec, lessons, tmp_path) == pytest.approx(once + 4 * (6.4 + 10 + 1 + 1), abs=0.01)


def test_rates_that_are_matched_take_pilots_on_students_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two students of the study and two of the pilots, a look each when they are stored, where all else is free."""
    ladder = Ladder(students=("14k", "50k"), fresh_students=True, distilling=Fit(samples=64, pool=64))
    matched = Optimiser(learning_rate=4e-3, rate_policy="matched_plasticity")
    study = study_spec(ladder=ladder, fine_tuning=matched, seeds=1, doses=Doses(dose=80, first=40))
    lessons, spec = TeachingPace((FREE,), 0.0, 0.0), sweep_spec(study, stop=Stop(runs=2))
    assert _distilling(monkeypatch, spec, lessons, tmp_path) == pytest.approx(2 * 3 + 4, abs=0.01)


def test_a_run_that_two_targets_ask_for_is_made_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    study = study_spec(doses=Doses(dose=80, first=40), shifts=(0.5, 1.0))
    targets = (Target(levels=(0.5,), shifts=(1.0,)), Target(levels=(0.5,), dose=40, shifts=(1.0,)))
    seconds = [
        _distilling(monkeypatch, sweep_spec(study, targets=targets[:count]), TeachingPace((FREE,), 0.0, 0.0), tmp_path)
        for count in (1, 2)
    ]
    assert seconds == pytest.approx([6 * 3, 6 * 3], abs=0.01)


@pytest.mark.parametrize(
    ("doses", "kept"),
    [(Doses(2560, first=40), (0, 40, 80, 160, 320, 640)), (Doses(160, first=40), (0, 40, 80, 160)),
     (Doses(5000, first=1000), (0, 640))],
)  # fmt: skip
def test_the_small_sweep_is_the_sweeps_own_setting_made_small(
    doses: Doses, kept: tuple[int, ...], tmp_path: Path
) -> None:
    study = study_spec(
        doses=doses, shifts=(0.2, 1.0), mitigations=("none", "replay"), controls=("noise",), rate_multiples=(1.0, 4.0)
    )
    target = Target(levels=(0.5,), shifts=(0.2,), students=("10k", "34k"), rate_multiple=4.0)
    small = small_sweep(construct_sweep(sweep_spec(study, targets=(target,))), 3, Store(tmp_path))
    whole = construct_sweep(small)
    assert small.study.doses.values() == kept
    assert (small.study.fine_tuning, small.study.evaluation) == (study.fine_tuning, study.evaluation)
    assert len(whole.study.runs()) == len(whole.spaces[0].runs) == small.stop.runs == 3 * 4  # one more than workers


@pytest.mark.parametrize(("students", "own"), [(("10k", "34k", "100k"), True), (("34k",), False)])
def test_students_that_are_there_are_taken_if_there_are_several(
    students: tuple[str, ...], own: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One student has no threshold in capacity, whatever the sweep asks."""
    monkeypatch.setattr("forgetting.sweep.pace._is_there", lambda *_: [True])
    study = study_spec(ladder=Ladder(students=students), shifts=(0.2, 1.0))
    target = Target(axis="shift", levels=(0.5,), students=students)
    small = small_sweep(construct_sweep(sweep_spec(study, targets=(target,))), 1, Store(tmp_path))
    assert (small.study.ladder.students == students) is own
    assert construct_sweep(small).study.runs()


def test_rates_are_not_matched_to_measure_what_a_run_costs(tmp_path: Path) -> None:
    matched = Optimiser(learning_rate=4e-3, rate_policy="matched_plasticity")
    study = study_spec(fine_tuning=matched, matching=Matching(reference="20k"))
    small = construct_sweep(small_sweep(construct_sweep(sweep_spec(study)), 1, Store(tmp_path)))
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
