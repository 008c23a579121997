"""No mitigation: every seam as the contract leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.contracts import Mitigation


@dataclass(frozen=True)
class Unmitigated(Mitigation):
    """Plain fine-tuning."""

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {}
    stream_only: ClassVar[bool] = True
