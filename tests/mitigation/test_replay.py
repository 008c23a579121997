"""Replay: original samples in their order, of a limited store in turn; settings out of range."""

from __future__ import annotations

from itertools import islice
from typing import Any, cast

import pytest

from forgetting import registry
from forgetting.contracts import Contamination, Sample
from forgetting.errors import UsageError
from forgetting.mitigation.replay import Replay
from forgetting.seeds import generator
from forgetting.testing.small import model

ORIGINAL = cast(Contamination, registry.build("contamination", "original"))


def replayed(pool: int, count: int) -> list[Sample]:
    return list(islice(Replay(pool=pool).samples(model(0), None, ORIGINAL, generator(3, "replay")), count))


def test_a_limited_store_comes_again_in_turn() -> None:
    plain = list(islice(ORIGINAL.samples(generator(3, "replay")), 10))
    assert replayed(0, 10) == plain and len(set(plain)) == 10
    assert replayed(4, 10) == [*plain[:4], *plain[:4], *plain[:2]]


def test_it_leaves_the_dose_as_it_is_and_lengthens_the_stream() -> None:
    assert Replay(share=0.5).mix(1.0) == 0.5 and Replay(share=0.5).mix(0.5) == 0.25 and Replay(share=0.0).mix(1.0) == 1


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"share": 1.0}, "share: must be from 0 to below 1, got 1.0"),
        ({"pool": -1}, r"pool: must be 0 \(no sample comes twice\) or more, got -1"),
    ],
)
def test_errors(given: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=rf"^replay\.{message}"):
        Replay(**given)
