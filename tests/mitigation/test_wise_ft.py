"""WiSE-FT against (1 - alpha) x start + alpha x trained in double precision."""

from __future__ import annotations

import pytest
import torch

from forgetting.errors import UsageError
from forgetting.mitigation.wise_ft import WiSEFT
from forgetting.testing.small import differing, model, weights
from tests.mitigation.tuning import by_hand, fitted, moved


@pytest.mark.parametrize("alpha", [0.0, 0.3, 0.7])
def test_the_average_stands_in_at_a_look(alpha: float) -> None:
    student, part = model(0), WiSEFT(alpha)
    start, memory = weights(student), part.prepare(student, [])
    moved(student)
    trained = weights(student)
    with part.at_look(student, memory):
        for name, value in student.state().items():
            expected = (1 - alpha) * start[name].double() + alpha * trained[name].double()
            assert torch.allclose(value.double(), expected, atol=1e-6, rtol=0), name
        assert (not differing(start, student.state())) == (alpha == 0)
    assert not differing(trained, student.state())


def test_the_weights_come_back_from_a_look_that_fails() -> None:
    student, part = model(0), WiSEFT(0.5)
    memory = part.prepare(student, [])
    moved(student)
    trained = weights(student)
    with pytest.raises(RuntimeError), part.at_look(student, memory):
        raise RuntimeError
    assert not differing(trained, student.state())


def test_training_is_plain() -> None:
    one, other = model(0), model(0)
    fitted(one, WiSEFT(0.5))
    by_hand(other)
    assert not differing(one.state(), other.state())


@pytest.mark.parametrize("alpha", [-0.1, 1.1, float("nan")])
def test_bad_alpha(alpha: float) -> None:
    with pytest.raises(UsageError, match=r"^wise_ft\.alpha: must be from 0 to 1, got "):
        WiSEFT(alpha)
