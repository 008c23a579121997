"""The laws of the mitigation family: what its docstring promises, for any mitigation."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from itertools import islice
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from forgetting import losses, registry
from forgetting.contracts import Contamination, Mitigation, Sample
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.seeds import generator
from forgetting.spec import Optimiser
from forgetting.testing.small import batch, differing, gradients, model, pool, samples, weights
from forgetting.training.fit import fit
from forgetting.training.module import FitModule

STEPS, BATCH = 6, 4


@dataclass(frozen=True)
class Tuned:
    """A tiny model after some steps of the real fit, mitigated as in a contamination run; with what a resume needs."""

    student: HuggingFaceModel
    memory: Any
    kept: dict[str, Tensor]
    optimiser: dict[str, Tensor]

    @property
    def weights(self) -> dict[str, Tensor]:
        """By name."""
        return self.student.state()


def tuned(mitigation: Mitigation | None, first: Tuned | None = None, until: int = STEPS) -> Tuned:
    """From the start up to step ``until``, or on from the middle, where ``first`` ended."""
    student, encoded, begin = model(0), pool(STEPS * BATCH), STEPS // 2 if first else 0
    memory = mitigation.prepare(student, samples(mitigation.memory_samples(), seed=1)) if mitigation else None
    if first and mitigation:
        student.load_state(first.weights)
        for name, tensor in mitigation.kept(memory).items():
            tensor.copy_(first.kept[name])
    module = FitModule(
        student,
        lambda batch: losses.cross_entropy(student, batch),
        Optimiser(batch_size=BATCH, learning_rate=5e-3, warmup_steps=2),
        total_steps=until,
        first_step=begin,
        mitigation=mitigation,
        memory=memory,
        optimiser_state=first.optimiser if first else None,
    )
    rows = range(begin * BATCH, until * BATCH, BATCH)
    fit(module, lambda: (encoded.batch(np.arange(i, i + BATCH), BATCH) for i in rows))
    kept = {name: t.clone() for name, t in mitigation.kept(memory).items()} if mitigation else {}
    return Tuned(student, memory, kept, {name: t.clone() for name, t in module.optimiser_tensors().items()})


_RUNS: dict[str, Tuned] = {}  # small, and several laws look at the same run


def whole_run(part: Mitigation | None) -> Tuned:
    """The run of a part from start to end, made once; its weights are not to be changed."""
    if (key := repr(part)) not in _RUNS:
        _RUNS[key] = tuned(part)
    return _RUNS[key]


class MitigationLaws:
    """The laws of the family. Parametrise a subclass over ``part``."""

    def test_at_its_neutral_setting_a_run_is_bit_for_bit_unmitigated(self, part: Mitigation) -> None:
        if part.neutral is None:
            pytest.skip("has no setting at which it does nothing")
        neutral = dataclasses.replace(part, **part.neutral)
        assert not differing(tuned(neutral).weights, whole_run(None).weights)
        assert [neutral.mix(shift) for shift in (0.05, 0.3, 1.0)] == [0.05, 0.3, 1.0] and neutral.rate() == 1.0

    def test_the_same_run_twice_is_the_same_run_and_a_resumed_one_too(self, part: Mitigation) -> None:
        one = tuned(part)
        assert not differing(one.weights, whole_run(part).weights)
        assert all(torch.isfinite(p).all() for p in one.weights.values())
        resumed = tuned(part, tuned(part, until=STEPS // 2))
        assert not differing(one.weights, resumed.weights) and not differing(one.kept, resumed.kept)

    def test_a_look_leaves_the_weights_as_it_found_them(self, part: Mitigation) -> None:
        one = whole_run(part)
        before = weights(one.student)
        with part.at_look(one.student, one.memory):
            assert all(torch.isfinite(p).all() for p in one.weights.values())
        assert not differing(before, one.weights)

    def test_what_is_replayed_is_a_function_of_the_generator(self, part: Mitigation) -> None:
        student, original = model(0), cast(Contamination, registry.build("contamination", "original"))
        memory = part.prepare(student, samples(part.memory_samples()))
        one, other = (list(islice(part.samples(student, memory, original, generator(3, "law")), 5)) for _ in "ab")
        assert one == other and len(one) == 5 and all(isinstance(sample, Sample) for sample in one)

    def test_what_is_replayed_gets_room_in_the_stream(self, part: Mitigation) -> None:
        if type(part).samples is Mitigation.samples or part.at_once:
            pytest.skip("has no samples of its own")
        assert part.mix(1.0) < 1.0

    def test_the_loss_of_a_step_is_one_a_replica_and_its_gradient_finite(self, part: Mitigation) -> None:
        student = model(0)
        memory = part.prepare(student, samples(part.memory_samples()))
        loss = part.loss(student, memory, batch(4), lambda batch: losses.cross_entropy(student, batch))
        assert loss.shape == (student.replicas,)
        assert all(torch.isfinite(g).all() for g in gradients(student, [loss]).values())

    def test_what_is_pulled_is_finite_and_of_the_weights_shape(self, part: Mitigation) -> None:
        student = model(0)
        memory = part.prepare(student, samples(part.memory_samples()))
        for name, weight in student.named_parameters():
            taken = part.pull(name, weight.detach() + 0.01, memory, 1e-3)
            assert taken is None or (taken.shape == weight.shape and torch.isfinite(taken).all())

    def test_a_pull_at_a_rate_of_0_takes_nothing(self, part: Mitigation) -> None:
        student = model(0)
        memory = part.prepare(student, samples(part.memory_samples()))
        for name, weight in student.named_parameters():
            taken = part.pull(name, weight.detach() + 0.01, memory, 0.0)
            assert taken is None or not taken.any()

    def test_the_penalty_is_one_a_replica_and_its_gradient_finite(self, part: Mitigation) -> None:
        student = model(0)
        memory = part.prepare(student, samples(part.memory_samples()))
        with torch.no_grad():
            for _, p in student.named_parameters():
                p.add_(0.01)
        penalty = part.penalty(student, memory)
        if penalty is not None:
            assert penalty.shape == (student.replicas,) and torch.isfinite(penalty).all()
            assert all(torch.isfinite(g).all() for g in gradients(student, [penalty]).values())

    def test_preparing_does_not_change_the_student(self, part: Mitigation) -> None:
        student = model(0)
        before, mode = weights(student), student.network.training
        part.prepare(student, samples(part.memory_samples()))
        after = {
            name.replace(".base_layer", ""): value for name, value in student.state().items()
        }  # adapters stand beside
        assert not differing(before, {name: after[name] for name in before}) and student.network.training == mode
        assert torch.equal(student.logits(batch(4).tokens_RBT), model(0).logits(batch(4).tokens_RBT))
        assert all(p.grad is None and p.requires_grad for _, p in student.named_parameters())

    @pytest.mark.parametrize("shift", [0.05, 0.5, 1.0])
    def test_the_mixture_keeps_contaminating_samples_and_adds_none(self, part: Mitigation, shift: float) -> None:
        assert 0 < part.mix(shift) <= shift

    def test_settings_make_the_part_again(self, part: Mitigation) -> None:
        assert registry.build("mitigation", json.loads(json.dumps(part.settings()))) == part
