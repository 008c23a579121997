"""pass@k from a spec: every sampled answer in the folder, the table that follows from it, the report, and resuming."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

from forgetting import Evaluation, Spec
from forgetting.analysis.metrics import pass_at_k
from forgetting.analysis.study_folder import open_study
from forgetting.batching import prompts, tokens
from forgetting.contracts import Answering, Benchmark
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.record.seals import file_hash
from forgetting.registry import build
from forgetting.report.result import Result
from forgetting.resume import resume
from forgetting.study.fingerprints import evaluation_form, study_fingerprint
from forgetting.study.study import construct
from tests.conftest import cases
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora, study

GSM8K = {"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl", "limit": 6}
SAMPLED = {"name": "sampled", "samples": 4, "temperature": 1.5, "ks": [1, 3], "seed": 7}
EVALUATION = Evaluation(
    perturbed="never", probe_items=8, max_new_tokens=6, batch_items=8, answering=(SAMPLED,),
    answering_benchmarks=("gsm8k",),
)  # fmt: skip


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return corpora(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def result(folder: Path, texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Result:
    humaneval = {"name": "humaneval", "source": f"{DATA}/humaneval.jsonl"}
    output = tmp_path_factory.mktemp("runs")
    return study(folder, texts, output, benchmarks=[GSM8K, humaneval], evaluation=EVALUATION)


@pytest.mark.slow
def test_answers_at_dose_0_are_those_of_the_checkpoint_and_the_table_follows_from_them(
    result: Result, folder: Path
) -> None:
    ledger = pd.read_parquet(result.folder / "ledger.parquet")
    answers = ledger[ledger["answering"] != "greedy"]
    assert set(answers["dose"]) == {0, 64} and set(answers["benchmark"]) == {"gsm8k"}
    assert set(answers["arm"]) == {"conversations.dialogues", "worked_answers.sums"}
    assert len(answers) == 2 * 2 * 6 * 4
    model, benchmark = Checkpoint(str(folder)).load(), cast(Benchmark, build("benchmarks", GSM8K))
    asked = tokens(prompts(benchmark.items(), model.tokenizer), model.tokenizer)
    way = cast(Answering, build("answering", SAMPLED))
    alone = [one.tokens for own in way.answers(model, asked, max_new_tokens=6, batch_items=8) for one in own]
    for _, first in answers[answers["dose"] == 0].groupby("arm"):
        assert [list(t) for t in first["answer"]] == alone
    table = pd.read_csv(result.folder / "passing.csv")
    assert len(table) == 2 * 2 * 2 and set(table["k"]) == {1, 3}
    for row in table.itertuples():
        own = answers[(answers["arm"] == row.arm) & (answers["dose"] == row.dose)]
        right = own["verdict"].eq("right").groupby(own["item"]).sum().to_numpy()
        value = pass_at_k(4, right, int(row.k))  # type: ignore[arg-type]
        assert row.value == pytest.approx(value.mean(), abs=1e-6) and (row.items, row.samples) == (6, 4)
    moved = answers[answers["dose"] == 64]
    before = answers[answers["dose"] == 0]
    assert any(list(a) != list(b) for a, b in zip(before["answer"], moved["answer"], strict=True))


def test_the_report_and_the_folder_show_it(result: Result) -> None:
    assert "pass@k of sampled answers" in (result.folder / "report.html").read_text()
    shown = open_study(result.folder).passing
    assert list(shown.columns[-6:]) == ["k", "value", "low", "high", "items", "samples"]
    assert {"student", "arm", "seed", "dose", "benchmark", "skill"} <= set(shown.columns)


@pytest.mark.parametrize("lost", cases(["last dose", "every part of it"], "last dose"))
def test_an_interrupted_study_goes_on_to_the_same_answers(result: Result, tmp_path: Path, lost: str) -> None:
    again = tmp_path / result.folder.name
    shutil.copytree(result.folder, again)
    run = again / "runs" / "tiny-conversations.dialogues-d0-s0"
    for path in (again / "record.json", again / "passing.csv", run / "complete.json"):
        path.unlink()
    (run / "ledger" / "dose-00000064.parquet").unlink()
    if lost == "every part of it":
        shutil.rmtree(run)
    resume(again, store=tmp_path / "store", workers=0, quiet=True)
    for name in ("answering.csv", "passing.csv", "ledger.parquet"):
        assert file_hash(again / name) == file_hash(result.folder / name)


def test_off_is_left_out_and_on_is_another_study() -> None:
    plain = construct(Spec())
    assert "answering" not in evaluation_form(plain)
    on = Spec(evaluation=replace(Evaluation(), answering=("sampled",)))
    assert study_fingerprint(construct(on)) != study_fingerprint(plain)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"answering": ("sampld",)}, r"^evaluation\.answering\[0\]: unknown name 'sampld'; did you mean 'sampled'"),
        ({"answering": ("greedy",)}, r"^evaluation\.answering: must be free of repeats, and without greedy"),
        ({"answering_benchmarks": ("mats",)}, r"^evaluation\.answering_benchmarks: unknown name 'mats'; did you mean"),
    ],
)
def test_what_is_wrong_is_named(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        construct(Spec(evaluation=Evaluation(**settings)))
