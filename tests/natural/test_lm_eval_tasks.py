"""Tasks of lm-eval on a small model, against log-probabilities computed here; and the messages."""

from __future__ import annotations

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch

from forgetting.errors import UsageError
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.natural.lm_eval_tasks import _answers, measure_tasks
from forgetting.testing.small import model
from tests.contracts.members import DATA

needed = pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="needs lm-eval: pip install 'forgetting[harness]'"
)
ROWS = DATA / "lm_eval" / "capitals.jsonl"
COMMON = """dataset_path: json
dataset_kwargs:
  data_files:
    test: {rows}
test_split: test
"""
TASKS = {
    "capitals_choice": "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: '{{choices}}'\n"
    "doc_to_target: '{{answer}}'\nmetric_list:\n  - {metric: acc, aggregation: mean, higher_is_better: true}\n",
    "capitals_written": "output_type: generate_until\ndoc_to_text: '{{question}}'\n"
    "doc_to_target: '{{choices[answer]}}'\ngeneration_kwargs: {until: ['.'], max_gen_toks: 4, do_sample: false}\n"
    "metric_list:\n  - {metric: exact_match, aggregation: mean, higher_is_better: true}\n",
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    for name, text in TASKS.items():
        (tmp_path / f"{name}.yaml").write_text(
            f"task: {name}\n{COMMON.format(rows=ROWS)}{text}metadata:\n  version: 2.0\n"
        )
    return tmp_path


def likelihood(own: HuggingFaceModel, before: str, after: str) -> float:
    """One token at a time, the slow way."""
    encode = own.tokenizer.backend_tokenizer.encode
    text, told = encode(before, add_special_tokens=False).ids, encode(f"{before} {after}", add_special_tokens=False).ids
    total = 0.0
    with torch.no_grad():
        for place in range(len(text), len(told)):
            chances = own.logits(torch.tensor([[told[:place]]]))[0, 0, -1].log_softmax(-1)
            total += float(chances[told[place]])
    return total


@pytest.mark.slow
@needed
def test_scores_are_those_of_the_models_own_probabilities(folder: Path) -> None:
    own = model(4)
    choice, written = measure_tasks(own, ["capitals_choice", "capitals_written"], folder=folder)
    rows = [json.loads(line) for line in ROWS.read_text().splitlines()]
    best = [max(range(3), key=lambda i: likelihood(own, r["question"], r["choices"][i])) for r in rows]
    assert choice.value == sum(b == r["answer"] for b, r in zip(best, rows, strict=True)) / 4
    assert (choice.task, choice.metric, choice.version, choice.items) == ("capitals_choice", "acc", "2.0", 4)
    assert (written.task, written.metric, written.value, written.items) == ("capitals_written", "exact_match", 0.0, 4)
    assert not own.network.training and math.isfinite(choice.value)


@pytest.mark.slow
@needed
def test_a_limit(folder: Path) -> None:
    assert measure_tasks(model(4), ["capitals_choice"], folder=folder, limit=2)[0].items == 2


def test_written_text_stops_where_the_task_says() -> None:
    own = model(4)
    whole = _answers(own, [("maths", {"max_gen_toks": 12})], 4)[0]
    word = whole.split()[3]
    assert _answers(own, [("maths", {"max_gen_toks": 12, "until": [word]})], 4)[0] == whole.split(word)[0]
    with pytest.raises(UsageError, match=r"^lm-eval: the task asks for sampled decoding"):
        _answers(own, [("maths", {"do_sample": True, "temperature": 0.7})], 4)


@pytest.mark.slow
@needed
def test_an_unknown_task_and_missing_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"^lm-eval\.tasks: unknown name 'capital_choice'; `lm-eval ls tasks` lists"):
        measure_tasks(model(4), ["capital_choice"], folder=folder)
    path = folder / "capitals_choice.yaml"
    path.write_text(path.read_text().replace(str(ROWS), "/no/such/rows.jsonl"))
    with pytest.raises(UsageError, match=r"^lm-eval: capitals_choice cannot be run: .*give local data or go online$"):
        measure_tasks(model(4), ["capitals_choice"], folder=folder)


def test_a_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^lm-eval: is not installed; pip install 'forgetting\[harness\]'$"):
        measure_tasks(model(4), ["arc_easy"])
