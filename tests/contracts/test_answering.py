"""Every member of the family answering is held to its laws."""

from __future__ import annotations

from forgetting.testing import AnsweringLaws
from tests.contracts.members import every


@every("answering")
class TestAnswering(AnsweringLaws):
    pass
