"""Joint training: contaminating and original data are learned at once, which shows what a student could hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from forgetting.contracts import Mitigation


@dataclass(frozen=True)
class Joint(Mitigation):
    """The student learns the contamination while it is distilled, and no run in sequence follows."""

    stacks: ClassVar[bool] = True
    stream_only: ClassVar[bool] = True
    at_once: ClassVar[bool] = True
