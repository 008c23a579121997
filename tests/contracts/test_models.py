"""Every member of the family models is held to its laws."""

from __future__ import annotations

import pytest

from forgetting.testing import ModelLaws
from tests.contracts import members


@pytest.mark.parametrize("make", members.models().values(), ids=members.models())
class TestModel(ModelLaws):
    pass
