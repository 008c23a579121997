"""What a tokenizer was saved with, and what it does not share with the weights, once a checkpoint is loaded."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from forgetting.batching import encode, prompt_tokens
from forgetting.contracts import Sample
from forgetting.errors import UsageError
from forgetting.models.checkpoint import Checkpoint
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.models.scratch import byte_level_bpe, fresh, fresh_checkpoint

SMALL = Architecture("loading-tiny", 16, 1, 1, 16, 16, 1)
TRUNCATION = {"direction": "Right", "max_length": 24, "strategy": "LongestFirst", "stride": 0}
PADDING = {
    "strategy": {"Fixed": 64}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
    "pad_token": "<|endoftext|>",
}  # fmt: skip
SAMPLES = [Sample("a question " * 20, " and its answer" * 20, "x", 0, "x"), Sample("short", " one", "x", 0, "x")]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return fresh_checkpoint(tmp_path / "tiny", SMALL, byte_level_bpe(["one two"], 300), 0)


@pytest.mark.parametrize("settings", [{"truncation": TRUNCATION}, {"padding": PADDING}])
@pytest.mark.parametrize("stored", [False, True])
def test_a_tokenizer_neither_cuts_nor_pads(folder: Path, settings: dict[str, Any], stored: bool) -> None:
    def told() -> tuple[Any, ...]:
        model = HuggingFaceModel.load(folder) if stored else Checkpoint(str(folder)).load()
        encoded = encode(SAMPLES, model.tokenizer)
        return encoded.tokens_PT.tolist(), prompt_tokens(SAMPLES, model.tokenizer), Checkpoint(str(folder)).form()

    before, file = told(), folder / "tokenizer.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings, indent=1))
    assert told() == before


def test_a_pad_token_without_a_row_of_the_embedding_is_replaced(folder: Path) -> None:
    tokenizer = byte_level_bpe(["one two"], 300)
    fresh(SMALL, tokenizer, 0).save(folder)
    tokenizer.add_special_tokens({"pad_token": "[PAD]"})
    tokenizer.save_pretrained(folder)
    model = Checkpoint(str(folder)).load()
    assert model.tokenizer.pad_token == model.tokenizer.eos_token
    assert torch.isfinite(model.logits(encode(SAMPLES, model.tokenizer).tokens_PT[None])).all()


def test_words_without_a_row_are_named_by_both_numbers(folder: Path) -> None:
    byte_level_bpe(["one two three four five six seven"] * 3, 310).save_pretrained(folder)
    file = folder / "tokenizer.json"
    count = len(json.loads(file.read_text())["model"]["vocab"])
    assert count > SMALL_ROWS
    with pytest.raises(UsageError, match=rf"has {count} tokens and the embedding {SMALL_ROWS} rows only"):
        Checkpoint(str(folder)).load()


SMALL_ROWS = len(byte_level_bpe(["one two"], 300))


def test_answers_end_with_the_turn_of_the_template(folder: Path) -> None:
    """A base model's own end token is another than the one with which its template ends a turn."""
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"eos_token": "<|endoftext|>"}))
    model = Checkpoint(str(folder)).load()
    own, turn = (model.tokenizer.convert_tokens_to_ids(t) for t in ("<|endoftext|>", "<|im_end|>"))
    assert model.tokenizer.eos_token_id == own and model.ends == {own, turn}
    encoded = encode(SAMPLES[1:], model.tokenizer)
    assert encoded.tokens_PT[0][-1] == turn
    model.tokenizer.chat_template = None
    assert model.ends == {own}
