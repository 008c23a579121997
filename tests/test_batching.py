"""From samples to tensors and back: where answers stand, what is padding, and the denominator of a step."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting import registry
from forgetting.batching import encode, texts, tokens
from forgetting.contracts import Sample
from forgetting.testing.small import samples, words
from forgetting.world.vocabulary import EOS
from forgetting.world.vocabulary import words as vocabulary

phrases = st.lists(st.sampled_from(vocabulary()), min_size=1, max_size=12).map(" ".join)


@settings(max_examples=50, deadline=None)
@given(st.lists(phrases, min_size=1, max_size=6))
def test_texts_come_back_from_their_tokens(given_texts: list[str]) -> None:
    rows = tokens(given_texts, words())
    assert [len(row) for row in rows] == [len(text.split()) for text in given_texts]
    assert texts(rows, words()) == given_texts
    assert rows == [words()(text, add_special_tokens=False)["input_ids"] for text in given_texts]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(["how", "many", "zebra", EOS, " ", "  ", "\t", "\x1f"])).map("".join), max_size=6)
)
def test_any_text_has_the_tokens_that_the_library_gives_it(given_texts: list[str]) -> None:
    core = words().backend_tokenizer
    expected = [encoding.ids for encoding in core.encode_batch(given_texts, add_special_tokens=False)]
    assert tokens(given_texts, words()) == expected


def test_special_tokens_are_no_text() -> None:
    t = words()
    assert texts([[t.eos_token_id, *tokens(["how many"], t)[0], t.pad_token_id], []], t) == ["how many", ""]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(phrases, phrases), min_size=1, max_size=6))
def test_an_encoded_pool_holds_prompt_answer_and_end_token(pairs: list[tuple[str, str]]) -> None:
    t = words()
    encoded = encode([Sample(p, a, "maths", 1, "t") for p, a in pairs], t)
    assert len(encoded) == len(pairs)
    assert encoded.tokens_PT.shape[1] == max(len(p.split()) + len(a.split()) + 1 for p, a in pairs)
    starts = encoded.end_P - encoded.learned()
    for row, start, end, (prompt, answer) in zip(encoded.tokens_PT, starts, encoded.end_P, pairs, strict=True):
        assert texts([row[:start].tolist()], t) == [prompt]
        assert texts([row[start : end - 1].tolist()], t) == [answer]
        assert row[end - 1] == t.eos_token_id
        assert (row[end:] == t.pad_token_id).all()


@settings(max_examples=50, deadline=None)
@given(
    index=st.lists(st.integers(0, 29), min_size=1, max_size=8),
    full=st.integers(8, 16),
)
def test_a_batch_marks_exactly_its_answers(index: list[int], full: int) -> None:
    pool, t = samples(30), words()
    encoded = encode(pool, t)
    made = encoded.batch(np.array(index), full)
    assert made.tokens_RBT.shape == made.answer_RBT.shape
    assert made.tokens_RBT.shape[:2] == (1, len(index))
    lengths = []
    for row, answer, place in zip(made.tokens_RBT[0], made.answer_RBT[0], index, strict=True):
        assert texts([row[answer].tolist()], t) == [pool[place].answer]
        assert texts([row[: int(answer.int().argmax())].tolist()], t) == [pool[place].prompt]
        lengths.append(int(answer.sum()))
    assert lengths == [len(pool[i].answer.split()) + 1 for i in index]
    assert made.denominator == pytest.approx(sum(lengths) * full / len(index))
    assert encoded.answer_tokens(np.array(index)) == sum(lengths)
    widest = max(len(pool[i].prompt.split()) + len(pool[i].answer.split()) + 1 for i in index)
    assert made.tokens_RBT.shape[2] == widest


def test_answer_tokens_of_the_whole_pool() -> None:
    pool = samples(30)
    encoded = encode(pool, words())
    assert encoded.answer_tokens() == sum(len(s.answer.split()) + 1 for s in pool)
    assert encoded.answer_tokens(np.array([], dtype=np.int64)) == 0


def test_items_are_encoded_with_their_gold_answers() -> None:
    items = registry.build("benchmarks", {"name": "maths", "items_per_depth": 3}).items()  # type: ignore[attr-defined]
    as_samples = [Sample(i.prompt, i.answer, i.skill, i.depth, i.template) for i in items]
    assert torch.equal(encode(items, words()).tokens_PT, encode(as_samples, words()).tokens_PT)
