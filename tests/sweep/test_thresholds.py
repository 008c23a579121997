"""Thresholds of a target from runs: every place and level, both axes, what counts as known, and runs in a folder."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.thresholds.threshold import Threshold
from forgetting.models.ladder import architecture
from forgetting.spec import Ladder
from forgetting.stages.folder import run_folder
from forgetting.study.run import Run
from forgetting.sweep.search_space import SweepSpace
from forgetting.sweep.sweep_spec import Target
from forgetting.sweep.thresholds import Placed, Seen, arrays, estimate, estimate_both, known, observe
from tests.sweep.small import LONG_LADDER, a_space, wide_space
from tests.sweep.test_outcomes import row, scores

SHIFTS = (0.25, 0.5, 1.0)
LOCATED = {"value": 30_000.0, "low": 25_000.0, "high": 33_000.0}


def plane(own: SweepSpace, noise: float = 0.03) -> list[Seen]:
    """Every run of a surface whose .5 line is at log10 capacity 4 + .5 shift."""
    rng, found = np.random.default_rng(0), []
    for point in own.points:
        x, shift = own.coordinates(point)
        mean = 1 / (1 + math.exp(-12 * (x - 4.0 - 0.5 * shift)))
        found += [Seen(point, float(np.clip(mean + noise * rng.normal(), 0, 1)), 0.002) for _ in range(own.repeats)]
    return found


def two_axes(target: Target | None = None) -> SweepSpace:
    """Seven capacities, three shifts, three seeds."""
    return a_space(target, ladder=Ladder(students=LONG_LADDER), shifts=SHIFTS, seeds=3)


def test_one_threshold_for_each_shift_and_level() -> None:
    own = two_axes(Target(levels=(0.5, 0.8)))
    found = estimate(own, plane(own))
    assert [(p.place, p.threshold.level) for p in found] == [(s, level) for s in SHIFTS for level in (0.5, 0.8)]
    for placed in found:
        if placed.threshold.level == 0.5:
            assert placed.threshold.located
            assert placed.threshold.low <= 10 ** (4.0 + 0.5 * float(placed.place)) <= placed.threshold.high


@pytest.mark.parametrize("fresh", [True, False])
def test_seeds_of_a_sweep_are_students_only_where_they_are_fresh(fresh: bool) -> None:
    own = a_space(ladder=Ladder(students=LONG_LADDER, fresh_students=fresh), shifts=(1.0,), seeds=3)
    keys = [own.run(point, repeat) for point in own.points for repeat in range(3)]
    seen = [replace(s, distillation_seed=key.distillation_seed) for s, key in zip(plane(own), keys, strict=True)]
    threshold = estimate(own, seen)[0].threshold
    assert threshold.students == len(LONG_LADDER) * (3 if fresh else 1)
    assert (threshold.student_sd is None) is not fresh
    assert ("excludes the scatter between students" in threshold.of_students) is not fresh


def test_one_threshold_for_each_student() -> None:
    own = two_axes(Target(axis="shift", levels=(0.5,)))
    found = estimate(own, plane(own))
    assert [p.place for p in found] == list(LONG_LADDER)
    for placed in found:
        truth = 2 * (own.coordinates((str(placed.place), 1.0))[0] - 4.0)
        if placed.threshold.located:
            assert placed.threshold.low - 0.05 <= truth <= placed.threshold.high + 0.05
    assert sum(p.threshold.located for p in found) >= 2


def test_with_one_shift_it_is_the_estimate_in_one_dimension() -> None:
    own = wide_space()
    seen = plane(own)
    points, retention, variance = arrays(own, seen)
    assert points.shape == (35, 1)
    students = [one.student for one in seen]
    plain = estimate_threshold(points, retention, variance, axis="capacity", level=0.5, students=students)
    assert [p.threshold for p in estimate(own, seen)] == [plain]


def test_the_same_runs_hold_the_other_axis_where_it_has_three_points() -> None:
    own = two_axes()
    found = estimate_both(own, plane(own))
    assert [p.threshold.axis for p in found] == ["capacity"] * 3 + ["shift"] * 7
    assert [p.threshold.axis for p in estimate_both(wide_space(), plane(wide_space()))] == ["capacity"]


def test_without_a_run_there_is_too_little_data() -> None:
    own = two_axes()
    assert {p.threshold.status for p in estimate(own, [])} == {"too_little_data"}


def placed(status: str, **more: float) -> list[Placed]:
    """One threshold at shift 1."""
    return [Placed(1.0, Threshold("capacity", 0.5, status, **more))]


@pytest.mark.parametrize(
    ("found", "measured", "width", "enough"),
    [
        (placed("located", **LOCATED), LONG_LADDER, 0.15, True),  # log10(33/25) = .12
        (placed("located", **LOCATED), LONG_LADDER, 0.1, True),  # no capacity lies inside, so no run would tell
        (placed("located", value=3e4, low=1.8e4, high=6e4), LONG_LADDER, 0.15, False),
        (placed("located", value=3e4, low=1.8e4, high=6e4), LONG_LADDER, 0.6, True),
        (placed("located", value=3e4, low=2.5e4, high=math.inf), LONG_LADDER, 0.15, False),
        (placed("located", value=3e4, low=0.0, high=3.1e4), LONG_LADDER, 0.15, False),
        (placed("below_range"), LONG_LADDER, 0.15, True),
        (placed("below_range"), LONG_LADDER[1:], 0.15, False),  # the smallest was not measured
        (placed("above_range"), LONG_LADDER, 0.15, True),
        (placed("above_range"), LONG_LADDER[:-1], 0.15, False),
        (placed("too_little_data"), LONG_LADDER, 0.15, False),
        (placed("not_monotone"), LONG_LADDER, 0.15, False),
        ([], LONG_LADDER, 0.15, False),
    ],
)
def test_what_counts_as_known(found: list[Placed], measured: tuple[str, ...], width: float, enough: bool) -> None:
    seen = [Seen((student, 1.0), 0.5, 0.01) for student in measured]
    assert known(wide_space(), found, seen, width) == enough


def test_only_the_first_level_decides() -> None:
    own = a_space(Target(levels=(0.5, 0.9)), ladder=Ladder(students=LONG_LADDER))
    both = [*placed("located", **LOCATED), Placed(1.0, Threshold("capacity", 0.9, "too_little_data"))]
    assert known(own, both, [], 0.15)


def test_runs_in_the_folder_are_observations_whoever_asked_for_them(tmp_path: Path) -> None:
    own = a_space(Target(students=("10k", "20k"), levels=(0.5,)))
    keys = own.study.runs()
    for key in keys:
        folder = run_folder(tmp_path, key)
        folder.mkdir(parents=True)
        learned = key != own.run(("20k", 1.0), 1)
        scores(
            folder,
            row(0, 0.8, 1.0 if learned else None, status="ok" if learned else "not_learned"),
            row(160, 0.4, 0.5 if learned else None, status="ok" if learned else "not_learned"),
        )
    found = observe(own, keys, tmp_path)
    assert [one.point for one in found] == [("10k", 1.0), ("10k", 1.0), ("20k", 1.0)]
    assert {one.retention for one in found} == {0.5}
    stranger = Run(architecture("34k"), own.study.arms[0], own.study.runs()[0].doses, 0, 0)
    assert observe(own, [stranger], tmp_path) == []


def test_thresholds_are_plain_values_for_json() -> None:
    own = two_axes()
    for one in estimate(own, plane(own)):
        again = json.loads(json.dumps(one.to_dict()))
        assert again["place"] == one.place
        assert again["status"] == one.threshold.status
        assert (again["value"] is None) == (not one.threshold.located)
