"""Every remedy on other architectures than the ladder's, as checkpoints have them: it trains and looks, all finite."""

from __future__ import annotations

from itertools import islice
from typing import cast

import pytest
import torch

from forgetting import registry
from forgetting.contracts import Contamination, Mitigation
from forgetting.errors import UsageError
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.seeds import generator
from forgetting.testing.small import differing, samples, weights
from tests.conftest import cases
from tests.contracts.members import MODELS, every
from tests.mitigation.tuning import fitted


@pytest.mark.filterwarnings("ignore:fan_in_fan_out")  # peft says so of GPT-2, and sets it
@pytest.mark.parametrize("architecture", cases(["gpt2", "llama"], "gpt2"))
@every("mitigation")
def test_it_trains_and_looks(part: Mitigation, architecture: str) -> None:
    original = cast(Contamination, registry.build("contamination", "original"))
    student = cast(HuggingFaceModel, MODELS[architecture](0))
    start = weights(student)
    if architecture == "gpt2" and part.short_name() == "growth":
        with pytest.raises(UsageError, match=r"^growth: must be of a student with gated"):
            fitted(student, part, steps=2)
        return
    memory = fitted(student, part, steps=2)
    trained = weights(student)
    assert differing(trained, start)
    with part.at_look(student, memory):
        assert all(torch.isfinite(value).all() for value in student.state().values())
    assert not differing(trained, student.state())
    again = cast(HuggingFaceModel, MODELS[architecture](0))
    kept = part.prepare(again, samples(part.memory_samples(), seed=1))
    assert len(list(islice(part.samples(again, kept, original, generator(0, "test")), 3))) == 3
