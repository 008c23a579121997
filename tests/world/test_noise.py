import itertools
from collections import Counter

import pytest
from scipy import stats

from forgetting.seeds import generator
from forgetting.world import noise
from forgetting.world.dialogue import draw as draw_dialogue
from forgetting.world.vocabulary import words


def text(profile: str, count: int = 2_000) -> list[list[str]]:
    rng = generator(0, "test", "noise")
    return [f"{s.prompt} {s.answer}".split() for s in (noise.draw(rng, profile) for _ in range(count))]


@pytest.mark.parametrize("profile", noise.PROFILES)
def test_words_are_known_and_ordinary(profile: str) -> None:
    said = {word for line in text(profile) for word in line}
    assert said <= set(words())
    assert "<nl>" not in said


@pytest.mark.parametrize("profile", noise.PROFILES)
def test_lengths_are_those_of_dialogue(profile: str) -> None:
    rng = generator(1, "test", "noise")
    talk = [draw_dialogue(rng, 1) for _ in range(3_000)]
    random = [noise.draw(rng, profile) for _ in range(3_000)]
    for part in ("prompt", "answer"):
        sizes = [[len(getattr(s, part).split()) for s in samples] for samples in (talk, random)]
        assert stats.ks_2samp(*sizes).pvalue > 0.01


def test_uniform_noise_is_uniform_over_ordinary_words() -> None:
    counts = Counter(word for line in text("uniform", 4_000) for word in line)
    observed = [counts[word] for word in noise.pool("uniform")]
    assert len(set(noise.pool("uniform"))) == len(observed)
    assert stats.chisquare(observed).pvalue > 0.001


def test_unigram_noise_has_dialogues_frequencies_without_its_order() -> None:
    lines = text("unigram", 4_000)
    counts, wanted = Counter(word for line in lines for word in line), Counter(noise.pool("unigram"))
    total = sum(counts.values()) / sum(wanted.values())
    common = [word for word, n in wanted.items() if n >= 100]
    assert all(abs(counts[word] - wanted[word] * total) < 6 * (wanted[word] * total) ** 0.5 for word in common)
    pairs = Counter(pair for line in lines for pair in itertools.pairwise(line))
    assert pairs["user", ":"] < 0.2 * counts["user"]
