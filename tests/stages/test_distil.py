"""Teacher and students: functions of their forms, stored whole, resumed bit for bit, rounded to bfloat16."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from forgetting import simulate
from forgetting.batching import encode, texts, tokens
from forgetting.errors import UsageError
from forgetting.evaluation.gold_traces import gold_sums
from forgetting.models.checkpoint import load
from forgetting.record.store import Store, manifest
from forgetting.spec import Doses, Fit, Ladder, Machine
from forgetting.stages import distil, train
from forgetting.stages.storing import accuracies
from forgetting.stages.teach import teacher
from forgetting.study.fingerprints import fingerprint, student_form, teacher_form
from forgetting.study.study import Study, construct
from forgetting.testing.small import differing, words
from forgetting.training import fit
from forgetting.training.checkpoints import SnapshotWriter, last
from tests.conftest import cases
from tests.contracts.small import spec


@pytest.fixture(scope="module")
def study() -> Study:
    return construct(spec(controls=("joint",)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"), reference=None)


@pytest.fixture(scope="module")
def made(study: Study, store: Store) -> dict[str, Path]:
    """The teacher, and students of two seeds and of the joint arm."""
    (rung,) = study.students
    return {
        "teacher": teacher(study, store),
        "student": distil.student(study, rung, 0, store),
        "second": distil.student(study, rung, 1, store),
        "joint": distil.student(study, rung, 0, store, also=study.arm("dialogue-joint")),
    }


@pytest.mark.slow
def test_every_fit_and_every_look_is_on_the_device_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, own = list[str](), fit._trainer

    def noted(machine: Machine, **settings: Any) -> Any:
        asked.append(machine.device)
        return own(machine, **settings)

    monkeypatch.setattr(fit, "_trainer", noted)
    fresh = dataclasses.replace(spec().ladder, fresh_students=True)
    few = spec(machine=Machine(device="cpu"), seeds=3, ladder=fresh, doses=Doses(dose=16, first=16))
    simulate(few, output=tmp_path, store=tmp_path / "store", workers=0, quiet=True, stack=2)  # two together, one alone
    assert len(asked) > 5 and set(asked) == {"cpu"}


def weights(home: Path) -> dict[str, torch.Tensor]:
    return load_file(home / "model.safetensors")


def test_each_is_stored_under_the_fingerprint_of_what_made_it(
    study: Study, store: Store, made: dict[str, Path]
) -> None:
    (rung,) = study.students
    forms = {
        "teacher": teacher_form(study),
        "student": student_form(study, rung, 0),
        "second": student_form(study, rung, 1),
        "joint": student_form(study, rung, 0, study.arm("dialogue-joint")),
    }
    for name, form in forms.items():
        assert made[name] == store.root / fingerprint(form)
        about = manifest(made[name])
        assert about["role"] == ("teacher" if name == "teacher" else "student")
        assert fingerprint(about["made_from"]) == made[name].name
        assert about["capacity"] == rung.parameters(len(words()))
        assert set(about["accuracy"]) == {"maths", "lookup"}
        assert set(about["wall_seconds"]) >= {"training", "evaluation"}
    for name, home in made.items():
        assert [other for other in made if not differing(weights(home), weights(made[other]))] == [name]
    assert not list((store.root / "unfinished").iterdir())  # no checkpoint and no lock is left


def test_weights_are_stored_in_bfloat16_and_measured_as_they_are_stored(study: Study, made: dict[str, Path]) -> None:
    assert {t.dtype for t in weights(made["student"]).values()} == {torch.bfloat16}
    student = load(made["student"])
    assert {t.dtype for t in student.state().values()} == {torch.float32}
    assert all(torch.equal(t.bfloat16().float(), t) for t in student.state().values())
    assert manifest(made["student"])["accuracy"] == accuracies(study, student)


def test_accuracies_are_those_of_a_plain_loop(study: Study, made: dict[str, Path]) -> None:
    student = load(made["student"])
    for benchmark in study.benchmarks:
        items = benchmark.items()
        right = []
        for item in items:
            answer = student.generate([tokens([item.prompt], words())], max_new_tokens=8)[0]
            right.append(benchmark.grade([item], texts(answer, words()))[0].verdict == "right")
        found = accuracies(study, student)[benchmark.short_name()]
        assert found["all"] == round(sum(right) / len(items), 4)
        for depth in {i.depth for i in items}:
            at = [r for r, i in zip(right, items, strict=True) if i.depth == depth]
            assert found[f"depth {depth}"] == round(sum(at) / len(at), 4)


def test_another_store_gets_the_same_weights(study: Study, made: dict[str, Path], tmp_path: Path) -> None:
    again = distil.student(study, study.students[0], 0, Store(tmp_path, reference=None))
    assert not differing(weights(again), weights(made["student"]))
    assert manifest(again)["files"] == manifest(made["student"])["files"]


def test_what_is_stored_is_not_trained_again(
    study: Study, store: Store, made: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "fit", None)
    assert teacher(study, store) == made["teacher"]
    assert distil.student(study, study.students[0], 1, store) == made["second"]


class Killed(Exception):
    """As if the process had been killed at this place."""


@pytest.mark.parametrize("snapshots_before", cases([1, 2, 3], 2))
def test_an_interrupted_training_is_resumed_bit_for_bit(
    study: Study, made: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, snapshots_before: int
) -> None:
    """Snapshots after every step of five; the student is interrupted when it takes the next one."""
    store = Store(tmp_path, reference=None)
    teacher(study, store)
    monkeypatch.setattr(train, "CHECKPOINT_STEPS", 1)
    real, taken = SnapshotWriter.put, []

    def put(self: SnapshotWriter, *job: Any) -> None:
        if len(taken) == snapshots_before:
            raise Killed
        taken.append(job)
        real(self, *job)

    monkeypatch.setattr(SnapshotWriter, "put", put)
    with pytest.raises(Killed):
        distil.student(study, study.students[0], 0, store)
    mark = fingerprint(student_form(study, study.students[0], 0))
    assert store.find(mark) is None
    assert last(store.work(mark)).is_file()
    monkeypatch.setattr(SnapshotWriter, "put", real)
    steps: list[tuple[int, int]] = []
    home = distil.student(study, study.students[0], 0, store, lambda done, total: steps.append((done, total)))
    assert steps[0] == (snapshots_before + 1, 5)
    assert not differing(weights(home), weights(made["student"]))
    assert not store.work(mark).exists()


def test_a_students_training_continues_only_its_own(study: Study, made: dict[str, Path], tmp_path: Path) -> None:
    """A checkpoint of another fingerprint in the place of its own is not taken up."""
    store, other = Store(tmp_path, reference=None), construct(spec(ladder=longer()))
    form = student_form(other, other.students[0], 0)
    work = store.work(fingerprint(form))
    work.mkdir(parents=True)
    (work / "last.safetensors").write_bytes(b"garbage")
    with pytest.raises(UsageError, match=r"^checkpoint: cannot be read"):
        distil.student(other, other.students[0], 0, store)


def longer() -> Ladder:
    """The tiny ladder, with a little more training of the students."""
    return dataclasses.replace(spec().ladder, distilling=Fit(samples=384, pool=160))


def test_word_level_and_sequence_level_give_different_students(
    study: Study, store: Store, made: dict[str, Path]
) -> None:
    ladder = dataclasses.replace(spec().ladder, distillation={"name": "off_policy", "level": "word"})
    home = distil.student(construct(spec(ladder=ladder)), study.students[0], 0, store)
    assert home != made["student"]
    assert differing(weights(home), weights(made["student"]))


def test_shares_of_skills_are_settings(study: Study, store: Store, made: dict[str, Path]) -> None:
    only = {"name": "original", "maths": 0.0, "code": 0.0, "traps": 0.0, "lookup": 1.0, "classification": 0.0}
    ladder = dataclasses.replace(spec().ladder, original=only)
    lookup = construct(spec(ladder=ladder))
    home = teacher(lookup, store)
    assert home != made["teacher"]
    items = encode(lookup.benchmarks[1].items(), words())

    def nll(folder: Path) -> float:
        model = load(folder)
        return float(gold_sums(model, model, items, 8)["nll_sum"].sum())

    assert nll(home) < nll(made["teacher"])


def test_a_stored_model_is_loaded_only_if_it_is_what_was_stored(study: Study, tmp_path: Path) -> None:
    home = teacher(study, Store(tmp_path, reference=None))
    data = bytearray((home / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (home / "model.safetensors").write_bytes(data)
    with pytest.raises(UsageError, match="does not have the hash"):
        load(home)
