"""What can be wrong with a checkpoint or data set, through the command line: one line, what to do, status 2."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import BertConfig, BertForMaskedLM

from forgetting.models.checkpoint import Checkpoint
from forgetting.models.ladder import architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from tests.conftest import Outcome
from tests.contracts.members import DATA

WORKED = f"{{name: worked_answers, source: '{DATA}/gsm8k-train.jsonl'}}"
GSM8K = f"{{name: gsm8k, source: '{DATA}/gsm8k-{{split}}.jsonl'}}"


def dialogues(path: Path) -> str:
    turns = [(role, f"{role} {i}") for i in range(2) for role in ("user", "assistant")]
    rows = [[{"role": r, "content": f"{c} {n}"} for r, c in turns] for n in range(200)]
    path.write_text("".join(json.dumps({"messages": row}) + "\n" for row in rows))
    return f"{{name: conversations, source: '{path}'}}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fresh_checkpoint(tmp_path / "tiny", architecture("10k"), byte_level_bpe(["one two"], 300), 0)


def one_line(command: Callable[..., Outcome], student: str, contamination: str, *more: str) -> str:
    outcome = command(
        "simulate", "--ladder.students", f"[{student}]", "--ladder.original", WORKED, "--contaminations",
        f"[{contamination}]", "--evaluation.benchmarks", f"[{GSM8K}]", "--doses.dose", "16", "--doses.first", "16",
        "--evaluation.probe_items", "4", "--evaluation.max_new_tokens", "4", "--workers", "0", "--quiet", *more,
    )  # fmt: skip
    assert outcome.status == 2 and outcome.err.count("\n") == 1, outcome.err
    assert not list(Path().glob("runs/*/record.json"))
    return outcome.err


def test_no_chat_template(folder: Path, here: Path, command: Callable[..., Outcome]) -> None:
    (folder / "chat_template.jinja").unlink()
    said = one_line(command, str(folder), dialogues(here / "d.jsonl"))
    assert "the tokenizer of 'tiny' has no chat template, and dialogues need one; give the student chat_templ" in said


def test_another_architecture(here: Path, command: Callable[..., Outcome]) -> None:
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    BertForMaskedLM(BertConfig(vocab_size=300, **sizes)).save_pretrained(here / "bert")
    said = one_line(command, str(here / "bert"), dialogues(here / "d.jsonl"))
    assert "is 'bert' (BertForMaskedLM), which is no causal language model" in said
    assert not list(here.glob("runs/*"))


def test_a_folder_that_is_not_there_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``huggingface_hub`` words it, in the midst of much else."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    raised = OSError("Got: ConnectError: [Errno -2] Name or service not known An error happened while trying to locate")
    said = str(Checkpoint("models/mine").why(raised))
    assert said == "checkpoint: 'models/mine' is no folder or file here, and the hub cannot be reached; give a folder"


def test_a_missing_data_set(folder: Path, here: Path, command: Callable[..., Outcome]) -> None:
    said = one_line(command, str(folder), f"{{name: conversations, source: '{here}/nothing.jsonl'}}")
    assert "contaminations[0].source: there is no file or folder" in said
    said = one_line(command, str(folder), "{name: conversations, source: nobody/nothing}")
    assert "cannot load data set 'nobody/nothing'" in said and "HF_HUB_OFFLINE is set: give a local file" in said


def test_no_file_of_a_template(folder: Path, here: Path, command: Callable[..., Outcome]) -> None:
    student = f"{{source: '{folder}', chat_template: '{here}/none.jinja'}}"
    assert "checkpoint.chat_template: cannot be read" in one_line(command, student, dialogues(here / "d.jsonl"))


def test_too_few_samples(folder: Path, here: Path, command: Callable[..., Outcome]) -> None:
    said = one_line(command, str(folder), f"{{name: conversations, source: '{DATA}/conversations.jsonl'}}")
    assert "contamination.conversations: must be of more distinct samples" in said
