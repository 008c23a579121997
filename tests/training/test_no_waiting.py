"""No step waits for its device: it runs on one that holds no values, where asking for one is an error."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from forgetting import losses
from forgetting.contracts import Batch, Model
from forgetting.models.stacked import StackedModel
from forgetting.testing.small import batch, model
from forgetting.training.adamw import StackedAdamW
from forgetting.training.module import BatchData
from forgetting.training.stack import stacked_batch

META = torch.device("meta")


def one() -> tuple[Model, Batch]:
    return model(0), batch(4)


def stack() -> tuple[Model, Batch]:
    together = StackedModel([model(0), model(1)])
    return together, stacked_batch([batch(4), batch(4)], together.tokenizer.pad_token_id)


@pytest.mark.parametrize("make", [one, stack])
def test_a_step_asks_its_device_for_no_value(make: Callable[[], tuple[Model, Batch]]) -> None:
    student, made = make()
    student.network.to(META).train()
    there = BatchData(lambda: iter(()), 0).transfer_batch_to_device(made, META, 0)
    assert there.tokens_RBT.device == META
    parameters = [p for _, p in student.named_parameters()]
    ones = torch.ones(student.replicas)
    adam: torch.optim.Optimizer = (
        StackedAdamW(parameters, 1e-3 * ones, clip_norm_R=ones)  # type: ignore[arg-type]
        if student.stacked
        else torch.optim.AdamW(parameters, lr=1e-3)
    )
    for _ in range(2):
        adam.zero_grad()
        losses.cross_entropy(student, there).sum().backward()
        if not student.stacked:
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        adam.step()


def test_without_what_is_known_before_it_would_have_to() -> None:
    student, made = one()
    student.network.to(META)
    bare = Batch(made.tokens_RBT.to(META), made.answer_RBT.to(META), made.denominator)
    with pytest.raises((NotImplementedError, RuntimeError)):
        losses.cross_entropy(student, bare)


def test_on_the_cpu_a_batch_stays_what_it_is() -> None:
    made = batch(4)
    assert BatchData(lambda: iter(()), 0).transfer_batch_to_device(made, torch.device("cpu"), 0) is made
