import itertools
from typing import Any

import numpy as np
import pytest

from forgetting.contamination.dialogue import Dialogue
from forgetting.errors import UsageError
from forgetting.registry import build
from forgetting.seeds import generator


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_equal_generators_give_equal_samples(turns: int) -> None:
    source = Dialogue(turns)
    first, second = (list(itertools.islice(source.samples(generator(3, "a")), 50)) for _ in range(2))
    assert first == second
    assert first != list(itertools.islice(source.samples(generator(4, "a")), 50))
    assert {s.depth for s in first} == {turns}


def test_a_stream_carries_no_state_beside_its_generator() -> None:
    rng = generator(5)
    list(itertools.islice(Dialogue().samples(rng), 7))
    copy = np.random.Generator(np.random.PCG64())
    copy.bit_generator.state = rng.bit_generator.state
    assert next(Dialogue().samples(copy)) == next(Dialogue().samples(rng))


@pytest.mark.parametrize("turns", [0, -1, 7, 1.5, "2", True, None])
def test_bad_turns(turns: Any) -> None:
    with pytest.raises(UsageError, match=r"contamination\.dialogue\.turns: must be a whole number from 1 to 6, got "):
        Dialogue(turns)


def test_it_is_built_by_name() -> None:
    part = build("contamination", {"name": "dialogue", "turns": 3})
    assert part == Dialogue(3)
    assert part.settings() == {"name": "dialogue", "turns": 3}
