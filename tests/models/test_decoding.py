"""Decoding in slots: whatever was read first, and in however few slots, answers are those of plain decoding."""

from __future__ import annotations

import copy
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.errors import UsageError
from forgetting.models import decoding, huggingface
from forgetting.models.decodable import check_decodable
from forgetting.models.decoding import rows_together
from forgetting.models.decoding_slots import selected
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.testing.small import model, words

LIMIT = 10
WORDS = len(words())
TEXTS = st.lists(st.lists(st.integers(2, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=12)


def plain(student: HuggingFaceModel, prompt: list[int]) -> list[int]:
    """Greedy decoding by reading everything again for each token; with the end token where it came."""
    answer: list[int] = []
    while len(answer) < LIMIT and (not answer or answer[-1] not in student.ends):
        with torch.no_grad():
            answer.append(int(student.logits(torch.tensor([[[*prompt, *answer]]]))[0, 0, -1].argmax()))
    return answer


@settings(max_examples=25, deadline=None)
@given(TEXTS, st.integers(1, 5), st.integers(0, 3), st.data())
def test_answers_written_in_slots_are_those_of_plain_decoding(
    prompts: list[list[int]], slots: int, seed: int, data: Any
) -> None:
    student = model(seed)
    expected = [plain(student, prompt) for prompt in prompts]
    writing = student.decoding(LIMIT, slots)
    answers, drafts = [], []
    for answer in expected:  # what is known beforehand: a prefix; and a draft that is right up to some place
        known = data.draw(st.integers(1, len(answer)))
        right = data.draw(st.integers(known, len(answer)))
        wrong = data.draw(st.lists(st.integers(2, WORDS - 1), max_size=4))
        answers.append(answer[:known])
        drafts.append([*(t for t in answer[known:right] if t not in student.ends), *wrong])
    going = [i for i, answer in enumerate(answers) if writing.is_open(answer)]
    rows = [[*prompts[i], *answers[i]] for i in going]
    if rows:
        tokens_BT, places_N = student._padded([row[:-1] for row in rows], [1] * len(rows))
        with torch.no_grad():
            _, layers = student.read(tokens_BT, places_N)
        lengths = [len(row) - 1 for row in rows]
        writing.add(
            [answers[i] for i in going], [drafts[i] for i in going], selected(layers, range(len(rows))), lengths
        )
    writing.finish()
    assert answers == expected


def test_what_waits_is_written_once_it_takes_too_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    student, prompts = model(2), [[5, 6, 7], [8, 9], [10, 11, 12, 13]]
    expected = student.generate([prompts], max_new_tokens=LIMIT)
    monkeypatch.setattr(decoding, "KEPT_BYTES", 1)
    monkeypatch.setattr(decoding, "CPU_ROWS", 1)
    finished: list[int] = []
    finish = decoding.Decoding.finish
    monkeypatch.setattr(decoding.Decoding, "finish", lambda self: (finished.append(1), finish(self)))
    assert student.generate([prompts], max_new_tokens=LIMIT) == expected
    assert len(finished) > 1


def test_a_network_is_left_in_its_mode_and_draws_nothing() -> None:
    student = model(1)
    student.network.train()
    before = torch.get_rng_state()
    student.generate([[[5, 6]]], max_new_tokens=4)
    assert student.network.training
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("config", "length", "rule"),
    [
        ({"layer_types": ["linear_attention", "full_attention"]}, 5, "'linear_attention' are not decoded"),
        ({"attention_types": [[["global", "local"], 1]], "window_size": 8}, 9, "beyond its local attention of 8"),
        ({"alibi": True, "model_type": "falcon"}, 0, r"ALiBi, of 'falcon'\) are not decoded"),
        ({"layer_types": ["chunked_attention"]}, 0, "'chunked_attention' are not decoded"),
    ],
)
def test_layers_that_cannot_be_written_from_are_refused(config: dict[str, Any], length: int, rule: str) -> None:
    with pytest.raises(UsageError, match=rule):
        check_decodable(SimpleNamespace(**config), length)


def test_windows_are_decoded() -> None:
    check_decodable(SimpleNamespace(layer_types=["sliding_attention"], sliding_window=8), 9)
    check_decodable(SimpleNamespace(attention_types=[[["global", "local"], 1]], window_size=8), 8)
    check_decodable(SimpleNamespace(), 10_000)
    check_decodable(SimpleNamespace(sliding_window=8, use_sliding_window=False), 9)


def test_on_an_accelerator_the_keys_and_values_of_a_pass_are_bounded() -> None:
    config, there = model(0).network.config, torch.device("cuda")
    assert rows_together(config, 256, 40, there) == 256
    heads, size = config.num_key_value_heads, config.head_dim
    longest = decoding.PASS_BYTES // (2 * 4 * config.num_hidden_layers * heads * size * 100)
    assert rows_together(config, 256, longest, there) == 100
    assert rows_together(config, 256, 10**12, there) == 1


@pytest.mark.parametrize(("device", "most"), [("cuda", decoding.PASS_BYTES), ("cpu", decoding.CPU_BYTES)])
def test_the_logits_of_a_pass_are_bounded(device: str, most: int) -> None:
    """Sixteen answers of 150 tokens of a vocabulary of 262,144 took 14 GB at a look."""
    config = copy.copy(model(0).network.config)
    config.vocab_size = 262_144
    assert rows_together(config, 256, 40, torch.device(device), 128) == most // 2**27
    assert rows_together(config, 256, 40, torch.device(device), 10**6) == 1


def test_a_pass_on_a_processor_is_one_of_a_processor_whatever_else_the_machine_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With ``machine.device: cpu`` the weights stay there, on a machine with a GPU too."""
    student, seen = model(0), list[str]()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert rows_together(student.network.config, 256, 10**12, student.device) == decoding.CPU_ROWS

    def counted(config: Any, batch_items: int, length: int, device: torch.device, asked: int = 1) -> int:
        seen.append(device.type)
        return rows_together(config, batch_items, length, device, asked)

    monkeypatch.setattr(huggingface, "rows_together", counted)
    student.generate([[[5, 9, 4], [7, 2]]], max_new_tokens=2)
    assert seen == ["cpu"]


@pytest.mark.parametrize("pass_bytes", [decoding.PASS_BYTES, 2_000])
def test_answers_are_the_same_in_passes_as_an_accelerator_has_them(
    pass_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    student, asked = model(0), [[[5, 9, 4], [7, 2], [11, 3, 6, 8]]]
    expected = student.generate(asked, max_new_tokens=8)
    for module in (decoding, huggingface):
        monkeypatch.setattr(module, "rows_together", lambda *given: rows_together(*given[:3], torch.device("cuda")))
    monkeypatch.setattr(decoding, "PASS_BYTES", pass_bytes)
    assert student.generate(asked, max_new_tokens=8) == expected
    assert student.generate(asked, [[[3, 4], [], [5] * 7]], max_new_tokens=8) == expected


def test_answers_are_the_same_in_passes_of_few_logits(monkeypatch: pytest.MonkeyPatch) -> None:
    student, asked = model(0), [[[5, 9, 4], [7, 2], [11, 3, 6, 8]]]
    expected = student.generate(asked, max_new_tokens=8)
    monkeypatch.setattr(decoding, "CPU_BYTES", 1)
    assert student.generate(asked, max_new_tokens=8) == expected
    assert student.generate(asked, [[[3, 4], [], [5] * 7]], max_new_tokens=8) == expected
