"""The shipped students: whole, small, made by the shipped spec, and as good as their manifest says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from forgetting.models.checkpoint import load
from forgetting.models.ladder import architecture
from forgetting.record.store import REFERENCE, Store, manifest, verify
from forgetting.stages.storing import accuracies
from forgetting.study import spec_files
from forgetting.study.fingerprints import fingerprint, student_form, teacher_form
from forgetting.study.study import Study, construct

SHIPPED = ("10k", "20k", "34k", "100k", "175k", "455k")
SPEC = Path(__file__).parents[1] / "experiments" / "reference_ladder.yaml"


def _study() -> Study:
    return construct(spec_files.load_spec(SPEC))


def _home(study: Study, name: str) -> Path:
    found = Store(Path("nowhere")).find(fingerprint(student_form(study, architecture(name), 0)))
    assert found is not None, f"no shipped student {name}: its spec has changed, rebuild with forgetting distil"
    return found


def test_everything_that_is_shipped_is_what_the_reference_spec_makes() -> None:
    study = _study()
    assert tuple(s.name for s in study.students) == SHIPPED
    homes = {_home(study, name).name for name in SHIPPED} | {fingerprint(teacher_form(study))}
    assert {p.name for p in REFERENCE.iterdir() if p.is_dir()} == homes
    assert sum(p.stat().st_size for p in REFERENCE.rglob("*") if p.is_file()) <= 6_000_000


@pytest.mark.parametrize("folder", sorted(p for p in REFERENCE.iterdir() if p.is_dir()), ids=lambda p: p.name)
def test_every_shipped_folder_is_an_intact_bfloat16_checkpoint(folder: Path) -> None:
    verify(folder)
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118 (not a dict)


def test_a_shipped_folder_with_a_changed_byte_is_refused(tmp_path: Path) -> None:
    import shutil

    from forgetting.errors import UsageError

    home = _home(_study(), "10k")
    copy = shutil.copytree(home, tmp_path / home.name)
    weights = copy / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(UsageError, match="hash"):
        load(copy)


def test_the_ladder_spreads_as_the_documentation_says() -> None:
    study = _study()
    accuracy = {name: manifest(_home(study, name))["accuracy"] for name in SHIPPED}
    for name in SHIPPED:
        assert accuracy[name]["lookup"]["all"] >= 0.95
        assert accuracy[name]["classification"]["all"] >= 0.95
    for name in SHIPPED[2:]:
        assert accuracy[name]["maths"]["all"] >= 0.95, name
        assert accuracy[name]["code"]["all"] >= 0.95, name
    assert accuracy["10k"]["maths"]["depth 3"] <= accuracy["34k"]["maths"]["depth 3"] - 0.2


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=[pytest.mark.slow] if n in ("100k", "175k", "455k") else []) for n in SHIPPED]
)
def test_a_shipped_student_scores_what_its_manifest_says(name: str) -> None:
    study = _study()
    home = _home(study, name)
    told, found = manifest(home)["accuracy"], accuracies(study, load(home))
    assert told.keys() == found.keys()
    for benchmark in told:
        for cell, value in told[benchmark].items():
            assert found[benchmark][cell] == pytest.approx(value, abs=0.011), (benchmark, cell)
