"""The laws of the mitigation family, for every part of ``members.parts``."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import numpy as np
import pytest
import torch

from forgetting import losses, registry
from forgetting.contracts import Mitigation
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Optimiser
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from tests.contracts.members import every, parts
from tests.contracts.small import batch, differing, gradients, model, pool, samples, weights

STEPS, BATCH = 6, 4


def tuned(mitigation: Mitigation | None) -> HuggingFaceModel:
    """A tiny model after a few steps of the real fit, mitigated as in a contamination run."""
    student, encoded = model(0), pool(STEPS * BATCH)
    memory = mitigation.prepare(student, samples(8, seed=1)) if mitigation else None
    module = FitModule(
        student,
        lambda batch: losses.cross_entropy(student, batch),
        Optimiser(batch_size=BATCH, learning_rate=5e-3, warmup_steps=2),
        total_steps=STEPS,
        mitigation=mitigation,
        memory=memory,
    )
    fit(module, lambda: (encoded.batch(np.arange(i, i + BATCH), BATCH) for i in range(0, STEPS * BATCH, BATCH)))
    return student


def at_rest() -> list[Any]:
    """Every member at strength 0: by its setting of that name, or because it has none and adds nothing."""
    found = []
    for part in parts("mitigation"):
        if "strength" in part.settings():
            found.append(dataclasses.replace(part, strength=0.0))  # type: ignore[call-arg]
        elif type(part)() == part and part.short_name() == "none":
            found.append(part)
    return [pytest.param(part, id=part.short_name()) for part in dict.fromkeys(found)]


@pytest.mark.parametrize("part", at_rest())
def test_at_strength_0_a_run_is_bit_for_bit_unmitigated(part: Mitigation) -> None:
    assert not differing(tuned(part).state(), tuned(None).state())
    assert [part.mix(shift) for shift in (0.05, 0.3, 1.0)] == [0.05, 0.3, 1.0]


@every("mitigation")
def test_the_same_run_twice_is_the_same_run(part: Mitigation) -> None:
    one = tuned(part)
    assert not differing(one.state(), tuned(part).state())
    assert all(torch.isfinite(p).all() for p in one.state().values())
    assert differing(one.state(), model(0).state())


@every("mitigation")
def test_the_penalty_is_one_a_replica_and_its_gradient_finite(part: Mitigation) -> None:
    student = model(0)
    memory = part.prepare(student, samples(8))
    with torch.no_grad():
        for _, p in student.named_parameters():
            p.add_(0.01)
    penalty = part.penalty(student, memory)
    if penalty is not None:
        assert penalty.shape == (student.replicas,) and torch.isfinite(penalty).all()
        assert all(torch.isfinite(g).all() for g in gradients(student, [penalty]).values())


@every("mitigation")
def test_preparing_does_not_change_the_student(part: Mitigation) -> None:
    student = model(0)
    before, mode = weights(student), student.network.training
    part.prepare(student, samples(8))
    after = {name.replace(".base_layer", ""): value for name, value in student.state().items()}  # adapters stand beside
    assert not differing(before, {name: after[name] for name in before}) and student.network.training == mode
    assert torch.equal(student.logits(batch(4).tokens_RBT), model(0).logits(batch(4).tokens_RBT))
    assert all(p.grad is None and p.requires_grad for _, p in student.named_parameters())


@every("mitigation")
@pytest.mark.parametrize("shift", [0.05, 0.5, 1.0])
def test_the_mixture_keeps_contaminating_samples_and_adds_none(part: Mitigation, shift: float) -> None:
    assert 0 < part.mix(shift) <= shift


@every("mitigation")
def test_settings_make_the_part_again(part: Mitigation) -> None:
    assert registry.build("mitigation", json.loads(json.dumps(part.settings()))) == part
