"""Checkpoints through the whole pipeline: the study, record, curves, figures and report of the embedded world."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from forgetting import load
from forgetting.models.ladder import architecture
from forgetting.record.seals import file_hash
from forgetting.report.result import Result
from forgetting.resume import resume
from forgetting.spec import Optimiser, Spec
from tests.models.natural import checkpoint, corpora, study


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return corpora(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def result(folder: Path, texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Result:
    return study(folder, texts, tmp_path_factory.mktemp("runs"))


def test_the_record_says_which_weights(result: Result, folder: Path) -> None:
    record = json.loads((result.folder / "record.json").read_text())
    (student,) = record["students"]
    assert student["name"] == "tiny" and student["capacity"] == result.to_frame()["capacity"].iloc[0]
    assert student["capacity_non_embedding"] == architecture("10k").non_embedding()
    assert str(folder) not in json.dumps(record["canonical"])
    assert record["seeds"]["checkpoints"] is True
    assert [arm["name"] for arm in record["arms"]] == ["conversations.dialogues", "worked_answers.sums"]
    assert not (result.folder.parent / "store").exists()


@pytest.mark.drawn
@pytest.mark.drawn
def test_accuracy_near_zero_is_not_learned_and_nll_carries_the_curve(result: Result, tmp_path: Path) -> None:
    curve = result.curves["tiny"]["maths"]
    assert curve.status == "not_learned" and list(curve.dose) == [0, 16, 32, 64]
    assert curve.delta_nll[0] == 0 and abs(curve.delta_nll[1:]).min() > 0
    trained = result.to_frame()
    probe = trained[(trained["benchmark"] == "probe") & (trained["arm"] == "conversations.dialogues")]
    assert probe["delta_nll"].iloc[-1] < 0
    result.report(tmp_path / "views", ("figures",))
    assert (tmp_path / "views" / "figures" / "likelihood-conversations.dialogues.svg").is_file()
    text = result.report(tmp_path / "report.html").read_text()
    assert "its accuracy cannot carry the curve" in text


def test_a_second_study_gives_the_same_ledger(
    result: Result, folder: Path, texts: dict[str, str], tmp_path: Path
) -> None:
    again = study(folder, texts, tmp_path)
    assert file_hash(again.folder / "ledger.parquet") == file_hash(result.folder / "ledger.parquet")
    assert again.folder.name == result.folder.name


@pytest.mark.slow
def test_an_interrupted_study_goes_on(result: Result, folder: Path, texts: dict[str, str], tmp_path: Path) -> None:
    """From a folder in which one run is complete and the other one stopped after its second dose."""
    made = study(folder, texts, tmp_path)
    run = made.folder / "runs" / "tiny-conversations.dialogues-d0-s0"
    for path in (made.folder / "record.json", run / "complete.json", run / "ledger" / "dose-00000064.parquet"):
        path.unlink()
    again = resume(made.folder, store=tmp_path / "store", workers=0, quiet=True)
    pd.testing.assert_frame_equal(again.to_frame(), result.to_frame())


def test_it_comes_back_from_its_folder(result: Result) -> None:
    again = load(result.folder)
    pd.testing.assert_frame_equal(again.to_frame(), result.to_frame())


def test_lora_trains_adapters_of_a_checkpoint(folder: Path, texts: dict[str, str], tmp_path: Path) -> None:
    pytest.importorskip("peft")
    spec = Spec(fine_tuning=Optimiser(learning_rate=1e-2))
    made = study(folder, texts, tmp_path, spec=spec, mitigation=["none", {"name": "lora", "rank": 2}], controls=[])
    full, lora = (made.arm(name).curves["tiny"]["maths"].delta_nll for name in made.arms)
    assert lora[0] == full[0] == 0 and (lora[1:] != full[1:]).all()
