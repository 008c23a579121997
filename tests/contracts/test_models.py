"""Every member of the family models is held to its laws."""

from __future__ import annotations

import pytest

from forgetting.testing import ModelLaws
from tests.contracts import members

# Those that differ from these in their sizes, or in one thing that another of these has, are slow ones.
SLOW = ("qwen3-two-layers", "llama", "stacked-llama", "stacked-gpt2")


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(make, id=name, marks=[pytest.mark.slow] if name in SLOW else [])
        for name, make in members.models().items()
    ],
)
class TestModel(ModelLaws):
    pass
