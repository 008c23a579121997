"""``forgetting compare`` on checkpoints, studies, runs and lm-eval's sample logs: the counts of plain loops."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Outcome
from tests.contracts.members import DATA
from tests.models.natural import checkpoint

GSM8K = f"{{name: gsm8k, source: '{DATA}/gsm8k-{{split}}.jsonl'}}"


def log(path: Path, right: list[int], **more: Any) -> Path:
    """A log as ``EvaluationTracker.save_results_samples`` of lm-eval 0.4 writes it, with two filters."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        for name in ("strict-match", "flexible-extract"):
            for n, value in enumerate(right):
                file.write(json.dumps({
                    "doc_id": n, "doc": {"question": f"q{n}\u0000"}, "target": "1", "arguments": {}, "resps": [["a"]],
                    "filtered_resps": ["a"], "filter": name, "metrics": ["exact_match", "bleu"],
                    "doc_hash": hashlib.sha256(str(n).encode()).hexdigest(), "prompt_hash": "p", "target_hash": "t",
                    "exact_match": float(value or name == "flexible-extract"), "bleu": 0.37, **more,
                }) + "\n")  # fmt: skip
    return path


def test_two_logs_are_paired_by_document(here: Path, command: Callable[..., Outcome]) -> None:
    log(here / "base" / "m" / "samples_gsm8k_2025-01-01T00-00-00.jsonl", [0] * 8)  # an earlier one
    log(here / "base" / "m" / "samples_gsm8k_2025-02-01T00-00-00.jsonl", [1, 1, 1, 1, 0, 0])
    log(here / "tuned" / "samples_gsm8k_2025-03-01T00-00-00.jsonl", [1, 0, 0, 0, 1, 0])
    outcome = command("compare", "base", "tuned", "--json")
    strict, flexible = json.loads(outcome.out)["compared"]
    assert strict["name"] == "gsm8k strict-match exact_match" and flexible["lost"] == flexible["gained"] == 0
    assert (strict["lost"], strict["gained"], strict["both_right"], strict["both_wrong"]) == (3, 1, 1, 1)
    assert strict["mcnemar_p"] == pytest.approx(0.625) and strict["low"] < strict["difference"] < strict["high"]
    text = command("compare", "base", "tuned").out
    assert "lost" in text and max(map(len, text.splitlines())) <= 80


def test_documents_that_differ_are_not_paired(here: Path, command: Callable[..., Outcome]) -> None:
    log(here / "a.jsonl", [1, 0])
    log(here / "b.jsonl", [1, 0], doc_hash="other")
    outcome = command("compare", "a.jsonl", "b.jsonl")
    assert outcome.status == 2 and "share a task, filter, metric and document" in outcome.err


def test_two_checkpoints_are_asked_the_same(here: Path, command: Callable[..., Outcome]) -> None:
    for seed, name in enumerate(("one", "two")):
        checkpoint(here / name, seed=seed)
    asked = ("--benchmarks", f"[{GSM8K}]", "--max_new_tokens", "6", "--json")
    (row,) = json.loads(command("compare", "one", "two", *asked).out)["compared"]
    assert row["name"] == "gsm8k" and row["items"] > 5 and row["left_out"] == 0
    assert row["items"] == row["lost"] + row["gained"] + row["both_right"] + row["both_wrong"]
    (same,) = json.loads(command("compare", "one", "one", *asked).out)["compared"]
    assert same["difference"] == 0 and same["lost"] == same["gained"] == 0


@pytest.mark.parametrize(
    ("first", "second", "said"),
    [
        ("a.jsonl", "missing.jsonl", "no such file or folder"),
        ("a.jsonl", "nowhere", "no such file or folder"),
        ("runs/study/nope", "runs/alsonope", "'runs/study/nope', and there is no such file or folder"),
        ("runs/alsonope", "runs/other", "there is no file or folder 'runs/alsonope'; a checkpoint of the hub needs"),
        ("study/10k-dialogue-d0-s0", "folder", "there is no file or folder 'study/10k-dialogue-d0-s0'"),
        ("study", "runs/other", "there is no file or folder 'runs/other'"),
        ("folder", "study/10k-dialogue-d0-s0", "a run is STUDY/runs/KEY"),
        ("a.jsonl", "folder", "must be two checkpoints, two studies"),
        ("folder", "folder", "benchmarks: must be one or more"),
        ("a.jsonl", "rows.jsonl", "line 1: has no doc_id, metrics, only messages"),
        ("a.jsonl", "empty.jsonl", "is empty"),
        ("a.jsonl", "prose.jsonl", "line 1: is no JSON"),
        ("a.jsonl", "utf16.jsonl", "is text in UTF-16"),
        ("a.jsonl", "binary.jsonl", "is binary"),
        ("a.jsonl", "bleu.jsonl", "a metric that is 0 or 1 of every document"),
        ("study", "study", "unfinished"),
    ],
)
def test_what_is_wrong_is_one_line(
    first: str, second: str, said: str, here: Path, command: Callable[..., Outcome]
) -> None:
    log(here / "a.jsonl", [1, 0])
    log(here / "bleu.jsonl", [1, 0], metrics=["bleu"])
    (here / "folder").mkdir()
    (here / "study" / "runs").mkdir(parents=True)
    (here / "rows.jsonl").write_text('{"messages": []}\n')
    (here / "empty.jsonl").write_text("")
    (here / "prose.jsonl").write_text("Dear all,\n")
    (here / "utf16.jsonl").write_bytes("{}\n".encode("utf-16"))
    (here / "binary.jsonl").write_bytes(bytes(range(256)) * 8)
    outcome = command("compare", first, second)
    assert outcome.status == 2 and said in outcome.err and outcome.err.count("\n") == 1
