"""A study whose answers another process writes: the answers, the noise floor in the record, resuming, and mistakes."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from forgetting import Spec
from forgetting.errors import UsageError
from forgetting.evaluation import backend_evaluator
from forgetting.report.result import Result
from forgetting.resume import resume
from forgetting.spec import Backend, Machine
from forgetting.study.fingerprints import machine_form, study_fingerprint
from forgetting.study.study import construct
from tests.models.natural import checkpoint, corpora, study

pytestmark = pytest.mark.slow  # whole studies with another process; test_backend.py is quick

STANDIN = str(Path(__file__).with_name("standin.py"))


def backed(**settings: object) -> Spec:
    backend = Backend(command=(sys.executable, STANDIN), noise_prompts=4)
    return Spec(machine=Machine(backend=dataclasses.replace(backend, **settings)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return corpora(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def result(folder: Path, texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Result:
    return study(folder, texts, tmp_path_factory.mktemp("runs"), spec=backed())


def test_every_answer_is_the_other_processs_and_equals_the_models_own(
    result: Result, folder: Path, texts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = study(folder, texts, tmp_path)
    assert plain.folder.name != result.folder.name
    own, theirs = (pd.read_parquet(r.folder / "ledger.parquet") for r in (plain, result))
    pd.testing.assert_frame_equal(own, theirs)  # the stand-in answers with the same arithmetic
    asked: list[int] = []
    real = backend_evaluator.BackedModel.generate

    def generate(self: backend_evaluator.BackedModel, prompts: list[list[list[int]]], **settings: int) -> object:
        asked.append(len(prompts[0]))
        return real(self, prompts, **settings)  # type: ignore[arg-type]

    monkeypatch.setattr(backend_evaluator.BackedModel, "generate", generate)
    study(folder, texts, tmp_path / "again", spec=backed())
    items = len(own[(own["dose"] == 0) & (own["benchmark"] != "probe")]) // 2
    assert asked == [items] * 7  # the base once, then three doses of each of the two arms


def test_the_noise_floor_is_in_the_record_and_was_printed(
    result: Result, folder: Path, texts: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = json.loads((result.folder / "record.json").read_text())
    assert set(record["backend"]) == {f"tiny-{arm}-d0-s0" for arm in result.arms}
    for noise in record["backend"].values():
        assert (noise["repeated"], noise["model"], noise["prompts"]) == (0, 0, 4) and noise["canary"] < 1e-5
    assert not list(result.folder.rglob("exchange"))
    study(folder, texts, tmp_path, spec=backed(), quiet=False, controls=[])
    assert "tiny-conversations.dialogues-d0-s0: backend's noise floor on 4 prompts: 0.0%" in capsys.readouterr().err


@pytest.mark.slow
def test_noise_is_told_as_it_is(
    folder: Path, texts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "noisy")
    made = study(folder, texts, tmp_path, spec=backed(), controls=[])
    (noise,) = json.loads((made.folder / "record.json").read_text())["backend"].values()
    assert noise["repeated"] == 0.25 and "25.0% of answers differ when asked again" in noise["text"]


@pytest.mark.slow
def test_an_interrupted_study_goes_on(result: Result, folder: Path, texts: dict[str, str], tmp_path: Path) -> None:
    made = study(folder, texts, tmp_path, spec=backed())
    run = made.folder / "runs" / "tiny-conversations.dialogues-d0-s0"
    for path in (made.folder / "record.json", run / "complete.json", run / "ledger" / "dose-00000064.parquet"):
        path.unlink()
    with pytest.raises(UsageError, match="nothing that a folder says is started"):
        resume(made.folder, store=tmp_path / "store", workers=0, quiet=True)
    again = study(folder, texts, tmp_path, spec=backed())
    assert again.folder == made.folder
    pd.testing.assert_frame_equal(again.to_frame(), result.to_frame())
    assert json.loads((again.folder / "record.json").read_text())["backend"].keys() == {
        f"tiny-{arm}-d0-s0" for arm in result.arms
    }


@pytest.mark.slow
def test_a_backend_that_dies_gives_no_score(
    folder: Path, texts: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANDIN_FAULT", "dies")
    with pytest.raises(RuntimeError, match="backend: its process ended with status 3"):
        study(folder, texts, tmp_path, spec=backed(), controls=[])
    assert not list(tmp_path.rglob("dose-*.parquet")) and not list(tmp_path.rglob("record.json"))


def test_where_the_interpreter_lies_moves_no_fingerprint(tmp_path: Path) -> None:
    (tmp_path / Path(sys.executable).name).symlink_to(sys.executable)
    moved = backed(command=(str(tmp_path / Path(sys.executable).name), "/elsewhere/standin.py"))
    assert study_fingerprint(construct(moved)) == study_fingerprint(construct(backed()))
    assert study_fingerprint(construct(backed(dtype="float32"))) != study_fingerprint(construct(backed()))
    assert "backend" not in machine_form(construct(Spec(machine=Machine(micro_batches=2))))


def test_mistakes() -> None:
    with pytest.raises(
        UsageError, match=r"^machine\.backend\.command: must be a program that can be started here, got"
    ):
        construct(backed(command=("/no/such/python",)))
    with pytest.raises(UsageError, match=r"^machine\.strategy: must be ddp where another process writes"):
        construct(Spec(machine=dataclasses.replace(backed().machine, devices=2, strategy="fsdp")))
    with pytest.raises(UsageError, match=r"^memory_share: must be above 0 and at most 1, got 2\.0"):
        Backend(memory_share=2.0)
