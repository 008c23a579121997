"""The hand-written pass of small students: logits and gradients of Hugging Face's module, and where it stands back."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from forgetting.mitigation.lora import LoRA
from forgetting.models import fused_qwen3
from forgetting.models.decoding_slots import DecodingRow, Slots
from forgetting.models.ladder import LADDER, Architecture
from forgetting.testing.small import TINY, model

DEEP = Architecture("tiny-deep", 16, 3, 4, 6, 20, 2)


def by_module(network: Any, tokens_BT: Tensor, places_N: Tensor) -> Tensor:
    """What the network itself says at the places."""
    logits: Tensor = network(input_ids=tokens_BT, use_cache=False).logits
    return logits.flatten(0, 1)[places_N]


def gradients(network: Any, logits: Tensor, weight: Tensor) -> dict[str, Tensor | None]:
    network.zero_grad()
    (logits * weight).sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
    return {name: p.grad for name, p in network.named_parameters()}


def assert_same(network: Any, tokens_BT: Tensor, places_N: Tensor) -> None:
    """Logits, and the gradients of a random function of them."""
    expected = by_module(network, tokens_BT, places_N)
    found = fused_qwen3.logits_at(network, tokens_BT, places_N)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-5)
    weight = torch.randn(expected.shape, generator=torch.Generator().manual_seed(0))
    theirs = gradients(network, expected, weight)
    ours = gradients(network, found, weight)
    largest = max((float(g.abs().max()) for g in theirs.values() if g is not None), default=0.0)
    for name, gradient in theirs.items():  # one that is zero but for rounding is measured by the others
        own = ours[name]
        assert (own is None) == (gradient is None), name
        if gradient is not None and own is not None:
            scale = gradient.abs().max().clamp(min=max(1e-3, 1e-2 * largest))
            assert float((own - gradient).abs().max() / scale) < 3e-5, name


@settings(max_examples=25, deadline=None)
@given(
    layers=st.integers(1, 3),
    groups=st.tuples(st.integers(1, 3), st.integers(1, 2)),
    sizes=st.tuples(st.sampled_from([4, 6, 8]), st.integers(3, 20), st.integers(4, 12)),
    tied=st.booleans(),
    shape=st.tuples(st.integers(1, 4), st.integers(1, 9)),
    seed=st.integers(0, 10),
    data=st.data(),
)
def test_logits_and_gradients_are_the_modules(
    layers: int, groups: tuple[int, int], sizes: tuple[int, int, int], tied: bool, shape: tuple[int, int], seed: int,
    data: st.DataObject,
) -> None:  # fmt: skip
    torch.manual_seed(seed)
    network = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=30, hidden_size=sizes[2], intermediate_size=sizes[1], num_hidden_layers=layers,
            num_attention_heads=groups[0] * groups[1], num_key_value_heads=groups[0], head_dim=sizes[0],
            max_position_embeddings=32, initializer_range=0.3, tie_word_embeddings=tied,
        )
    )  # fmt: skip
    for name, parameter in network.named_parameters():
        if "norm" in name:  # ones would hide a gain that is left out
            parameter.data = torch.rand_like(parameter) + 0.5
    tokens_BT = torch.randint(0, 30, shape)
    assert fused_qwen3.suits(network)
    last = tokens_BT.numel() - 1
    places = data.draw(st.lists(st.integers(0, last), max_size=12))  # some twice, or none
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused_qwen3, "WORTH", data.draw(st.sampled_from([1, fused_qwen3.WORTH])))
        assert_same(network, tokens_BT, torch.tensor(places, dtype=torch.long))


@given(widths=st.lists(st.integers(1, 200), min_size=1, max_size=40))
def test_rows_of_like_length_are_attended_to_together(widths: list[int]) -> None:
    ordered = np.array(sorted(widths, reverse=True))
    groups = fused_qwen3._grouped(ordered)
    assert sum(groups) == len(widths) and min(groups) >= 1
    ends = np.cumsum(groups)
    read = sum(n * int(ordered[end - n]) for n, end in zip(groups, ends, strict=True))
    whole = len(widths) * int(ordered[0])
    assert sum(widths) <= read <= whole - fused_qwen3.WORTH * (len(groups) - 1)
    for n, end in zip(groups, ends, strict=True):  # no further group would be worth while
        group = ordered[end - n : end]
        assert all((group[0] - group[i]) * (n - i) < fused_qwen3.WORTH for i in range(n))


@pytest.mark.parametrize("architecture", [a for a in LADDER if a.name in ("10k", "34k", "175k")], ids=lambda a: a.name)
def test_rungs(architecture: Architecture) -> None:
    network = model(0, architecture=architecture).network
    tokens_BT = torch.randint(0, 200, (8, 40), generator=torch.Generator().manual_seed(1))
    assert fused_qwen3.suits(network)
    assert_same(network, tokens_BT, torch.arange(0, 320, 3))


def test_frozen_parameters_get_no_gradient() -> None:
    network = model(0, architecture=DEEP).network
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("layers.1" in name)
    assert_same(network, torch.arange(2, 14).reshape(2, 6), torch.tensor([2, 5, 7]))


def test_a_model_uses_it() -> None:
    student = model(0, architecture=DEEP)
    tokens_BT, places_N = torch.arange(2, 14).reshape(2, 6), torch.tensor([2, 5, 10])
    found = student.logits_at(tokens_BT[None], places_N[None])
    assert found.grad_fn is not None and type(found.grad_fn.next_functions[0][0]).__name__ == "_PassBackward"
    torch.testing.assert_close(found[0], by_module(student.network, tokens_BT, places_N), rtol=1e-4, atol=2e-5)


@settings(max_examples=15, deadline=None)
@given(
    shape=st.sampled_from([TINY, DEEP]),
    lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4),
    steps=st.integers(1, 3),
    seed=st.integers(0, 5),
)
def test_what_is_read_and_written_on_is_one_text(
    shape: Architecture, lengths: list[int], steps: int, seed: int
) -> None:
    student = model(seed, architecture=shape)
    width = max(lengths) + steps
    whole_BT = torch.randint(2, 200, (len(lengths), width), generator=torch.Generator().manual_seed(seed))
    read_BT = whole_BT[:, : max(lengths)].clone()
    for row, length in enumerate(lengths):
        read_BT[row, length:] = 0
    last_N = torch.tensor(lengths) - 1 + torch.arange(len(lengths)) * read_BT.shape[1]
    logits, layers = student.read(read_BT, last_N)
    batch = Slots(student, len(lengths), width)
    batch.fill(range(len(lengths)), [DecodingRow(layers, row, length, 0) for row, length in enumerate(lengths)])
    expected = student.network(whole_BT).logits
    rows = range(len(lengths))
    torch.testing.assert_close(logits, expected[rows, [n - 1 for n in lengths]], rtol=1e-4, atol=2e-5)
    next_BT = torch.stack([whole_BT[row, n : n + steps] for row, n in enumerate(lengths)])
    written = batch.step(next_BT).argmax(-1)
    assert written.tolist() == [expected[row, n : n + steps].argmax(-1).tolist() for row, n in enumerate(lengths)]
    batch.length_B -= steps
    for step in range(steps):  # one token a row goes another way
        one_BV = batch.step(next_BT[:, step : step + 1])[:, 0]
        torch.testing.assert_close(one_BV, expected[rows, [n + step for n in lengths]], rtol=1e-4, atol=2e-5)


def test_steps_of_very_sure_heads_stay_numbers() -> None:
    student = model(0, architecture=DEEP)
    with torch.no_grad():
        for name, weight in student.network.named_parameters():
            if "q_norm" in name or "k_norm" in name:
                weight.mul_(20)  # scores of some hundreds, whose exponentials no float holds
    whole_BT = torch.randint(2, 200, (3, 8), generator=torch.Generator().manual_seed(0))
    _, layers = student.read(whole_BT[:, :7], torch.tensor([6, 13, 20]))
    batch = Slots(student, 3, 8)
    batch.fill(range(3), [DecodingRow(layers, row, 7, 0) for row in range(3)])
    found_BV = batch.step(whole_BT[:, 7:])[:, 0]
    torch.testing.assert_close(found_BV, student.network(whole_BT).logits[:, 7], rtol=1e-3, atol=1e-4)


def test_a_teacher_tells_the_same_without_gradients() -> None:
    student = model(0, architecture=DEEP)
    tokens_RBT, places_RN = torch.arange(2, 26).reshape(1, 4, 6), torch.tensor([[0, 5, 7, 20]])
    told = student.targets_at(tokens_RBT, places_RN)
    assert not told.requires_grad
    torch.testing.assert_close(told, student.logits_at(tokens_RBT, places_RN).detach(), rtol=1e-5, atol=1e-6)


def test_logits_without_gradients_are_those_of_a_reader_bit_for_bit() -> None:
    student = model(0, architecture=DEEP)
    tokens_BT, places_N = torch.arange(2, 26).reshape(4, 6), torch.tensor([0, 5, 7, 20])
    with torch.no_grad():
        assert torch.equal(student.logits_at(tokens_BT[None], places_N[None])[0], student.read(tokens_BT, places_N)[0])


def hooked(network: Any) -> None:
    network.model.layers[0].mlp.register_forward_hook(lambda *_: None)


def backward_hooked(network: Any) -> None:
    network.model.layers[0].self_attn.q_proj.register_full_backward_hook(lambda *_: None)


def another_module(network: Any) -> None:
    network.model.layers[0].mlp.up_proj = nn.Sequential(network.model.layers[0].mlp.up_proj)


def another_forward(network: Any) -> None:
    network.model.norm.forward = lambda x: x


def dropping_out(network: Any) -> None:
    network.config.attention_dropout = 0.1
    network.train()


def settings_of(**changes: Any) -> Callable[[Any], None]:
    def change(network: Any) -> None:
        for name, value in changes.items():
            setattr(network.config, name, value)

    return change


@pytest.mark.parametrize(
    "change",
    [
        hooked, backward_hooked, another_module, another_forward, dropping_out,
        settings_of(hidden_act="gelu"), settings_of(attention_bias=True), settings_of(hidden_size=1024),
        settings_of(layer_types=["full_attention", "sliding_attention", "full_attention"]),
        lambda network: network.double(), lambda network: network.bfloat16(), lambda network: network.to("meta"),
        lambda network: network.gradient_checkpointing_enable(),
        lambda network: setattr(network.model.rotary_emb, "rope_type", "linear"),
    ],
)  # fmt: skip
def test_it_stands_back_where_the_module_may_do_something_else(change: Callable[[Any], Any]) -> None:
    network = copy.deepcopy(model(0, architecture=DEEP).network)
    assert fused_qwen3.suits(network)
    change(network)
    assert not fused_qwen3.suits(network)


def test_it_stands_back_under_autocast_before_long_texts_and_before_adapters() -> None:
    student = model(0, architecture=DEEP)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert not fused_qwen3.suits(student.network)
    assert not fused_qwen3.suits(student.network, fused_qwen3.LONGEST + 1)
    LoRA().prepare(student, [])
    assert not fused_qwen3.suits(student.network)
