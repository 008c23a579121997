"""The closed vocabulary and its tokenizer."""

from __future__ import annotations

from forgetting.world import vocabulary
from forgetting.world.tokenizer import tokenizer


def test_vocabulary_is_small_and_has_no_word_twice() -> None:
    words = vocabulary.words()
    assert len(words) == len(set(words)) <= 320
    assert sum(map(len, vocabulary.GROUPS)) == len({word for group in vocabulary.GROUPS for word in group}) <= 242
    assert not any(word != word.strip() or " " in word or not word for word in words)


def test_ids_of_special_words() -> None:
    ids = vocabulary.vocabulary()
    assert (ids[vocabulary.PAD], ids[vocabulary.EOS], ids[vocabulary.UNK]) == (0, 1, len(ids) - 1)
    assert sorted(ids.values()) == list(range(len(ids)))


def test_tokenizer_keeps_every_word_whole() -> None:
    words = tokenizer()
    text = " ".join(vocabulary.words())
    ids = words(text)["input_ids"]
    assert ids == [vocabulary.vocabulary()[word] for word in text.split()]
    assert words.decode(ids) == text
    assert words.unk_token_id == words("pterodactyl")["input_ids"][0]
    assert (words.pad_token_id, words.eos_token_id) == (0, 1)


def test_exposure_words_are_apart_from_plain_words() -> None:
    for plain, exposure in (
        (vocabulary.PLAIN_NAMES, vocabulary.EXPOSURE_NAMES),
        (vocabulary.PLAIN_OBJECTS, vocabulary.EXPOSURE_OBJECTS),
        (vocabulary.PLAIN_FUNCTIONS, vocabulary.EXPOSURE_FUNCTIONS),
        (vocabulary.PLAIN_VARIABLES, vocabulary.EXPOSURE_VARIABLES),
    ):
        assert exposure
        assert not set(plain) & set(exposure)
