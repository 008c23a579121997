"""Mediators at dose 0 against gradients, a second step size, and hand-made distributions."""

from __future__ import annotations

import copy
import math
from itertools import islice

import numpy as np
import pytest
import torch

from forgetting import losses, seeds
from forgetting.batching import encode
from forgetting.contamination.dialogue import Dialogue
from forgetting.contamination.original import Original
from forgetting.contracts import Sample
from forgetting.evaluation import start_point as module
from forgetting.evaluation.start_point import start_point
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.models.ladder import architecture
from forgetting.testing.small import differing, weights
from forgetting.world.tokenizer import tokenizer

OLD = list(islice(Original().samples(seeds.generator(0, "old")), 12))
NEW = list(islice(Dialogue().samples(seeds.generator(0, "new")), 12))


@pytest.fixture(scope="module")
def student() -> HuggingFaceModel:
    return HuggingFaceModel.create(architecture("10k"), tokenizer(), 1)


def gradient(model: HuggingFaceModel, rows: list[Sample]) -> torch.Tensor:
    own = copy.deepcopy(model)
    own.network.double()
    losses.cross_entropy(own, encode(rows, own.tokenizer).batch(np.arange(len(rows)), len(rows))).sum().backward()
    return torch.cat([w.grad.flatten() for _, w in own.named_parameters()])


def test_the_slope_is_that_of_the_gradients_and_the_curvature_of_any_step(
    student: HuggingFaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = weights(student)
    found = start_point(student, student, OLD, NEW)
    assert not differing(before, weights(student)) and found["moved"] == 0
    g_old, g_new = gradient(student, OLD), gradient(student, NEW)
    assert found["pull"] == pytest.approx(float(g_new.norm()), rel=1e-6)
    assert found["slope"] == pytest.approx(-float(g_old @ g_new / g_new.norm()), rel=1e-2)
    monkeypatch.setattr(module, "STEP", module.STEP / 4)
    assert start_point(student, student, OLD, NEW)["curvature"] == pytest.approx(found["curvature"], rel=1e-2)
    along = start_point(student, student, NEW, NEW)
    assert along["slope"] == pytest.approx(-float(g_new.norm()), rel=1e-2)  # its own loss falls that way


def test_sureness_of_a_student_that_knows_nothing(student: HuggingFaceModel) -> None:
    """Of equal logits: entropy and NLL are the logarithm of the words, and no word stands out."""
    even = copy.deepcopy(student)
    with torch.no_grad():
        for name, weight in even.named_parameters():
            if "norm" in name or "embed" in name:
                weight.zero_()
    found = module._sureness(even, module._batch(even, OLD))
    words = math.log(even.network.config.vocab_size)
    assert found == pytest.approx({"entropy": words, "nll": words, "margin": 0.0}, abs=1e-5)


def test_how_far_a_student_has_come(student: HuggingFaceModel) -> None:
    far = copy.deepcopy(student)
    with torch.no_grad():
        for _, weight in far.named_parameters():
            weight.mul_(1.25)
    found = start_point(far, student, OLD, NEW)
    assert found["moved"] == pytest.approx(0.25, rel=1e-6)
    assert found["length"] == pytest.approx(1.25 * start_point(student, student, OLD, NEW)["length"], rel=1e-6)
    assert found["nll"] == pytest.approx(float(losses_of(far)), rel=1e-4)


def losses_of(model: HuggingFaceModel) -> torch.Tensor:
    with torch.no_grad():
        return losses.cross_entropy(model, encode(OLD, model.tokenizer).batch(np.arange(len(OLD)), len(OLD))).sum()
