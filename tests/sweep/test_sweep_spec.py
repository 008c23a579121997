"""A sweep as data: what cannot be is refused when it is made, and YAML gives back what it was written from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forgetting.errors import UsageError
from forgetting.study import spec_files
from forgetting.sweep.sweep_spec import Search, Stop, SweepSpec, Target
from tests.sweep.small import sweep_spec, write_spec


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Target(axis="capcity"), "axis: unknown name 'capcity'; did you mean 'capacity'"),  # type: ignore[arg-type]
        (lambda: Target(dose=-1), "dose: must be 0 (the last dose) or more"),
        (lambda: Target(levels=()), "levels: must be at least one level"),
        (lambda: Target(levels=(0.0,)), "levels: must be above 0 and below 1"),
        (lambda: Target(levels=(1.0,)), "levels: must be above 0 and below 1"),
        (lambda: Target(levels=(0.5, 0.5)), "levels: must be free of repeats"),
        (lambda: Target(students=("10k", "10k")), "students: must be free of repeats"),
        (lambda: Target(shifts=(1.0, 1.0)), "shifts: must be free of repeats"),
        (lambda: Search(method="levelset"), "method: unknown name 'levelset'; did you mean 'level_set'"),  # type: ignore[arg-type]
        (lambda: Search(round_size=0), "round_size: must be at least 1"),
        (lambda: Search(startup_runs=1), "startup_runs: must be at least 2"),
        (lambda: Search(holdout_share=1.0), "holdout_share: must be from 0 to below 1"),
        (lambda: Search(seed=-1), "seed: must be 0 or more"),
        (lambda: Stop(width_decades=-0.1), "width_decades: must be a finite number, 0 or more"),
        (lambda: Stop(hours=float("inf")), "hours: must be a finite number, 0 or more"),
        (lambda: Stop(petaflops=float("nan")), "petaflops: must be a finite number, 0 or more"),
        (lambda: Stop(runs=-1), "runs: must be 0 (no limit) or more"),
        (lambda: SweepSpec(targets=()), "targets: must be at least one"),
    ],
)
def test_what_cannot_be(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(UsageError) as raised:
        make()
    assert words in str(raised.value)


@pytest.mark.parametrize(
    "spec",
    [
        SweepSpec(),
        sweep_spec(),
        sweep_spec(
            targets=(Target(axis="shift", levels=(0.9, 0.3), shifts=(0.5, 1.0), students=("10k",)), Target()),
            search=Search(method="grid", round_size=7, asynchronous=True),
            stop=Stop(width_decades=0.0, petaflops=1.5, hours=2.0),
            storage="sqlite:///sweep.db",
            executor={"name": "processes", "workers": 3},
        ),
    ],
)
def test_yaml_gives_back_what_it_was_written_from(spec: SweepSpec, tmp_path: Path) -> None:
    file = write_spec(tmp_path / "sweep.yaml", spec)
    assert spec_files.built_from(SweepSpec, spec_files.read_mapping(file)) == spec


@pytest.mark.parametrize("file", sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml")), ids=lambda p: p.name)
def test_every_sweep_here_can_be_constructed(file: Path) -> None:
    from forgetting.sweep.layout import construct_sweep

    spec = spec_files.built_from(SweepSpec, spec_files.read_mapping(file))
    whole = construct_sweep(spec)
    assert len(whole.spaces) == len(spec.targets)
    assert all(own.points for own in whole.spaces)
