"""The module: its learning rate step by step against numbers computed by hand, and the mitigation's seams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightning
import numpy as np
import pytest
import torch

from forgetting import losses
from forgetting.contracts import Mitigation, Model
from forgetting.models.ladder import Architecture
from forgetting.spec import Optimiser
from forgetting.testing.small import differing, model, pool, weights
from forgetting.training.fit import fit
from forgetting.training.module import FitModule


class Rates(lightning.Callback):
    """The learning rate that each step was taken with."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        self.rates.append(optimizer.param_groups[0]["lr"])


def rates_of(optimiser: Optimiser, total_steps: int, first_step: int = 0, hidden_size: int = 16) -> list[float]:
    student, encoded, seen = model(0, architecture=Architecture("tiny", hidden_size, 1, 2, 8, 16, 1)), pool(2), Rates()
    module = FitModule(
        student, lambda b: losses.cross_entropy(student, b), optimiser, total_steps=total_steps, first_step=first_step
    )
    fit(module, lambda: (encoded.batch(np.arange(2), 2) for _ in range(total_steps - first_step)), [seen])
    return seen.rates


def test_warm_up_then_constant() -> None:
    rates = rates_of(Optimiser(learning_rate=1e-3, warmup_steps=4), 7)
    assert rates == pytest.approx([0.25e-3, 0.5e-3, 0.75e-3, 1e-3, 1e-3, 1e-3, 1e-3])


def test_warm_up_times_linear_decay() -> None:
    rates = rates_of(Optimiser(learning_rate=8e-3, warmup_steps=2, schedule="linear"), 8)
    assert rates == pytest.approx([4e-3 * 8 / 8, 7e-3, 6e-3, 5e-3, 4e-3, 3e-3, 2e-3, 1e-3])


def test_no_warm_up() -> None:
    assert rates_of(Optimiser(learning_rate=1e-3, warmup_steps=0), 3) == pytest.approx([1e-3] * 3)


@pytest.mark.parametrize("schedule", ["constant", "linear"])
@pytest.mark.parametrize("first", [1, 3, 6])
def test_a_resumed_fit_goes_on_with_the_schedule(schedule: Any, first: int) -> None:
    optimiser = Optimiser(learning_rate=1e-3, warmup_steps=4, schedule=schedule)
    assert rates_of(optimiser, 8, first) == rates_of(optimiser, 8)[first:]


@pytest.mark.parametrize(("hidden_size", "factor"), [(16, 2.0), (32, 1.0), (64, 0.5)])
def test_the_rate_by_width(hidden_size: int, factor: float) -> None:
    optimiser = Optimiser(learning_rate=1e-3, warmup_steps=0, rate_policy="inverse_width")
    assert rates_of(optimiser, 1, hidden_size=hidden_size) == pytest.approx([factor * 1e-3])


@dataclass(frozen=True)
class Halving(Mitigation):
    """Halves the weights after each step; a penalty counts how often it was asked."""

    def prepare(self, student: Model, original: Sequence[Any]) -> dict[str, int]:
        return {"penalties": 0, "steps": 0}

    def penalty(self, student: Model, memory: dict[str, int]) -> None:
        memory["penalties"] += 1

    def after_step(self, student: Model, memory: dict[str, int]) -> None:
        memory["steps"] += 1
        for _, p in student.named_parameters():
            p.data.mul_(0.5)


def test_what_a_mitigation_does_after_a_step_is_part_of_the_step() -> None:
    """Whoever looks when a step ends (interval evaluation, snapshots) sees the weights as the next step finds them."""
    student, encoded, part = model(0), pool(2), Halving()
    memory, looks, inputs = part.prepare(student, []), [], []

    class Look(lightning.Callback):
        def on_train_batch_end(self, *_: Any) -> None:
            looks.append(weights(student))

    def loss(batch: Any) -> torch.Tensor:
        inputs.append(weights(student))
        return losses.cross_entropy(student, batch)

    module = FitModule(student, loss, Optimiser(warmup_steps=0), total_steps=4, mitigation=part, memory=memory)
    fit(module, lambda: (encoded.batch(np.arange(2), 2) for _ in range(4)), [Look()])
    assert memory == {"penalties": 4, "steps": 4}
    assert len(looks) == len(inputs) == 4
    for seen, following in zip(looks, [*inputs[1:], weights(student)], strict=True):
        assert not differing(seen, following)


def test_batches_are_asked_for_one_at_a_time() -> None:
    """A method that lets the student write its batches gets the student as the step before left it."""
    student, encoded, order = model(0), pool(2), []

    def batches() -> Any:
        for step in range(4):
            order.append(f"batch {step}")
            yield encoded.batch(np.arange(2), 2)

    def loss(batch: Any) -> torch.Tensor:
        order.append("step")
        return losses.cross_entropy(student, batch)

    fit(FitModule(student, loss, Optimiser(), total_steps=4), batches)
    assert order == ["batch 0", "step", "batch 1", "step", "batch 2", "step", "batch 3", "step"]


def test_a_resumed_fused_optimizer_has_the_count_of_its_steps_beside_the_weights() -> None:
    """As it must be on a GPU: Lightning moves an optimizer's averages to the device, and leaves the count."""
    student = model(0)
    student.network.to("meta")
    state = {
        f"{name}:{key}": torch.zeros_like(p) if key != "step" else torch.tensor(5.0)
        for name, p in student.named_parameters()
        for key in ("step", "exp_avg", "exp_avg_sq")
    }
    module = FitModule(
        student, lambda b: losses.cross_entropy(student, b), Optimiser(), total_steps=9, optimiser_state=state
    )
    module.trainer = lightning.Trainer(accelerator="cpu", logger=False, enable_checkpointing=False)
    adam = module.configure_optimizers()["optimizer"]
    assert {adam.state[p]["step"].device.type for p in student.network.parameters()} == {"meta"}
