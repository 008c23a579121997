"""Tokens that halt: against a slow decoder that reads everything anew, and at thresholds that decide everything."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.contracts import Depth
from forgetting.models import fused_qwen3
from forgetting.models.halting import HaltingModel
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.testing.small import differing, model, weights

LOOPED = Architecture("tiny-looped", 16, 1, 2, 8, 16, 1, 3)
PROMPTS = [[5, 6, 7], [9, 10, 11, 12, 13], [20]]
LIMIT = 7


def student(seed: int = 0) -> HuggingFaceModel:
    """One whose passes differ in what they say: fresh ones hardly do."""
    made = model(seed, architecture=LOOPED)
    with torch.no_grad():
        for _, weight in made.named_parameters():
            weight *= 2.5
    return made


def slowly(looped: HuggingFaceModel, depth: Depth, prompt: list[int]) -> tuple[list[int], int]:
    """Answer and passes, layer by layer in plain Python over the whole text, halting token by token."""
    network, loops = looped.network, 3
    layer, decoder = network.model.layers[0], network.model
    answer: list[int] = []
    passes = 0
    with torch.no_grad():
        while len(answer) < LIMIT:
            tokens = torch.tensor([[*prompt, *answer]])
            x = decoder.embed_tokens(tokens)
            turn = decoder.rotary_emb(x, torch.arange(tokens.shape[1])[None])
            bias = torch.full((tokens.shape[1],) * 2, -torch.inf).triu(1)[None, None]
            halted = torch.zeros(tokens.shape[1], dtype=torch.bool)
            may = torch.arange(tokens.shape[1]) >= len(prompt)
            count, chance = torch.zeros(tokens.shape[1], dtype=torch.long), None
            for number in range(loops):
                count += ~halted
                after = layer(x, attention_mask=bias, position_embeddings=turn)
                x = torch.where(halted[:, None], x, after)
                before, chance = chance, network.lm_head(decoder.norm(x))[0].softmax(-1)
                if depth.written and number + 1 >= depth.written:
                    stops = torch.ones_like(halted)
                elif depth.halt == "entropy":
                    stops = -(chance * chance.log()).sum(-1) < depth.threshold
                elif depth.halt == "change" and before is not None:
                    stops = (chance - before).abs().sum(-1) / 2 < depth.threshold
                else:
                    stops = torch.zeros_like(halted)
                halted |= stops & may
            assert chance is not None
            passes += int(count[-1])
            answer.append(int(chance[-1].argmax()))
            if answer[-1] in looped.ends:
                break
    return answer, passes


@settings(max_examples=6, deadline=None)
@given(
    seed=st.integers(0, 3), batch_items=st.sampled_from([1, 2, 64]),
    depth=st.one_of(
        st.builds(Depth, halt=st.just("entropy"), threshold=st.floats(0.5, 5)),
        st.builds(Depth, halt=st.just("change"), threshold=st.floats(0.05, 0.95), written=st.sampled_from([0, 2])),
        st.builds(Depth, written=st.integers(1, 3)),
    ),
)  # fmt: skip
def test_answers_and_passes_are_those_of_a_slow_decoder(seed: int, batch_items: int, depth: Depth) -> None:
    looped = student(seed)
    own = looped.at_depth(depth)
    assert isinstance(own, HaltingModel) and not fused_qwen3.suits(own.network)
    answers = own.generate([PROMPTS], max_new_tokens=LIMIT, batch_items=batch_items)[0]
    expected = [slowly(looped, depth, prompt) for prompt in PROMPTS]
    assert answers == [answer for answer, _ in expected]
    assert own.layer_passes(PROMPTS, answers) == [passes for _, passes in expected]


def test_a_threshold_that_nothing_or_everything_is_below() -> None:
    looped = student()
    plain = looped.generate([PROMPTS], max_new_tokens=LIMIT)[0]
    never = looped.at_depth(Depth(halt="entropy", threshold=1e-12))
    assert never.generate([PROMPTS], max_new_tokens=LIMIT)[0] == plain
    assert (
        never.layer_passes(PROMPTS, plain)
        == [3 * len(answer) for answer in plain]
        == looped.layer_passes(PROMPTS, plain)
    )
    always, first = looped.at_depth(Depth(halt="entropy", threshold=99.0)), looped.at_depth(Depth(written=1))
    answers = always.generate([PROMPTS], max_new_tokens=LIMIT)[0]
    assert answers == first.generate([PROMPTS], max_new_tokens=LIMIT)[0] != plain
    assert [a[0] for a in answers] == [a[0] for a in plain]  # told by the prompt, which is read with all passes
    assert always.layer_passes(PROMPTS, answers) == [3 + len(answer) - 1 for answer in answers]
    assert always.layer_passes([[5]], [[]]) == [0]


def test_it_has_the_students_weights_of_the_moment_and_leaves_it_as_it_was() -> None:
    looped = student()
    before = weights(looped)
    looped.network.train()
    own = looped.at_depth(Depth(written=2))
    one = own.generate([PROMPTS], max_new_tokens=LIMIT)
    assert not differing(before, looped.state()) and looped.network.training
    assert own.generate([PROMPTS], [[[1], [2], [3]]], max_new_tokens=LIMIT) == one
    with torch.no_grad():
        looped.network.model.layers[0].mlp.up_proj.weight *= -1
    assert own.generate([PROMPTS], max_new_tokens=LIMIT) != one
    assert fused_qwen3.suits(looped.network)  # no hooks are left on it


@pytest.mark.parametrize("loops", [1, 2, 4])
def test_fixed_passes_keep_to_the_hand_written_pass(loops: int) -> None:
    looped = student()
    own = looped.at_depth(Depth(loops))
    assert fused_qwen3.suits(own.network) and own.network is not looped.network
    answers = own.generate([PROMPTS], max_new_tokens=LIMIT)[0]
    assert own.layer_passes(PROMPTS, answers) == [loops * len(answer) for answer in answers]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fused_qwen3, "suits", lambda *_: False)
        assert looped.at_depth(Depth(loops)).generate([PROMPTS], max_new_tokens=LIMIT)[0] == answers
