"""The ladder: names that say the parameter count, counts that equal the built models, strands of one dimension each."""

from __future__ import annotations

import re

import pytest
import torch
from transformers import Qwen3ForCausalLM

from forgetting.errors import UsageError
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import (
    DEEP_STRAND,
    DEEPER_STRAND,
    DEPTH_STRAND,
    GPU_RUNGS,
    LADDER,
    LOOPED_STRAND,
    WIDTH_STRAND,
    Architecture,
    architecture,
)
from forgetting.testing.small import words

EVERY = (*LADDER, *GPU_RUNGS, *WIDTH_STRAND, *DEEP_STRAND, *DEEPER_STRAND, *DEPTH_STRAND, *LOOPED_STRAND)
BUILT = ("10k", "14k", "20k", "34k", "50k", "70k", "100k", "175k", "455k", "1m", "looped-16")
by_name = pytest.mark.parametrize("rung", EVERY, ids=lambda a: a.name)


def said(name: str) -> float:
    """The number in a rung's name."""
    number, unit = re.fullmatch(r"(\d+)([km])", name).groups()  # type: ignore[union-attr]
    return int(number) * {"k": 1_000, "m": 1_000_000}[unit]


def counted(network: torch.nn.Module) -> int:
    """Parameters, tied ones once."""
    return sum(p.numel() for p in {id(p): p for p in network.parameters()}.values())


@pytest.mark.parametrize("rung", [*LADDER, *GPU_RUNGS], ids=lambda a: a.name)
def test_a_rung_has_the_parameters_that_its_name_says(rung: Architecture) -> None:
    assert rung.parameters(len(words())) == pytest.approx(said(rung.name), rel=0.05)


@pytest.mark.parametrize("name", BUILT)
def test_a_built_model_has_the_parameters_of_the_formula(name: str) -> None:
    rung = architecture(name)
    model = HuggingFaceModel.create(rung, words(), 0)
    assert model.capacity == counted(model.network) == rung.parameters(len(words()))
    embedding = model.network.get_input_embeddings().weight
    assert model.capacity_non_embedding == rung.non_embedding() == model.capacity - embedding.numel()
    assert model.network.get_output_embeddings().weight is embedding


@by_name
def test_the_formula_is_right_for_every_architecture(rung: Architecture) -> None:
    """Built without memory, from the configuration that the smallest rung is made with."""
    config = HuggingFaceModel.create(LADDER[0], words(), 0).network.config
    config.update(
        {
            "hidden_size": rung.hidden_size,
            "intermediate_size": rung.intermediate_size,
            "num_hidden_layers": rung.layers,
            "num_attention_heads": rung.heads,
            "num_key_value_heads": rung.key_value_heads,
            "head_dim": rung.head_dim,
            "layer_types": ["full_attention"] * rung.layers,
        }
    )
    with torch.device("meta"):
        network = Qwen3ForCausalLM(config)
    assert counted(network) == rung.parameters(len(words()))


def test_names_are_unique_and_found() -> None:
    assert len({a.name for a in EVERY}) == len(EVERY)
    for rung in EVERY:
        assert architecture(rung.name) is rung


@pytest.mark.parametrize(
    "rungs", [(*LADDER, *GPU_RUNGS), WIDTH_STRAND, DEEP_STRAND, DEPTH_STRAND], ids=["ladder", "width", "deep", "depth"]
)
def test_rungs_ascend_with_and_without_embeddings(rungs: tuple[Architecture, ...]) -> None:
    for sizes in ([a.parameters(len(words())) for a in rungs], [a.non_embedding() for a in rungs]):
        assert sizes == sorted(set(sizes))


def test_a_strand_changes_one_dimension() -> None:
    assert len({a.layers for a in WIDTH_STRAND}) == 1
    assert len({(a.hidden_size, a.intermediate_size, a.heads, a.head_dim) for a in DEPTH_STRAND}) == 1
    assert {a.intermediate_size / a.hidden_size for a in WIDTH_STRAND} == {2.5}
    assert {a.heads * a.head_dim / a.hidden_size for a in WIDTH_STRAND} == {1.0}


@pytest.mark.parametrize(
    ("name", "words_of_it"),
    [("34K", "did you mean '34k'"), ("", "unknown name ''"), ("depth-5", "did you mean 'depth-"), ("2m", "known: 10k")],
)
def test_an_unknown_rung(name: str, words_of_it: str) -> None:
    with pytest.raises(UsageError, match=r"^ladder\.students: unknown name ") as caught:
        architecture(name, "ladder.students")
    assert words_of_it in str(caught.value)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ((0, 1, 1, 2, 1, 1), "odd.hidden_size: must be at least 1, got 0"),
        ((8, 0, 1, 2, 1, 1), "odd.layers: must be at least 1, got 0"),
        ((8, 1, 1, 3, 1, 1), "odd.head_dim: must be even (rotary embedding), got 3"),
        ((8, 1, 3, 2, 1, 2), "odd.key_value_heads: must be a divisor of heads, got 2"),
        ((8, 1, 1, 2, -1, 1), "odd.intermediate_size: must be at least 1, got -1"),
    ],
)
def test_impossible_architectures(sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        Architecture("odd", *sizes)
    assert str(caught.value) == message
