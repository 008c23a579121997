"""The Hugging Face member: greedy decoding against ``generate``, what a draft saves, checkpoints, and fresh weights."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from transformers.utils import logging

from forgetting.errors import UsageError
from forgetting.models import fused_qwen3
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture, architecture
from forgetting.testing.small import TINY, differing, model, weights, words

DEEP = Architecture("tiny-deep", 16, 3, 4, 4, 16, 2)


def official(student: HuggingFaceModel, prompt: list[int], limit: int) -> list[int]:
    """What Hugging Face's own greedy search writes, up to the end token."""
    end = student.tokenizer.eos_token_id
    with torch.no_grad():
        row = student.network.generate(
            torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long), do_sample=False,
            max_new_tokens=limit, eos_token_id=end, pad_token_id=student.tokenizer.pad_token_id,
        )[0].tolist()[len(prompt) :]  # fmt: skip
    return row[: row.index(end) + 1] if end in row else row


@settings(max_examples=15, deadline=None)
@given(
    shape=st.sampled_from([TINY, DEEP]),
    seed=st.integers(0, 5),
    prompts=st.lists(st.lists(st.integers(2, 199), min_size=1, max_size=12), min_size=1, max_size=4),
    limit=st.integers(1, 16),
    stop=st.integers(0, 15),
)
def test_greedy_answers_are_those_of_hugging_face(
    shape: Architecture, seed: int, prompts: list[list[int]], limit: int, stop: int
) -> None:
    student = model(seed, architecture=shape)
    free = official(student, prompts[0], limit)
    if stop < len(free):
        student.tokenizer.eos_token = student.tokenizer.convert_ids_to_tokens(free[stop])
    expected = [official(student, prompt, limit) for prompt in prompts]
    assert student.generate([prompts], max_new_tokens=limit) == [expected]
    assert student.generate([prompts], [expected], max_new_tokens=limit) == [expected]


def test_logits_at_places_are_the_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fused_qwen3, "suits", lambda *_: False)
    student = model(0, architecture=DEEP)
    tokens_BT, places_N = torch.arange(2, 23).reshape(3, 7), torch.tensor([1, 6, 8, 20])
    found = student.logits_at(tokens_BT[None], places_N[None])[0]
    assert torch.equal(found, student.network(tokens_BT).logits.flatten(0, 1)[places_N])


def test_logits_are_the_networks() -> None:
    student = model(0)
    tokens_BT = torch.arange(2, 14).reshape(2, 6)
    with torch.no_grad():
        assert torch.equal(student.logits(tokens_BT[None])[0], student.network(tokens_BT).logits)


def test_a_right_draft_costs_one_pass() -> None:
    student = model(0)
    prompts = [[5, 6, 7], [9, 10, 11, 12]]
    plain = student.generate([prompts], max_new_tokens=12)
    passes: list[int] = []
    student.network.register_forward_pre_hook(lambda *_: passes.append(1))
    assert student.generate([prompts], plain, max_new_tokens=12) == plain
    assert len(passes) == 1
    passes.clear()
    half_right = [[answer[:6] for answer in plain[0]]]
    assert student.generate([prompts], half_right, max_new_tokens=12) == plain
    assert len(passes) == 1 + 5
    passes.clear()
    student.generate([prompts], max_new_tokens=12)
    assert len(passes) == 12


@pytest.mark.parametrize("batch_items", [2, 33])
def test_ties_aside_hundreds_of_answers_do_not_depend_on_the_batch(batch_items: int) -> None:
    student = model(3, architecture=DEEP)
    draw = torch.Generator().manual_seed(0)
    prompts = [torch.randint(2, 199, (1 + i % 17,), generator=draw).tolist() for i in range(60)]
    assert student.generate([prompts], max_new_tokens=12, batch_items=batch_items) == student.generate(
        [prompts], max_new_tokens=12
    )


@pytest.mark.parametrize("name", ["10k", "34k"])
def test_fresh_weights_are_a_pure_function_of_architecture_and_seed(name: str) -> None:
    shape = architecture(name)
    state = torch.get_rng_state()
    first = HuggingFaceModel.create(shape, words(), 7)
    torch.rand(3)
    again = HuggingFaceModel.create(shape, words(), 7)
    torch.set_rng_state(state)
    HuggingFaceModel.create(shape, words(), 7)
    assert torch.equal(torch.get_rng_state(), state)
    assert not differing(first.state(), again.state())
    assert differing(first.state(), HuggingFaceModel.create(shape, words(), 8).state())


@pytest.mark.parametrize("name", ["10k", "34k", "100k", "175k"])
def test_initial_weights_have_the_scale_of_their_width(name: str) -> None:
    shape = architecture(name)
    student = HuggingFaceModel.create(shape, words(), 0)
    embedding = student.network.get_input_embeddings().weight
    assert embedding.std().item() == pytest.approx(0.5 / math.sqrt(shape.hidden_size), rel=0.1)
    assert embedding is student.network.get_output_embeddings().weight
    assert student.hidden_size == shape.hidden_size


def test_a_checkpoint_comes_back_in_fp32_and_bit_for_bit(tmp_path: Path) -> None:
    student = model(4)
    student.save(tmp_path)
    back = HuggingFaceModel.load(tmp_path)
    assert not differing(student.state(), back.state())
    assert not back.network.training
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        assert sum(file.get_tensor(n).numel() for n in file.keys()) == student.capacity  # noqa: SIM118
    assert json.loads((tmp_path / "config.json").read_text())["architectures"] == ["Qwen3ForCausalLM"]
    student.network.to(torch.bfloat16)
    student.save(tmp_path)
    assert all(p.dtype == torch.float32 for p in HuggingFaceModel.load(tmp_path).state().values())


@pytest.mark.parametrize(
    "damage", ["nothing there", "no weights", "cut weights", "garbage", "pickle only", "no config", "no tokenizer"]
)
def test_an_unreadable_checkpoint_is_one_line(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "checkpoint"
    if damage != "nothing there":
        model(0).save(folder)
    file = folder / "model.safetensors"
    if damage == "no weights":
        file.unlink()
    elif damage == "cut weights":
        file.write_bytes(file.read_bytes()[:1000])
    elif damage == "garbage":
        file.write_bytes(b"not a tensor")
    elif damage == "pickle only":
        file.unlink()
        torch.save(model(0).state(), folder / "pytorch_model.bin")
    elif damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "no tokenizer":
        for found in folder.glob("tokenizer*"):
            found.unlink()
    with pytest.raises(UsageError, match=r"^checkpoint: (cannot be read, |'.*' is not a safetensors file: )") as caught:
        HuggingFaceModel.load(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_loading_and_saving_print_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    shown = logging.is_progress_bar_enabled()
    model(0).save(tmp_path)
    HuggingFaceModel.load(tmp_path)
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled() == shown


def broken(state: dict[str, Any], damage: str) -> dict[str, Any]:
    """A state that does not fit its model."""
    name = next(iter(state))
    if damage == "missing":
        del state[name]
    elif damage == "unknown":
        state["another.weight"] = torch.zeros(3)
    else:
        state[name] = state[name][:1] if damage == "broadcasts" else state[name][:-1]
    return state


@pytest.mark.parametrize("damage", ["missing", "unknown", "shape", "broadcasts"])
def test_weights_of_another_model_do_not_fit(damage: str) -> None:
    student = model(0)
    before = weights(student)
    with pytest.raises(UsageError, match="weights do not fit"):
        student.load_state(broken(weights(model(1)), damage))
    assert not differing(before, student.state())
