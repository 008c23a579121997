"""The spec as data: checks, doses, YAML and back, and the defaults in the file that a new user reads."""

from __future__ import annotations

import dataclasses
import itertools
import json
import typing
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import settings as running
from hypothesis import strategies as st

from forgetting import Doses, Evaluation, Fit, Ladder, Optimiser, Spec
from forgetting.errors import UsageError
from forgetting.study import settings, spec_files

EXPERIMENTS = Path(__file__).parents[1] / "experiments"

RICH = Spec(
    name="rich",
    ladder=Ladder(students=("20k", "1m"), teaching=Fit(samples=10, betas=(0.8, 0.9)), original={"name": "original"}),
    contaminations=("noise", {"name": "altered_syntax", "form": "marked"}),
    shifts=(1.0, 0.05),
    mitigations=("none", {"name": "l2_sp", "strength": 1e-3}),
    controls=("sham", "joint"),
    doses=Doses(dose=160, spacing="linear", first=40),
    fine_tuning=Optimiser(learning_rate=1e-5),
    evaluation=Evaluation(benchmarks=("maths",), perturbed="never"),
    seeds=3,
)


def test_quick_yaml_is_the_defaults() -> None:
    """Made anew by ``forgetting simulate --print_config > experiments/quick.yaml``."""
    path = EXPERIMENTS / "quick.yaml"
    assert spec_files.load_spec(path) == Spec()
    assert set(settings.setting_paths(Spec)) == set(_paths(yaml.safe_load(path.read_text())))


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.yaml")), ids=lambda p: p.stem)
def test_every_experiment_is_a_spec(path: Path) -> None:
    from forgetting.study.study import construct

    assert construct(spec_files.load_spec(path)).runs()


@pytest.mark.parametrize("spec", [Spec(), RICH], ids=lambda s: s.name)
def test_yaml_and_back(spec: Spec, tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text(spec_files.dump(spec))
    assert spec_files.load_spec(path) == spec
    assert spec_files.spec_from(spec_files.to_mapping(spec)) == spec
    assert spec_files.spec_from(json.loads(json.dumps(spec_files.to_mapping(spec)))) == spec


@running(max_examples=25)
@given(st.data())
def test_any_part_of_a_spec_is_a_spec(data: st.DataObject) -> None:
    """What a file leaves out keeps its default."""
    full = spec_files.to_mapping(Spec())
    names = data.draw(st.sets(st.sampled_from(sorted(full))))
    assert spec_files.spec_from({name: full[name] for name in names}) == Spec()


def test_numbers_with_an_exponent_are_numbers(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("fine_tuning: {learning_rate: 1e-3}\nmitigations: [{name: l2_sp, strength: 2E+1}]")
    spec = spec_files.load_spec(path)
    assert spec.fine_tuning.learning_rate == 0.001
    assert spec.mitigations == ({"name": "l2_sp", "strength": 20.0},)


def test_an_empty_file_is_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("# nothing\n")
    assert spec_files.load_spec(path) == Spec()


def test_every_setting_says_what_it_means() -> None:
    for cls in (Spec, Ladder, Doses, Evaluation, Optimiser, Fit):
        assert all(settings.notes(cls).values()), cls


def test_specs_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Spec().seeds = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("doses", "values"),
    [
        (Doses(dose=1280, first=20, ratio=4), (0, 20, 80, 320, 1280)),
        (Doses(dose=1000, first=20, ratio=4), (0, 20, 80, 320, 1000)),
        (Doses(dose=100, first=25, spacing="linear"), (0, 25, 50, 75, 100)),
        (Doses(dose=20, first=20), (0, 20)),
        (Doses(dose=3, first=1, ratio=1.01), (0, 1, 2, 3)),
    ],
)
def test_dose_values(doses: Doses, values: tuple[int, ...]) -> None:
    assert doses.values() == values


@given(
    dose=st.integers(1, 100_000),
    first=st.integers(100, 1_000),
    ratio=st.floats(1.5, 10),
    spacing=st.sampled_from(["geometric", "linear"]),
)
def test_doses_ascend_from_zero_to_the_last(
    dose: int, first: int, ratio: float, spacing: typing.Literal["geometric", "linear"]
) -> None:
    values = Doses(dose=dose, first=min(first, dose), ratio=ratio, spacing=spacing).values()
    assert values[0] == 0
    assert values[-1] == dose
    assert all(a < b for a, b in itertools.pairwise(values))


def test_an_error_names_the_whole_path() -> None:
    with pytest.raises(UsageError, match=r"^ladder\.teaching\.samples: must be at least 1, got 0$"):
        spec_files.spec_from({"ladder": {"teaching": {"samples": 0}}})


def _paths(values: dict[str, object], prefix: str = "") -> list[str]:
    """Dotted paths of a nested mapping, groups included."""
    paths = []
    for name, value in values.items():
        paths.append(f"{prefix}{name}")
        if isinstance(value, dict):
            paths += _paths(value, f"{prefix}{name}.")
    return paths
