import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.contracts import Sample
from forgetting.seeds import generator
from forgetting.world import dialogue, vocabulary
from forgetting.world.dialogue import EXCHANGES, EXTRA_WORDS, OPENINGS, draw


def drawn(seed: int, count: int, turns: int = 1) -> list[Sample]:
    rng = generator(seed, "test", "dialogue")
    return [draw(rng, turns) for _ in range(count)]


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("turns", [1, 2])
def test_ten_thousand_dialogues_do_not_repeat(seed: int, turns: int) -> None:
    samples = drawn(seed, 10_000, turns)
    assert len({(s.prompt, s.answer) for s in samples}) == 10_000
    assert len({s.answer for s in samples}) > 8_000


@given(st.integers(0, 2**32), st.integers(1, 8))
def test_the_numbers_behind_a_dialogue_are_those_of_integers(seed: int, count: int) -> None:
    raw, plain = generator(seed, "test"), generator(seed, "test")
    assert [n >> 1 for n in raw.bit_generator.random_raw(count).tolist()] == plain.integers(0, 2**63, count).tolist()
    assert raw.bit_generator.state == plain.bit_generator.state


def test_every_intent_has_room_for_dialogues_that_do_not_repeat() -> None:
    openings = sum(opening.size() for opening in OPENINGS)
    assert min(openings * exchange.size() for exchange in EXCHANGES) > 2e7


def test_the_answer_follows_from_the_prompt() -> None:
    answers: dict[str, str] = {}
    for sample in itertools.chain(drawn(0, 5_000), drawn(0, 5_000)):
        assert answers.setdefault(sample.prompt, sample.answer) == sample.answer
    for exchange in EXCHANGES:
        fixed = [w for w in exchange.bot.split() if w.startswith("{")]
        assert set(fixed) - {"{name}"} <= set(exchange.user.split()), exchange.key
        assert len(fixed) >= 2, exchange.key


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**63 - 1), st.integers(1, 4))
def test_a_dialogue_has_its_turns_and_calls_the_user_by_name(seed: int, turns: int) -> None:
    sample = draw(generator(seed), turns)
    assert (
        sample.prompt.count("user :") == sample.prompt.count("bot :") - (sample.prompt.count("bot bot :") > 0) == turns
    )
    assert sample.prompt.endswith(" bot :")
    assert sample.depth == turns
    assert sample.skill == "dialogue"
    said = sample.prompt.split(" bot :")[0].split()
    assert set(said) & set(vocabulary.NAMES) & set(sample.answer.split())
    assert 8 <= len(sample.answer.split()) <= 18


@pytest.mark.parametrize("turns", [1, 2])
def test_lengths_are_those_of_small_talk(turns: int) -> None:
    samples = drawn(1, 2_000, turns)
    prompt = sum(len(s.prompt.split()) for s in samples) / len(samples)
    answer = sum(len(s.answer.split()) for s in samples) / len(samples)
    assert 18 <= prompt <= 32
    assert 10 <= answer <= 14


def test_every_intent_and_every_own_word_occurs_and_no_word_is_unknown() -> None:
    samples = drawn(2, 5_000, 2)
    said = {word for s in samples for word in f"{s.prompt} {s.answer}".split()}
    assert {s.template for s in samples} == {exchange.key for exchange in EXCHANGES}
    assert set(EXTRA_WORDS) <= said <= set(vocabulary.words())
    shared = {*vocabulary.NAMES, *vocabulary.OBJECTS, *vocabulary.COLOURS, *vocabulary.PLACES, *vocabulary.NUMBERS[2:]}
    assert shared <= said


def test_extra_words_are_few_and_new() -> None:
    others = {word for group in vocabulary.GROUPS for word in group}
    assert len(EXTRA_WORDS) == len(set(EXTRA_WORDS)) <= 55
    assert not others & set(EXTRA_WORDS)


def test_the_reference_set_is_always_the_same() -> None:
    first = dialogue.reference()
    dialogue.reference.cache_clear()
    assert dialogue.reference() == first
