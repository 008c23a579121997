"""Every member of the family mitigation is held to its laws."""

from __future__ import annotations

from forgetting.testing import MitigationLaws
from tests.contracts.members import every


@every("mitigation")
class TestMitigation(MitigationLaws):
    pass
