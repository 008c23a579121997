"""Every member of the family distillation is held to its laws."""

from __future__ import annotations

import pytest

from forgetting.contracts import Distillation
from forgetting.distillation import process
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.testing import DistillationLaws
from forgetting.testing.small import model
from tests.contracts.members import every


@every("distillation")
class TestDistillation(DistillationLaws):
    @pytest.fixture
    def teacher(self, part: Distillation, monkeypatch: pytest.MonkeyPatch) -> HuggingFaceModel:
        """Of ``process`` one that writes gold answers: it wants answers with its mark."""
        if isinstance(part, process.Process):
            monkeypatch.setattr(process, "taught", lambda teacher, stream, limit: list(stream.samples))
        return model(2)
