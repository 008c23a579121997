"""LiNeS against its formula, block by block, in double precision."""

from __future__ import annotations

import pytest
import torch

from forgetting.errors import UsageError
from forgetting.mitigation.lines import LiNeS
from forgetting.models.ladder import Architecture
from forgetting.testing.small import differing, model, weights
from tests.mitigation.tuning import by_hand, fitted, moved

THREE = Architecture("tiny-three", 16, 3, 2, 4, 24, 2)


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_each_block_has_its_share_of_the_change(alpha: float) -> None:
    student, part = model(0, architecture=THREE), LiNeS(alpha)
    start, memory = weights(student), part.prepare(student, [])
    moved(student)
    trained = weights(student)
    with part.at_look(student, memory):
        for name, value in student.state().items():
            block = int(name.split(".")[2]) if ".layers." in name else 0
            factor = alpha + (1 - alpha) * block / 2
            expected = start[name].double() + factor * (trained[name].double() - start[name].double())
            assert torch.allclose(value.double(), expected, atol=1e-6, rtol=0), name
    assert not differing(trained, student.state())


def test_training_is_plain() -> None:
    one, other = model(0), model(0)
    fitted(one, LiNeS(0.2))
    by_hand(other)
    assert not differing(one.state(), other.state())


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_bad_alpha(alpha: float) -> None:
    with pytest.raises(UsageError, match=r"^lines\.alpha: must be from 0 to 1, got "):
        LiNeS(alpha)
