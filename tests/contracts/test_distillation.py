"""Every member of the family distillation is held to its laws."""

from __future__ import annotations

from forgetting.testing import DistillationLaws
from tests.contracts.members import every


@every("distillation")
class TestDistillation(DistillationLaws):
    pass
