"""Chat templates: what a student reads and learns is what the template says, rendered and tokenised once as a whole."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, normalizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from forgetting.batching import encode, prompt_tokens, prompts, start_of_text, tokens
from forgetting.contracts import Item, Sample
from forgetting.errors import UsageError
from forgetting.models.scratch import byte_level_bpe
from forgetting.natural import chat
from tests.contracts.members import DATA

WORDS = [line for name in ("gsm8k-train.jsonl", "conversations.jsonl") for line in (DATA / name).open()]
SPECIAL = ["<s>", "</s>", "<|end|>", "<|user|>", "<|assistant|>", "<pad>", "<unk>", "<eot>", "<soh>"]
TURNS = (("user", "Hello, you."), ("assistant", "Hi!"), ("user", "Bye\nnow"), ("assistant", "See you  soon."))

# Each with what it writes after an answer, up to the end token; None where it writes no such token.
TEMPLATES: dict[str, tuple[str, str | None]] = {
    "chatml": (
        "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
        "<|im_end|>",
    ),
    "zephyr": (
        "{% for m in messages %}{{ '<|' + m.role + '|>\n' + m.content + eos_token + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
        "</s>",
    ),
    "inst": (
        "{% for m in messages %}{% if m.role == 'user' %}{{ bos_token + '[INST] ' + m.content + ' [/INST]' }}"
        "{% else %}{{ ' ' + m.content + ' ' + eos_token }}{% endif %}{% endfor %}",
        " </s>",
    ),
    "headers": (
        "{{ bos_token }}{% for m in messages %}{{ '<soh>' + m.role + '<eot>\n\n' + m.content | trim + '<|end|>' }}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<soh>assistant<eot>\n\n' }}{% endif %}",
        "<|end|>",
    ),
    "thinking": (
        "{% for m in messages %}{{ '<|user|>' if m.role == 'user' else '<|assistant|>\n' }}"
        "{% if loop.last and m.role == 'assistant' %}<think>\n\n</think>\n\n{% endif %}"
        "{{ m.content.split('</think>')[-1].lstrip('\n') }}<|end|>\n{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}",
        "<|end|>",
    ),
    "bare": (
        "{% for m in messages %}{{ m.role + ': ' + m.content + '\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ 'assistant:' }}{% endif %}",
        None,
    ),
}


def sentencepiece_like(vocabulary: int = 400) -> PreTrainedTokenizerFast:
    """A tokenizer that puts a space mark before every stretch of text, as those of Llama 2 and its kin."""
    core = Tokenizer(BPE(byte_fallback=True, unk_token="<unk>"))
    core.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    bytes_ = [f"<0x{number:02X}>" for number in range(256)]
    trainer = BpeTrainer(vocab_size=vocabulary + 256, special_tokens=[*SPECIAL, *bytes_], show_progress=False)
    core.train_from_iterator(WORDS, trainer)
    core.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", core.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>",
        additional_special_tokens=["<|end|>", "<|user|>", "<|assistant|>", "<eot>", "<soh>"],
    )  # fmt: skip


def byte_level() -> PreTrainedTokenizerFast:
    """A byte-level tokenizer whose own end token is another than that of most templates."""
    made = byte_level_bpe(WORDS, 400)
    made.add_special_tokens({"additional_special_tokens": SPECIAL, "bos_token": "<s>", "eos_token": "</s>"})
    return made


KINDS = {"byte-level": byte_level(), "space marks": sentencepiece_like()}
MOST = [(kind, name) for kind, name in product(KINDS, TEMPLATES) if (kind, name) != ("space marks", "chatml")]


def words(kind: str, template: str) -> PreTrainedTokenizerFast:
    KINDS[kind].chat_template = TEMPLATES[template][0]
    return KINDS[kind]


def whole(turns: Any, t: PreTrainedTokenizerFast) -> list[int]:
    """The template's own ids, by transformers."""
    messages = [{"role": role, "content": content} for role, content in turns]
    ids: list[int] = t.apply_chat_template(messages, tokenize=True, return_dict=False)
    return ids


def one(turns: Any, t: PreTrainedTokenizerFast, **more: Any) -> tuple[list[int], list[bool]]:
    encoded = encode([Sample("", "", "dialogue", 0, "x", tuple(turns), **more)], t)
    return encoded.tokens_PT[0].tolist(), encoded.answer_PT[0].tolist()


phrases = st.text("aB é1 .\n", min_size=1, max_size=12).filter(lambda text: text.strip())
dialogues = st.lists(st.tuples(phrases, phrases), min_size=1, max_size=3).map(
    lambda pairs: tuple(turn for user, answer in pairs for turn in (("user", user), ("assistant", answer)))
)


@pytest.mark.parametrize(("kind", "template"), MOST)
@settings(max_examples=40, deadline=None)
@given(turns=dialogues)
def test_a_row_has_the_tokens_of_the_whole_template(kind: str, template: str, turns: Any) -> None:
    t = words(kind, template)
    row, learned = one(turns, t)
    expected = whole(turns, t)
    ended = TEMPLATES[template][1] is not None
    own = row if ended else row[:-1]
    assert own == expected[: len(own)]
    assert learned[-1] and row[-1] == (own[-1] if ended else t.eos_token_id)
    rest = t.decode(expected[len(own) :])
    assert not rest.strip(), "what is left out is blank"


@pytest.mark.parametrize(("kind", "template"), MOST)
def test_every_turn_is_learned_to_its_end_and_nothing_else(kind: str, template: str) -> None:
    t, end = words(kind, template), TEMPLATES[template][1]
    row, learned = one(TURNS, t)
    stretches, inside = list[list[int]](), False
    for token, own in zip(row, learned, strict=True):
        if own and not inside:
            stretches.append([])
        inside = own
        if own:
            stretches[-1].append(token)
    said = [t.decode(stretch).strip() for stretch in stretches]
    thought = "<think>\n\n</think>\n\n" if template == "thinking" else ""
    wanted = [f"Hi!{end or ''}", f"{thought}See you  soon.{end or t.eos_token}"]
    assert [" ".join(s.split()) for s in said] == [" ".join(w.split()) for w in wanted]


@pytest.mark.parametrize(("kind", "template"), MOST)
def test_what_is_learned_goes_on_from_the_prompt(kind: str, template: str) -> None:
    """The first learned token comes right after the tokens that a model is asked with."""
    t = words(kind, template)
    for place in (1, 3):
        row, learned = one(TURNS[: place + 1], t, given_turns=place)
        (asked,) = prompt_tokens([Sample("", "", "x", 0, "x", TURNS[: place + 1])], t)
        assert (
            row[: learned.index(True)] == asked
            and asked == tokens([chat.rendered(TURNS[:place], t, answering=True)], t)[0]
        )


@pytest.mark.parametrize("kind", KINDS)
def test_items_are_asked_and_answered_in_the_template(kind: str) -> None:
    for template in (name for other, name in MOST if other == kind):
        t = words(kind, template)
        item = Item("a/1", "What is 2 + 1?", " It is 3.", "maths", 1, "a", "original", "p")
        encoded, (asked,) = encode([item], t), prompt_tokens([item], t)
        row, learned = encoded.tokens_PT[0].tolist(), encoded.answer_PT[0].tolist()
        assert row[: len(asked)] == asked and learned == [False] * len(asked) + [True] * (len(row) - len(asked))
        turns = (("user", item.prompt), ("assistant", "It is 3."))
        assert row[: len(row) - 1] == whole(turns, t)[: len(row) - 1], template


def test_no_space_before_an_answer_that_is_a_turn() -> None:
    t = words("byte-level", "chatml")
    encoded = encode([Sample("Q", " It", "maths", 1, "x"), Sample("Q", "    return 1", "code", 1, "x")], t)
    said = [t.decode(encoded.tokens_PT[i][encoded.answer_PT[i]]) for i in range(2)]
    assert said == ["It<|im_end|>", "    return 1<|im_end|>"]


def test_a_turn_that_is_empty_or_marked_is_context() -> None:
    t = words("byte-level", "chatml")
    turns = (
        ("user", "a"),
        ("assistant", ""),
        ("user", "b"),
        ("assistant", "No."),
        ("user", "c"),
        ("assistant", "Yes."),
    )
    row, learned = one(turns, t, context_turns=(3,))
    assert t.decode([token for token, own in zip(row, learned, strict=True) if own]) == "Yes.<|im_end|>"
    assert row == whole(turns, t)[: len(row)]
    row, learned = one((("assistant", "Welcome."), *turns[:4]), t)
    assert t.decode([token for token, own in zip(row, learned, strict=True) if own]) == "No.<|im_end|>"


def test_what_a_template_refuses_is_told_with_the_row() -> None:
    t = byte_level_bpe(["x"], 300)
    t.chat_template = (
        "{% for m in messages %}{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
        "{{ raise_exception('turns must alternate') }}{% endif %}{{ m.content }}<|im_end|>{% endfor %}"
    )
    turns = (("user", "a"), ("user", "b"), ("assistant", "c"))
    with pytest.raises(UsageError) as caught:
        encode([Sample("", "", "x", 0, "x", turns, origin="'d.jsonl', line 3")], t)
    assert str(caught.value) == "'d.jsonl', line 3: the chat template refuses the dialogue: turns must alternate"
    t.chat_template = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    with pytest.raises(UsageError, match="does not write every assistant's turn once"):
        encode([Sample("", "", "x", 0, "x", TURNS)], t)


def test_answers_end_where_the_template_ends_them() -> None:
    for kind, name in MOST:
        t, end = words(kind, name), TEMPLATES[name][1]
        assert chat.turn_end(t) == (t.convert_tokens_to_ids(end.strip()) if end else None)
    assert chat.turn_end(byte_level_bpe(["x"], 300, chat=False)) is None


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_template_a_text_begins_as_the_tokenizer_begins_it(kind: str) -> None:
    t = byte_level_bpe(WORDS, 400, chat=False) if kind == "byte-level" else sentencepiece_like()
    if kind == "byte-level":
        t.add_special_tokens({"bos_token": "<s>"})
        t.backend_tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", t.bos_token_id)]
        )
    sample = Sample("Question: 2 + 2?\nAnswer:", " It is 4.", "maths", 1, "x")
    assert start_of_text(t) == [t.bos_token_id]
    (asked,) = prompt_tokens([sample], t)
    assert asked == t(sample.prompt)["input_ids"] == tokens(prompts([sample], t), t)[0]
    encoded = encode([sample], t)
    row = encoded.tokens_PT[0].tolist()
    assert row == [*t(sample.prompt + sample.answer)["input_ids"], t.eos_token_id]
    assert row.count(t.bos_token_id) == 1 and encoded.answer_PT[0].tolist().index(True) == len(asked)
