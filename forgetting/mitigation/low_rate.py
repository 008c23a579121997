"""A low learning rate: fewer weights move far while as much is learned in more steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from forgetting.contracts import Mitigation
from forgetting.errors import require


@dataclass(frozen=True)
class LowRate(Mitigation):
    """The arm's learning rate times a factor: retention is paid for in steps (arXiv 2509.20758, 2605.26097).

    It is the baseline of every other mitigation, since what any of them does to the size of the updates, it does too.

    Args:
        multiple: factor of the arm's rate, above 0; 1 changes nothing
    """

    stacks: ClassVar[bool] = True
    neutral: ClassVar[Mapping[str, Any] | None] = {"multiple": 1.0}
    multiple: float = 0.25

    def __post_init__(self) -> None:
        require(0 < self.multiple <= 1, "low_rate.multiple", "above 0 and at most 1", self.multiple)

    def rate(self) -> float:
        """The factor."""
        return self.multiple
