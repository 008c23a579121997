"""The laws of the models family, for every model of ``members.models``."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from forgetting.contracts import Model
from forgetting.world.vocabulary import EOS
from tests.contracts import members
from tests.contracts.small import differing, weights

Tokens = list[list[int]]
Plain = tuple[Model, Tokens, Tokens, int]

every = pytest.mark.parametrize("name", members.models())


# Tokens that every vocabulary has, without padding and the usual end token.
word = st.integers(2, 199)


@cache
def built(name: str, seed: int) -> Model:
    """A model whose weights no test may change."""
    return members.models()[name](seed)


def answers(
    model: Model, prompts: Tokens, drafts: Tokens | None = None, *, limit: int, batch_items: int = 128
) -> Tokens:
    """Answers of the first replica; all replicas get the same prompts and drafts."""
    copies = model.replicas
    given_drafts = None if drafts is None else [drafts] * copies
    return model.generate([prompts] * copies, given_drafts, max_new_tokens=limit, batch_items=batch_items)[0]


def step_by_step(model: Model, prompt: list[int], limit: int) -> list[int]:
    """Greedy decoding the slow way: all logits anew for every token."""
    out: list[int] = []
    with torch.no_grad():
        while len(out) < limit:
            tokens_RBT = torch.tensor([*prompt, *out]).expand(model.replicas, 1, -1)
            token = int(model.logits(tokens_RBT)[0, 0, -1].argmax())
            out.append(token)
            if token == model.tokenizer.eos_token_id:
                break
    return out


prompt_lists = st.lists(st.lists(word, min_size=1, max_size=9), min_size=1, max_size=5)


@st.composite
def stopping(draw: st.DrawFn, name: str) -> Plain:
    """A model whose end token is one that it does write, prompts, a limit, and the answers it gives."""
    model = built(name, draw(st.integers(0, 3)))
    model.tokenizer.eos_token = EOS
    prompts, limit = draw(prompt_lists), draw(st.integers(1, 12))
    free = answers(model, prompts, limit=limit)
    written = sorted({t for answer in free for t in answer})
    if written and draw(st.booleans()):
        model.tokenizer.eos_token = model.tokenizer.convert_ids_to_tokens(draw(st.sampled_from(written)))
    return model, prompts, answers(model, prompts, limit=limit), limit


@every
def test_shapes(name: str) -> None:
    model = built(name, 0)
    tokens_RBT = torch.arange(2, 2 + 2 * 5).reshape(1, 2, 5).expand(model.replicas, -1, -1)
    with torch.no_grad():
        assert model.logits(tokens_RBT).shape == (model.replicas, 2, 5, len(model.tokenizer))
    assert model.capacity == sum(p.numel() for _, p in model.named_parameters()) // model.replicas
    assert 0 < model.capacity_non_embedding < model.capacity
    assert model.hidden_size == 16


@every
@settings(max_examples=10, deadline=None)
@given(
    seed=st.integers(0, 2),
    before=st.lists(word, min_size=1, max_size=8),
    after=st.lists(word, min_size=1, max_size=8),
    other=word,
)
def test_logits_do_not_depend_on_later_tokens(
    name: str, seed: int, before: list[int], after: list[int], other: int
) -> None:
    model = built(name, seed)
    both = torch.tensor([[*before, *after], [*before, *[other] * len(after)]]).expand(model.replicas, -1, -1)
    with torch.no_grad():
        first, second = model.logits(both)[:, :, : len(before)].unbind(1)
        alone = model.logits(both[:, :1, : len(before)])[:, 0]
    # Stacked, equal rows of a batch may be summed in different orders.
    assert torch.equal(first, second) if model.replicas == 1 else torch.allclose(first, second, atol=1e-5)
    assert torch.allclose(first, alone, atol=1e-5)


@every
def test_logits_of_a_sample_do_not_depend_on_its_neighbours_or_its_padding(name: str) -> None:
    model = built(name, 1)
    pad = model.tokenizer.pad_token_id
    short, long = [5, 6, 7], [9, 30, 41, 52, 63, 74]
    tokens_RBT = torch.tensor([[*short, pad, pad, pad], long]).expand(model.replicas, -1, -1)
    with torch.no_grad():
        together = model.logits(tokens_RBT)[0, 0, :3]
        alone = model.logits(torch.tensor([short]).expand(model.replicas, -1, -1))[0, 0]
    assert torch.allclose(together, alone, atol=1e-5)


@every
@settings(max_examples=12, deadline=None)
@given(data=st.data())
def test_answers_are_greedy_and_the_same_every_time(name: str, data: st.DataObject) -> None:
    model, prompts, plain, limit = data.draw(stopping(name))
    assert plain == [step_by_step(model, prompt, limit) for prompt in prompts]
    assert answers(model, prompts, limit=limit) == plain
    assert all(len(answer) <= limit and model.tokenizer.eos_token_id not in answer[:-1] for answer in plain)


@every
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_drafts_never_change_answers(name: str, data: st.DataObject) -> None:
    model, prompts, plain, limit = data.draw(stopping(name))
    end = model.tokenizer.eos_token_id
    drafts = []
    for answer in plain:
        cut = data.draw(st.integers(0, len(answer)))
        noise = data.draw(st.lists(word, max_size=6))
        kinds = [
            [],
            answer,
            answer[:cut],
            [*answer[:cut], *noise],
            noise,
            [*answer, end, *noise],
            [*answer[:cut], end, *noise],
        ]
        drafts.append(data.draw(st.sampled_from(kinds)))
    batch_items = data.draw(st.sampled_from([1, 2, 128]))
    assert answers(model, prompts, drafts, limit=limit, batch_items=batch_items) == plain


@every
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_answers_do_not_depend_on_the_batch(name: str, data: st.DataObject) -> None:
    model, prompts, plain, limit = data.draw(stopping(name))
    assert answers(model, prompts, limit=limit, batch_items=data.draw(st.integers(1, 4))) == plain
    order = data.draw(st.permutations(range(len(prompts))))
    assert answers(model, [prompts[i] for i in order], limit=limit) == [plain[i] for i in order]


@every
def test_generating_leaves_the_model_as_it_was(name: str) -> None:
    model = members.models()[name](0)
    model.network.train()
    before, state = weights(model), torch.get_rng_state()
    answers(model, [[5, 6, 7]], [[8]], limit=4)
    assert model.network.training
    assert not differing(before, model.state())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.requires_grad and p.grad is None for _, p in model.named_parameters())


@every
def test_a_state_put_back_is_the_model_that_it_was_taken_from(name: str) -> None:
    make: Callable[[int], Model] = members.models()[name]
    model, other = make(0), make(1)
    tokens_RBT = torch.arange(2, 12).expand(model.replicas, 1, -1)
    with torch.no_grad():
        expected = model.logits(tokens_RBT)
        assert not torch.equal(other.logits(tokens_RBT), expected)
        model.load_state(model.state())
        assert torch.equal(model.logits(tokens_RBT), expected)
        other.load_state(weights(model))
        assert torch.equal(other.logits(tokens_RBT), expected)
    assert list(model.state()) == list(other.state())


@every
def test_the_parameters_are_the_state_in_a_fixed_order_and_tied_ones_come_once(name: str) -> None:
    model = built(name, 0)
    names = [n for n, _ in model.named_parameters()]
    assert names == [n for n, _ in model.named_parameters()]
    assert len({id(p) for _, p in model.named_parameters()}) == len(names) == len(set(names))
    assert set(names) <= set(model.state())


@every
def test_a_saved_model_is_an_ordinary_checkpoint(name: str, tmp_path: Path) -> None:
    model = built(name, 2)
    model.save(tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".py")]
    words = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
    assert words.get_vocab() == model.tokenizer.get_vocab()
    assert (words.eos_token, words.pad_token) == (model.tokenizer.eos_token, model.tokenizer.pad_token)
    tokens_BT = torch.arange(2, 12).expand(2, -1)
    network = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True, use_safetensors=True).eval()
    with torch.no_grad():
        assert torch.allclose(
            network(tokens_BT).logits, model.logits(tokens_BT.expand(model.replicas, -1, -1))[0], atol=1e-6
        )
