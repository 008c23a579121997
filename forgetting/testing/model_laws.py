"""The laws of the models family: what its docstring promises, for any model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from forgetting.contracts import Model
from forgetting.testing.small import differing, weights
from forgetting.world.vocabulary import EOS

Make = Callable[[int], Model]  # from a seed to a small model with its own tokenizer
Tokens = list[list[int]]


Plain = tuple[Model, Tokens, Tokens, int]


word = st.integers(2, 199)


@cache
def built(make: Make, seed: int) -> Model:
    """A model whose weights no test may change."""
    return make(seed)


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
def stopping(draw: st.DrawFn, make: Make) -> Plain:
    """A model whose end token is one that it does write, prompts, a limit, and the answers it gives."""
    model = built(make, draw(st.integers(0, 3)))
    model.tokenizer.eos_token = EOS
    prompts, limit = draw(prompt_lists), draw(st.integers(1, 12))
    free = answers(model, prompts, limit=limit)
    written = sorted({t for answer in free for t in answer})
    end = draw(st.sampled_from([None, *written]))
    if end is not None:
        model.tokenizer.eos_token = model.tokenizer.convert_ids_to_tokens(end)
    return model, prompts, answers(model, prompts, limit=limit), limit


class ModelLaws:
    """The laws of the family. Parametrise a subclass over ``make``."""

    def test_shapes(self, make: Make) -> None:
        model = built(make, 0)
        tokens_RBT = torch.arange(2, 2 + 2 * 5).reshape(1, 2, 5).expand(model.replicas, -1, -1)
        with torch.no_grad():
            assert model.logits(tokens_RBT).shape == (model.replicas, 2, 5, len(model.tokenizer))
        assert model.capacity == sum(p.numel() for _, p in model.named_parameters()) // model.replicas
        assert 0 < model.capacity_non_embedding < model.capacity
        assert model.hidden_size == 16

    @settings(max_examples=10, deadline=None)
    @given(
        seed=st.integers(0, 2),
        before=st.lists(word, min_size=1, max_size=8),
        after=st.lists(word, min_size=1, max_size=8),
        other=word,
    )
    def test_logits_do_not_depend_on_later_tokens(
        self, make: Make, seed: int, before: list[int], after: list[int], other: int
    ) -> None:
        model = built(make, seed)
        both = torch.tensor([[*before, *after], [*before, *[other] * len(after)]]).expand(model.replicas, -1, -1)
        with torch.no_grad():
            first, second = model.logits(both)[:, :, : len(before)].unbind(1)
            alone = model.logits(both[:, :1, : len(before)])[:, 0]
        # Stacked, equal rows of a batch may be summed in different orders.
        assert torch.equal(first, second) if model.replicas == 1 else torch.allclose(first, second, atol=1e-5)
        assert torch.allclose(first, alone, atol=1e-5)

    def test_logits_of_a_sample_do_not_depend_on_its_neighbours_or_its_padding(self, make: Make) -> None:
        model = built(make, 1)
        pad = model.tokenizer.pad_token_id
        short, long = [5, 6, 7], [9, 30, 41, 52, 63, 74]
        tokens_RBT = torch.tensor([[*short, pad, pad, pad], long]).expand(model.replicas, -1, -1)
        with torch.no_grad():
            together = model.logits(tokens_RBT)[0, 0, :3]
            alone = model.logits(torch.tensor([short]).expand(model.replicas, -1, -1))[0, 0]
        assert torch.allclose(together, alone, atol=1e-5)

    @settings(max_examples=12, deadline=None)
    @given(data=st.data())
    def test_answers_are_greedy_and_the_same_every_time(self, make: Make, data: st.DataObject) -> None:
        model, prompts, plain, limit = data.draw(stopping(make))
        assert plain == [step_by_step(model, prompt, limit) for prompt in prompts]
        assert answers(model, prompts, limit=limit) == plain
        assert all(len(answer) <= limit and model.tokenizer.eos_token_id not in answer[:-1] for answer in plain)

    @settings(max_examples=25, deadline=None)
    @given(data=st.data())
    def test_drafts_never_change_answers(self, make: Make, data: st.DataObject) -> None:
        model, prompts, plain, limit = data.draw(stopping(make))
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

    @settings(max_examples=10, deadline=None)
    @given(data=st.data())
    def test_answers_do_not_depend_on_the_batch(self, make: Make, data: st.DataObject) -> None:
        model, prompts, plain, limit = data.draw(stopping(make))
        assert answers(model, prompts, limit=limit, batch_items=data.draw(st.integers(1, 4))) == plain
        order = data.draw(st.permutations(range(len(prompts))))
        assert answers(model, [prompts[i] for i in order], limit=limit) == [plain[i] for i in order]

    def test_generating_leaves_the_model_as_it_was(self, make: Make) -> None:
        model = make(0)
        model.network.train()
        before, state = weights(model), torch.get_rng_state()
        answers(model, [[5, 6, 7]], [[8]], limit=4)
        assert model.network.training
        assert not differing(before, model.state())
        assert torch.equal(torch.get_rng_state(), state)
        assert all(p.requires_grad and p.grad is None for _, p in model.named_parameters())

    def test_a_state_put_back_is_the_model_that_it_was_taken_from(self, make: Make) -> None:
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

    def test_the_parameters_are_the_state_in_a_fixed_order_and_tied_ones_come_once(self, make: Make) -> None:
        model = built(make, 0)
        names = [n for n, _ in model.named_parameters()]
        assert names == [n for n, _ in model.named_parameters()]
        assert len({id(p) for _, p in model.named_parameters()}) == len(names) == len(set(names))
        assert set(names) <= set(model.state())

    def test_a_saved_model_is_an_ordinary_checkpoint(self, make: Make, tmp_path: Path) -> None:
        model = built(make, 2)
        model.save(tmp_path)
        assert not [p for p in tmp_path.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".py")]
        words = AutoTokenizer.from_pretrained(tmp_path, local_files_only=True)
        assert words.get_vocab() == model.tokenizer.get_vocab()
        assert (words.eos_token, words.pad_token) == (model.tokenizer.eos_token, model.tokenizer.pad_token)
        tokens_BT = torch.arange(2, 12).expand(2, -1)
        network = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True, use_safetensors=True).eval()  # type: ignore[no-untyped-call]  # as above
        with torch.no_grad():
            assert torch.allclose(
                network(tokens_BT).logits, model.logits(tokens_BT.expand(model.replicas, -1, -1))[0], atol=1e-6
            )
