import itertools
from typing import Any

import pytest

from forgetting.contamination.noise import Noise
from forgetting.errors import UsageError
from forgetting.registry import build
from forgetting.seeds import generator


@pytest.mark.parametrize("profile", ["uniform", "unigram"])
def test_equal_generators_give_equal_samples(profile: Any) -> None:
    first, second = (list(itertools.islice(Noise(profile).samples(generator(3, "a")), 50)) for _ in range(2))
    assert first == second
    assert first != list(itertools.islice(Noise(profile).samples(generator(4, "a")), 50))
    assert {(s.skill, s.template) for s in first} == {("noise", profile)}


def test_ten_thousand_samples_do_not_repeat() -> None:
    samples = itertools.islice(Noise().samples(generator(0)), 10_000)
    assert len({(s.prompt, s.answer) for s in samples}) == 10_000


@pytest.mark.parametrize("profile", ["unifrom", "", 3, None])
def test_bad_profile(profile: Any) -> None:
    with pytest.raises(UsageError, match=r"contamination\.noise\.profile: unknown name .*known: uniform, unigram"):
        Noise(profile)


def test_it_is_built_by_name() -> None:
    assert build("contamination", {"name": "noise", "profile": "unigram"}) == Noise("unigram")
