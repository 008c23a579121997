"""Growth: the same function with more room, all of it trainable or only the new part."""

from __future__ import annotations

import pytest
import torch

from forgetting import losses
from forgetting.errors import UsageError
from forgetting.mitigation.growth import Growth
from forgetting.testing.small import batch, differing, model, weights
from tests.mitigation.tuning import fitted


@pytest.mark.parametrize("times", [1.5, 3.0])
def test_a_grown_student_has_so_many_parameters_and_the_same_function(times: float) -> None:
    student, data = model(0), batch(4)
    before, size = student.logits(data.tokens_RBT), student.capacity
    units = Growth(times).prepare(student, [])
    grown = sum(p.numel() for p in student.network.parameters())
    unit = 3 * student.hidden_size * student.network.config.num_hidden_layers  # parameters of a unit in every block
    assert grown == size + units * unit and abs(grown - times * size) <= unit
    assert torch.equal(student.logits(data.tokens_RBT), before)


def test_the_new_units_learn_and_then_the_function_is_another() -> None:
    student, data = model(0), batch(16)
    with torch.no_grad():
        loss = float(losses.cross_entropy(student, data))
    fitted(student, Growth(3.0), steps=12)
    new = {name: value for name, value in student.state().items() if ".grown." in name}
    assert len(new) == 3 * student.network.config.num_hidden_layers and all(value.any() for value in new.values())
    with torch.no_grad():
        with_them = float(losses.cross_entropy(student, data))
        for name, value in new.items():
            if "down_proj" in name:
                value.zero_()
        without = float(losses.cross_entropy(student, data))
    assert with_them < loss and without != with_them


def test_where_only_the_new_units_learn_the_old_weights_stay() -> None:
    student, before = model(0), weights(model(0))
    fitted(student, Growth(3.0, only_new=True), steps=6)
    after = student.state()
    assert not differing(before, {name: after[name] for name in before})
    assert all(".grown." in name for name, _ in student.named_parameters())


def test_what_is_refused() -> None:
    with pytest.raises(UsageError, match=r"growth\.times: must be a finite number, 1 or more"):
        Growth(0.5)
    with pytest.raises(UsageError, match=r"growth\.times: must be large enough for one new unit"):
        Growth(1.0001).prepare(model(0), [])
