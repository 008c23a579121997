"""Looped students: what the unrolled network says, weights that are one, checkpoints, draws of a step, refusals."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from forgetting.errors import UsageError
from forgetting.executors.stacking import looped
from forgetting.intervention.relearning import _tie_alike
from forgetting.mitigation._shared import blocks
from forgetting.models import fused_qwen3, looping
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture, architecture
from forgetting.models.scratch import byte_level_bpe, fresh_checkpoint
from forgetting.models.stacked import StackedModel
from forgetting.testing.small import differing, model, weights
from forgetting.training.module import shard
from tests.models.test_fused_qwen3 import assert_same

LOOPED = Architecture("tiny-looped", 16, 2, 2, 8, 16, 1, 3)
TOKENS = torch.arange(2, 16).reshape(2, 7)


def unrolled(network: Any, loops: int) -> Any:
    """A plain Qwen3 of so many copies of the layers."""
    own = len(network.model.layers) // looping.loops_of(network)
    other = copy.deepcopy(network)
    del other.config.tied_loops
    other.model.layers = torch.nn.ModuleList([copy.deepcopy(other.model.layers[i % own]) for i in range(own * loops)])
    for number, layer in enumerate(other.model.layers):
        layer.self_attn.layer_idx = number
    other.config.num_hidden_layers, other.config.layer_types = own * loops, ["full_attention"] * own * loops
    return other


def said(network: Any) -> Tensor:
    logits: Tensor = network(input_ids=TOKENS, use_cache=False).logits
    return logits


@pytest.mark.parametrize("loops", [1, 2, 3, 4])
def test_so_many_passes_are_so_many_copies_of_the_layers(loops: int) -> None:
    student = model(0, architecture=LOOPED)
    network = looping.passed(student.network, loops)
    assert looping.loops_of(network) == loops and looping.loops_of(student.network) == 3
    with torch.no_grad():
        assert torch.equal(said(network), said(unrolled(student.network, loops)))
    if loops > 1:
        assert not torch.allclose(said(network), said(looping.passed(student.network, 1)), atol=1e-3)


def test_a_gradient_is_the_sum_over_passes() -> None:
    student = model(0, architecture=LOOPED)
    apart = unrolled(student.network, 3)
    for network in (student.network, apart):
        said(network).square().mean().backward()
    theirs = dict(apart.named_parameters())
    for name, weight in student.named_parameters():
        _, layers, rest = name.partition("model.layers.")
        number, _, rest = rest.partition(".")
        names = [f"model.layers.{int(number) + 2 * k}.{rest}" for k in range(3)] if layers else [name]
        expected = torch.stack([theirs[n].grad for n in names]).sum(0)  # type: ignore[misc]
        torch.testing.assert_close(weight.grad, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("loops", [1, 3, 4])
def test_the_hand_written_pass_is_the_modules(loops: int) -> None:
    network = looping.passed(model(1, architecture=LOOPED).network, loops)
    assert fused_qwen3.suits(network)
    assert_same(network, TOKENS, torch.tensor([0, 4, 6, 9, 13]))


def test_it_has_the_parameters_of_its_unlooped_twin() -> None:
    for one, other in (("looped-16", "width-16"), ("looped-32", "width-32")):
        a, b = (model(0, architecture=architecture(name)) for name in (one, other))
        assert a.capacity == b.capacity and a.capacity_non_embedding == b.capacity_non_embedding
        assert [n for n, _ in a.named_parameters()] == [n for n, _ in b.named_parameters()]
        assert list(a.state()) == list(b.state())


def test_a_checkpoint_is_read_by_transformers_and_is_looped_again_here(tmp_path: Path) -> None:
    student = model(2, architecture=LOOPED)
    student.network.to(torch.bfloat16)
    student.save(tmp_path)
    network = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True, dtype=torch.float32).eval()  # type: ignore[no-untyped-call]
    again = HuggingFaceModel.load(tmp_path)
    again.network.eval()
    assert again.capacity == student.capacity and looping.loops_of(again.network) == 3
    assert not differing({n: w.float() for n, w in weights(student).items()}, again.state())
    with torch.no_grad():
        torch.testing.assert_close(said(network), said(again.network), rtol=0, atol=1e-6)
        before = again.generate([[[5, 6, 7]]], max_new_tokens=6)
        again.network.model.layers[1].mlp.up_proj.weight += 0.5
        assert torch.equal(
            again.network.model.layers[5].mlp.up_proj.weight, again.network.model.layers[1].mlp.up_proj.weight
        )
    assert again.generate([[[5, 6, 7]]], max_new_tokens=6) != before


@pytest.mark.parametrize(
    ("loops", "message"),
    [
        (5, "tied_loops must be a divisor of its 6 layers, got 5"),
        (0, "tied_loops must be a whole number, at least 1, of a 'qwen3', got 0"),
        ("3", "tied_loops must be a whole number, at least 1, of a 'qwen3', got '3'"),
        (6, "says tied_loops: 6, and "),
    ],
)
def test_a_configuration_that_its_layers_do_not_bear_out(tmp_path: Path, loops: Any, message: str) -> None:
    model(0, architecture=LOOPED).save(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "tied_loops": loops}))
    with pytest.raises(UsageError) as caught:
        HuggingFaceModel.load(tmp_path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_while_it_learns_every_step_draws_its_passes() -> None:
    student = model(0, architecture=LOOPED)
    places_N = torch.tensor([3, 6, 13])
    drawn = [looping.drawn(student.network, step) for step in range(300)]
    assert {n: 80 < drawn.count(n) < 120 for n in (1, 2, 3)} == {1: True, 2: True, 3: True}
    student.network.train()
    for step in (drawn.index(1), drawn.index(2), drawn.index(3)):
        student.begin_step(step)
        expected = said(looping.passed(student.network, drawn[step]))
        torch.testing.assert_close(student.logits(TOKENS[None])[0], expected)
        torch.testing.assert_close(student.logits_at(TOKENS[None], places_N[None])[0], expected.flatten(0, 1)[places_N])
        with torch.no_grad():  # what is only looked at is whole
            torch.testing.assert_close(student.logits(TOKENS[None])[0], said(student.network))
    student.begin_step(drawn.index(1))
    student.network.eval()
    torch.testing.assert_close(student.logits(TOKENS[None])[0], said(student.network))
    plain = model(0)
    plain.begin_step(1)
    assert looping.drawn(plain.network, 1) == 0


def test_what_cannot_be_done_with_one_is_said() -> None:
    with pytest.raises(UsageError, match=r"^stack: looped students are trained one at a time"):
        StackedModel([model(seed, architecture=LOOPED) for seed in (0, 1)])
    with pytest.raises(UsageError, match=r"^machine.strategy: must be ddp for a looped student"):
        shard(model(0, architecture=LOOPED).network, None)
    with pytest.raises(UsageError, match=r"^odd.loops: must be at least 1, got 0"):
        Architecture("odd", 16, 2, 2, 8, 16, 1, 0)
    assert looped(LOOPED) and not looped(architecture("10k"))


def test_a_fresh_network_is_tied_as_the_student_is() -> None:
    """Relearning compares with a twin that was never taught, which must have no more weights than the student."""
    network = model(0, architecture=LOOPED).network
    fresh = type(network)(copy.deepcopy(network.config))
    _tie_alike(network, fresh)
    assert sum(p.numel() for p in fresh.parameters()) == sum(p.numel() for p in network.parameters())
    assert fresh.model.layers[5].mlp.up_proj.weight is fresh.model.layers[1].mlp.up_proj.weight
    assert not torch.equal(fresh.model.layers[1].mlp.up_proj.weight, network.model.layers[1].mlp.up_proj.weight)


def test_students_of_a_checkpoint_are_looped_as_well(tmp_path: Path) -> None:
    tokenizer = byte_level_bpe(["three and four make seven"], 270)
    student = HuggingFaceModel.load(fresh_checkpoint(tmp_path, LOOPED, tokenizer, 0))
    assert student.loops == 3 and student.capacity == LOOPED.parameters(len(tokenizer))


def test_its_blocks_are_those_with_weights_of_their_own() -> None:
    assert blocks(model(0, architecture=LOOPED)) == ["model.layers.0.", "model.layers.1."]
