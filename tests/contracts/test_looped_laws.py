"""What is done to a student holds for a looped one too: the laws of three families, with it in the other's place."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from forgetting.models.ladder import Architecture
from forgetting.testing import InterventionLaws, MitigationLaws, mitigation_laws, small
from tests.contracts import test_distillation
from tests.contracts.members import every

pytestmark = pytest.mark.slow
LOOPED = Architecture("tiny", 16, 1, 2, 8, 16, 1, 3)


@pytest.fixture(autouse=True, scope="module")
def looped() -> Iterator[None]:
    """The small model of the suites is looped, and runs that are kept are not those of the other."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mitigation_laws, "_RUNS", {})
        patch.setitem(small.model.__kwdefaults__, "architecture", LOOPED)
        assert small.model().loops == 3
        yield


@every("mitigation")
class TestMitigationOfLooped(MitigationLaws):
    pass


@every("intervention")
class TestInterventionOfLooped(InterventionLaws):
    pass


class TestDistillationOfLooped(test_distillation.TestDistillation):
    pass
