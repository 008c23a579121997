"""Tasks of lm-eval as a benchmark of a study: every item's outcome in the ledger, its curves, and the messages."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest

from forgetting import Evaluation, Ladder, Spec, registry
from forgetting.benchmarks.lm_eval import LmEval
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.natural import lm_eval_tasks
from forgetting.report.result import Result
from forgetting.study.fingerprints import evaluation_form
from forgetting.study.study import construct
from tests.contracts.members import DATA
from tests.models.natural import checkpoint, corpora, study

pytestmark = pytest.mark.slow  # whole studies; tests/natural/test_lm_eval_tasks.py is quick

needed = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval: pip install 'forgetting[harness]'"
)
COMMON = """dataset_path: json
dataset_kwargs: {data_files: {test: ROWS}}
test_split: test
metadata: {version: 2.0}
"""
CHOICE = "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\n"
ACC = "metric_list:\n  - {metric: acc, aggregation: mean, higher_is_better: true}\n"
TASKS = {
    "capitals_choice": CHOICE + "doc_to_target: '{{answer}}'\n" + ACC,
    "capitals_named": CHOICE + "doc_to_target: '{{choices[answer]}}'\n" + ACC,  # gold by its text
    "capitals_next": "output_type: loglikelihood\ndoc_to_text: '{{question}}'\n"
    "doc_to_target: ' {{choices[answer]}}'\n" + ACC,
    "capitals_written": "output_type: generate_until\ndoc_to_text: '{{question}}'\n"
    "doc_to_target: '{{choices[answer]}}'\ngeneration_kwargs: {until: ['.'], max_gen_toks: 4, do_sample: false}\n"
    "metric_list:\n  - {metric: exact_match, aggregation: mean, higher_is_better: true}\n",
    "capitals_text": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{question}}'\n"
    "metric_list:\n  - {metric: word_perplexity}\n",
}  # fmt: skip
ROWS = [json.loads(line) for line in (DATA / "lm_eval" / "capitals.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tasks")
    for name, text in TASKS.items():
        rows = COMMON.replace("ROWS", str(DATA / "lm_eval" / "capitals.jsonl"))
        (folder / f"{name}.yaml").write_text(f"task: {name}\n{rows}{text}")
    return folder


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return corpora(tmp_path_factory.mktemp("texts"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return checkpoint(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def result(folder: Path, tasks: Path, texts: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Result:
    part = {"name": "lm_eval", "task": "capitals_choice, capitals_written", "folder": str(tasks)}
    gsm8k = {"name": "gsm8k", "source": f"{DATA}/gsm8k-{{split}}.jsonl", "limit": 4}
    return study(folder, texts, tmp_path_factory.mktemp("runs"), benchmarks=[gsm8k, part])


@needed
def test_every_items_outcome_is_in_the_ledger_at_every_dose(result: Result, folder: Path, tasks: Path) -> None:
    ledger = pd.read_parquet(result.folder / "ledger.parquet").query("benchmark == 'lm_eval'")
    assert (ledger.groupby(["arm", "dose"]).size() == 8).all() and set(ledger["dose"]) == {0, 16, 32, 64}
    assert set(ledger["skill"]) == {"knowledge"} and set(ledger["template"]) == {"capitals_choice", "capitals_written"}
    first = ledger[(ledger["dose"] == 0) & (ledger["arm"] == "conversations.dialogues")]
    names = ["capitals_choice", "capitals_written"]
    alone = lm_eval_tasks.measure_tasks(Checkpoint(str(folder)).load(), names, folder=tasks)
    for score in alone:
        own = first[first["template"] == score.task]
        assert own["verdict"].eq("right").mean() == score.value and len(own) == score.items
    assert (first["nll_sum"] > 0).all() and (first["kl_sum"].abs() < 1e-6).all()
    last = ledger[ledger["dose"] == 64]
    assert (last["kl_sum"] > 0).all()
    chosen = first[first["template"] == "capitals_choice"]["answer"]
    words = Checkpoint(str(folder)).load().tokenizer
    assert all(words.decode(list(a)).strip() in row["choices"] for a, row in zip(chosen, ROWS, strict=True))


@needed
def test_the_skill_has_a_curve_with_the_tasks_own_chance(result: Result) -> None:
    curve = result.curves["tiny"]["knowledge"]
    assert list(curve.dose) == [0, 16, 32, 64]
    record = json.loads((result.folder / "record.json").read_text())
    about = record["benchmarks"]["lm_eval"]
    assert about["chance"] == pytest.approx((4 / 3 + 0) / 8) and about["skill"] == "knowledge"
    form = next(b for b in record["canonical"]["evaluation"]["benchmarks"] if b["name"] == "lm_eval")
    assert form["lm_eval"] == lm_eval_tasks.installed()


@needed
@pytest.mark.parametrize("task", ["capitals_choice", "capitals_named", "capitals_next", "capitals_written"])
def test_items_are_what_the_task_asks_and_gold_answers_are_right(task: str, tasks: Path) -> None:
    part = LmEval(task=task, folder=str(tasks))
    items = part.items()
    assert [i.prompt for i in items] == [row["question"] for row in ROWS]
    assert [i.answer for i in items] == [f" {row['choices'][row['answer']]}" for row in ROWS]
    assert [g.verdict for g in part.grade(items, [i.answer for i in items])] == ["right"] * 4
    assert len({i.id for i in items}) == 4 and len(LmEval(task=task, folder=str(tasks), limit=2).items()) == 2
    assert part.chance == (pytest.approx(1 / 3) if task in ("capitals_choice", "capitals_named") else 0)
    assert part.items("train") == []


@needed
def test_a_model_that_knows_the_answers_is_right(tasks: Path, folder: Path) -> None:
    """Trained on the gold texts for a while: every way of asking then says right, and wrong for a swapped row."""
    import torch

    from forgetting import losses
    from forgetting.batching import encode

    model = Checkpoint(str(folder)).load()
    part = LmEval(task="capitals_choice,capitals_next", folder=str(tasks))
    before = [g.verdict for _, g in part.ask(model, 4)]
    plain = Checkpoint(str(folder)).load().tokenizer
    plain.chat_template = None
    pool = encode(part.items(), plain)
    batch = pool.batch(torch.arange(len(pool)).numpy(), len(pool))
    adam = torch.optim.Adam([p for _, p in model.named_parameters()], lr=1e-2)
    for _ in range(150):
        adam.zero_grad()
        losses.cross_entropy(model, batch).sum().backward()  # type: ignore[no-untyped-call]
        adam.step()
    told = part.ask(model, 4)
    assert before.count("right") < 8 and [g.verdict for _, g in told] == ["right"] * 8
    assert [text for text, _ in told] == [i.answer for i in part.items()]


def test_the_form_holds_what_a_folder_says_and_not_where_it_lies(tasks: Path, tmp_path: Path) -> None:
    def form(folder: Path) -> dict[str, Any]:
        part = LmEval(task="capitals_choice", folder=str(folder))
        assert registry.build("benchmarks", part.settings()) == part
        return part.form()

    copied, first = tmp_path / "copy", form(tasks)
    shutil.copytree(tasks, copied)
    assert form(copied) == first and str(tasks) not in repr(first) and LmEval().form() == LmEval().settings()
    (copied / ".git").mkdir()
    (copied / "__pycache__").mkdir()
    for name in (".git/HEAD", "__pycache__/utils.cpython-311.pyc", ".hidden"):
        (copied / name).write_text("nothing")
    assert form(copied) == first
    marks = {first["folder"]}
    (copied / "utils.py").write_text("def one(): ...")  # functions that tasks name
    marks.add(form(copied)["folder"])
    about = (copied / "utils.py").stat()
    (copied / "utils.py").write_text("def two(): ...")
    os.utime(copied / "utils.py", ns=(about.st_atime_ns, about.st_mtime_ns))  # of the same size and time
    marks.add(form(copied)["folder"])
    (copied / "utils.py").rename(copied / "other.py")
    marks.add(form(copied)["folder"])
    assert len(marks) == 4
    with pytest.raises(UsageError, match=r"^lm_eval\.folder: must be a folder with tasks as YAML files, got"):
        form(tmp_path / "none")


def test_a_studys_fingerprint_follows_the_files(tasks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lm_eval_tasks, "installed", lambda: "0")
    shutil.copytree(tasks, tmp_path / "copy")
    evaluations = [
        Evaluation(benchmarks=({"name": "lm_eval", "task": "capitals_choice", "folder": str(folder)},))
        for folder in (tasks, tmp_path / "copy")
    ]
    one, two = (construct(dataclasses.replace(spec(), evaluation=e)) for e in evaluations)
    assert evaluation_form(one) == evaluation_form(two)
    (tmp_path / "copy" / "capitals_choice.yaml").write_text("task: capitals_choice\n")
    assert evaluation_form(one) != evaluation_form(two)


def test_loaded_tasks_do_not_outlive_a_change_of_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    class Manager:
        all_tasks = ("capitals",)

        def __init__(self, include_path: str) -> None:
            made.append((Path(include_path) / "utils.py").read_text())

        def load(self, names: list[str]) -> dict[str, Any]:
            return {"tasks": {}}

    monkeypatch.setattr(lm_eval_tasks, "installed", lambda: "0")
    monkeypatch.setitem(sys.modules, "lm_eval.tasks", SimpleNamespace(TaskManager=Manager))  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "lm_eval", SimpleNamespace())  # type: ignore[arg-type]
    for text in ("first", "first", "second"):  # a file beside the YAML files
        (tmp_path / "utils.py").write_text(text)
        assert lm_eval_tasks.questions(("capitals",), None, 0, str(tmp_path)) == ()
    assert made == ["first", "second"]


@needed
def test_changed_rows_of_a_folder_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / ".cache"))
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    text = f"task: capitals_here\n{COMMON.replace('ROWS', str(rows))}{TASKS['capitals_choice']}"
    (tmp_path / "here.yaml").write_text(text)
    part = LmEval(task="capitals_here", folder=str(tmp_path))
    assert len(part.items()) == 4
    rows.write_text(json.dumps(ROWS[1]) + "\n")
    assert [i.prompt for i in part.items()] == [ROWS[1]["question"]]


@needed
def test_mistakes_of_tasks(tasks: Path) -> None:
    with pytest.raises(UsageError, match=r"^lm-eval\.tasks: unknown name 'capital_choice'; `lm-eval ls tasks` lists"):
        LmEval(task="capital_choice", folder=str(tasks)).items()
    with pytest.raises(UsageError, match=r"^lm_eval\.task: must be a task that is right or wrong on each item, got"):
        LmEval(task="capitals_text", folder=str(tasks)).items()


def spec(**settings: Any) -> Spec:
    return Spec(
        ladder=Ladder(students=("a/b",), original="worked_answers"),
        contaminations=("conversations",),
        evaluation=Evaluation(benchmarks=("lm_eval",), **settings),
    )


def test_a_missing_package_is_told_before_anything_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^lm-eval: is not installed; pip install 'forgetting\[harness\]'$"):
        evaluation_form(construct(spec()))


def test_what_is_chosen_is_not_sampled() -> None:
    with pytest.raises(UsageError, match=r"^evaluation\.answering_benchmarks: unknown name 'lm_eval'"):
        construct(spec(answering=("sampled",), answering_benchmarks=("lm_eval",)))
    with pytest.raises(UsageError, match=r"^evaluation\.benchmarks: must be one at least whose answers are written"):
        construct(spec(answering=("sampled",)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "arc_easy,,boolq"}, r"^lm_eval\.task: must be a name, or several with commas, got"),
        ({"limit": -1}, r"^lm_eval\.limit: must be 0 \(all items\) or more, got -1"),
        ({"shots": -2}, r"^lm_eval\.shots: must be -1"),
    ],
)
def test_bad_settings(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        LmEval(**settings)
