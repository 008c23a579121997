"""A stacked fit against separate ones: losses, gradients and weights of every replica, step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from forgetting import losses
from forgetting.contracts import Batch, Mitigation
from forgetting.mitigation.l2_sp import L2SP
from forgetting.mitigation.none import Unmitigated
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import Architecture
from forgetting.models.stacked import StackedModel
from forgetting.spec import Optimiser
from forgetting.testing.small import model, pool, words
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.stack import EachItsOwn, stacked_batch

TWO_LAYERS = Architecture("tiny-two", 16, 2, 2, 4, 24, 2)
STEPS = 20
OPTIMISERS = [
    Optimiser(batch_size=8, learning_rate=1e-3),
    Optimiser(batch_size=8, learning_rate=4e-3, clip_norm=0.5),
    Optimiser(batch_size=8, learning_rate=1e-3, rate_policy="inverse_width", clip_norm=0.0),
    Optimiser(batch_size=8, learning_rate=0.0),
]
MITIGATIONS: list[Mitigation] = [Unmitigated(), L2SP(strength=0.5), L2SP(strength=5.0), Unmitigated()]


class Watched(FitModule):
    """A fit that notes the losses and the gradients of each step, the latter as one vector a replica."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.losses: list[Tensor] = []
        self.gradients: list[Tensor] = []

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        loss = self.loss(batch)
        penalty = self.mitigation.penalty(self.student, self.memory) if self.mitigation else None
        self.losses.append((loss if penalty is None else loss + penalty).detach().clone())
        return super().training_step(batch, batch_index)

    def on_after_backward(self) -> None:
        replicas = self.student.replicas
        parts = [p.grad.reshape(replicas, -1) for _, p in self.student.named_parameters() if p.grad is not None]
        self.gradients.append(torch.cat(parts, 1).clone())


def students() -> list[HuggingFaceModel]:
    return [model(seed, architecture=TWO_LAYERS) for seed in range(4)]


def data(replica: int) -> list[Batch]:
    """Batches of the replica's own data, of its own lengths, the last ones smaller."""
    encoded, draw = pool(60, seed=replica), np.random.default_rng(replica)
    return [encoded.batch(draw.permutation(60)[: 8 if step < 17 else 5], 8) for step in range(STEPS)]


def alone(replica: int, student: HuggingFaceModel) -> Watched:
    mitigation = MITIGATIONS[replica]
    module = Watched(
        student, lambda b: losses.cross_entropy(student, b), OPTIMISERS[replica], total_steps=STEPS,
        mitigation=mitigation, memory=mitigation.prepare(student, []),
    )  # fmt: skip
    fit(module, lambda: iter(data(replica)))
    return module


def together(each: Sequence[HuggingFaceModel]) -> tuple[StackedModel, Watched]:
    memory = [m.prepare(student, []) for m, student in zip(MITIGATIONS, each, strict=True)]
    stack = StackedModel(each)
    replicas = tuple(stack.replica(number) for number in range(len(each)))
    module = Watched(
        stack, lambda b: losses.cross_entropy(stack, b), OPTIMISERS, total_steps=STEPS,
        mitigation=EachItsOwn(tuple(MITIGATIONS), replicas), memory=memory,
    )  # fmt: skip
    pad = words().pad_token_id
    fit(module, lambda: (stacked_batch(b, pad) for b in zip(*map(data, range(len(each))), strict=True)))
    return stack, module


def relative(one: Tensor, other: Tensor) -> float:
    return float((one - other).norm() / other.norm().clamp(min=1e-12))


def test_the_first_twenty_losses_and_gradients_of_every_replica_are_those_of_separate_fits() -> None:
    stack, stacked = together(students())
    assert len(stacked.losses) == len(stacked.gradients) == STEPS
    for number, student in enumerate(students()):
        single = alone(number, student)
        for step in range(STEPS):
            assert stacked.losses[step][number].item() == pytest.approx(single.losses[step].item(), rel=1e-5)
            assert relative(stacked.gradients[step][number], single.gradients[step][0]) < 1e-5, (number, step)
        for name, value in stack.replica(number).state().items():
            assert relative(value, student.state()[name]) < 1e-5, (number, name)


def test_one_replica_in_a_stack_is_the_ordinary_fit() -> None:
    student = students()[1]
    stack = StackedModel(students()[1:2])
    made = data(1)
    for trained in (student, stack):
        module = FitModule(trained, lambda b, m=trained: losses.cross_entropy(m, b), OPTIMISERS[1], total_steps=STEPS)
        fit(module, lambda: iter(made))
    for name, value in stack.state().items():
        assert relative(value[0], student.state()[name]) < 1e-5


def test_a_replica_that_diverges_leaves_the_others_bit_for_bit_as_they_were() -> None:
    finals = []
    for poisoned in (False, True):
        each = students()
        if poisoned:
            next(iter(each[2].state().values())).fill_(float("nan"))
        finals.append(together(each)[0].state())
    for name, healthy in finals[0].items():
        assert torch.equal(healthy[[0, 1, 3]], finals[1][name][[0, 1, 3]])
        assert finals[1][name][2].isnan().all() or name.endswith("norm.weight")


def test_the_state_of_a_replica_goes_on_alone() -> None:
    """What a stack leaves of a replica, weights and optimizer state, is what an ordinary fit takes up."""
    stack, module = together(students())
    tensors = module.optimiser_tensors(1)
    student = students()[1]
    single = alone(1, student)
    assert tensors.keys() == single.optimiser_tensors().keys()
    for name, value in single.optimiser_tensors().items():
        assert value.shape == tensors[name].shape
        assert relative(tensors[name].float(), value.float()) < 1e-4, name
    assert stack.replica(1).state().keys() == student.state().keys()


def test_replicas_may_not_differ_in_what_a_stack_has_once() -> None:
    stack = StackedModel(students()[:2])
    optimisers = [Optimiser(), Optimiser(betas=(0.5, 0.9))]
    module = FitModule(stack, lambda b: losses.cross_entropy(stack, b), optimisers, total_steps=1)
    with pytest.raises(ValueError, match="may differ in rate"):
        module.configure_optimizers()
