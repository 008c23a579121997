"""Students that became no finite numbers: the record and every view say which run and from which dose on."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console

from forgetting import load
from forgetting.analysis.diverged import diverged
from forgetting.cli import main
from forgetting.errors import UsageError
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.seals import write_sealed
from forgetting.record.store import REFERENCE, Store
from forgetting.simulate import run_study
from forgetting.spec import Doses, Evaluation, Ladder, Optimiser, Spec
from forgetting.stages.storing import add
from forgetting.study.study import construct
from forgetting.training.stopwatch import Stopwatch
from tests.report.conftest import write_study

EVALUATION = Evaluation(
    benchmarks=({"name": "maths", "items_per_depth": 4},), probe_items=4, perturbed="never"
)  # fmt: skip


def shown(folder: Path) -> str:
    console = Console(record=True, width=300, file=io.StringIO())
    console.print(load(folder).summary())
    return console.export_text()


def test_a_ledger_with_nan_is_said(tmp_path: Path, ledger: pd.DataFrame, capsys: pytest.CaptureFixture[str]) -> None:
    late = (ledger["dose"] == 1280) & (ledger["benchmark"] == "maths")
    folder = write_study(tmp_path / "study", ledger.assign(nll_sum=ledger["nll_sum"].mask(late, np.nan)))
    line = "34k in dialogue, seeds 0 and 0: from dose 1,280 on the student is no finite numbers"
    assert line in shown(folder)
    assert main(["report", str(folder)]) == 0 and main(["claims", str(folder)]) == 0
    assert line in (folder / "report.html").read_text(encoding="utf-8")
    assert line in capsys.readouterr().err  # of claims
    assert "no finite numbers" not in shown(write_study(tmp_path / "sound", ledger))
    assert "retention 0" not in shown(folder)
    write_sealed(folder / "sweep.json", {})
    assert "thresholds count it as retention 0 or less" in shown(folder)


def test_losses_of_nothing_are_no_matter(ledger: pd.DataFrame) -> None:
    assert diverged(ledger).empty
    none = ledger.assign(gold_tokens=0, nll_sum=np.nan)
    assert diverged(none).empty
    both = pd.concat([ledger, ledger.assign(seed=1, nll_sum=np.inf)])
    assert diverged(both).to_dict("records") == [
        {"student": "34k", "arm": "dialogue", "distillation_seed": 0, "seed": 1, "dose": 0}
    ]


def test_hundreds_are_counted(tmp_path: Path, ledger: pd.DataFrame) -> None:
    many = pd.concat([ledger.assign(seed=seed, nll_sum=np.nan) for seed in range(30)])
    text = shown(write_study(tmp_path / "study", many))
    assert text.count("no finite numbers") == 10 and "and 20 more such runs" in text


@pytest.mark.slow
def test_a_study_whose_rate_is_too_high(tmp_path: Path) -> None:
    spec = Spec(
        name="nan", ladder=Ladder(students=("34k",)), contaminations=("dialogue",), doses=Doses(dose=80, first=40),
        evaluation=EVALUATION, fine_tuning=Optimiser(batch_size=8, learning_rate=1e30), seeds=1,
    )  # fmt: skip
    result = run_study(spec, output=tmp_path, store=tmp_path / "store", workers=0, quiet=True)
    record = json.loads((result.folder / "record.json").read_text())
    assert record["diverged"] == [{"student": "34k", "arm": "dialogue", "distillation_seed": 0, "seed": 0, "dose": 40}]
    assert "from dose 40 on" in shown(result.folder)


def test_a_model_that_diverged_is_not_stored(tmp_path: Path) -> None:
    model = HuggingFaceModel.load(next(path.parent for path in sorted(REFERENCE.glob("*/model.safetensors"))))
    weight = next(iter(model.network.parameters()))
    with torch.no_grad():
        weight.view(-1)[0] = torch.inf
    study, store = construct(Spec(evaluation=EVALUATION)), Store(tmp_path / "store")
    with pytest.raises(UsageError, match=r"student of [\d,]+ parameters has weights .*lower learning_rate"):
        add(study, store, "mark", model, {"role": "student"}, Stopwatch())
    assert not (tmp_path / "store").exists() or not list((tmp_path / "store").iterdir())
    model.save(tmp_path / "saved")
    with pytest.raises(UsageError, match="no finite numbers"):
        HuggingFaceModel.load(tmp_path / "saved")
