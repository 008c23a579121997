"""Every member of the family contamination is held to its laws."""

from __future__ import annotations

from forgetting.testing import ContaminationLaws
from tests.contracts.members import every


@every("contamination")
class TestContamination(ContaminationLaws):
    pass
