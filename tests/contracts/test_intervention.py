"""Every member of the family intervention is held to its laws."""

from __future__ import annotations

from forgetting.testing import InterventionLaws
from tests.contracts.members import every


@every("intervention")
class TestIntervention(InterventionLaws):
    pass
