"""No mitigation: every seam as the contract leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from forgetting.contracts import Mitigation


@dataclass(frozen=True)
class Unmitigated(Mitigation):
    """Plain fine-tuning."""

    stacks: ClassVar[bool] = True
    stream_only: ClassVar[bool] = True
