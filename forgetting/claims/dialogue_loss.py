"""C5, dialogue costs maths: a measured study in, the loss of retention against the control out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from forgetting.claims._loss import LossClaim, LossReading, lower_rate
from forgetting.claims.judging.comparisons import control_of, loss
from forgetting.claims.judging.decision import interval
from forgetting.claims.judging.verdict import RivalState


@dataclass(frozen=True)
class DialogueLoss(LossClaim):
    """C5: dialogue costs maths more than as much text of the original distribution does."""

    identifier: ClassVar[str] = "C5"
    rivals: ClassVar[tuple[str, ...]] = ("noise", "rate")

    dose: int = 10_000

    def states(self, reading: LossReading) -> Mapping[str, Callable[[], RivalState]]:
        """Any text does it; the learning rate does it."""
        return {"noise": lambda: _noise(reading), "rate": lambda: lower_rate(reading)}


def _noise(reading: LossReading) -> RivalState:
    study, found = reading.study, reading.found
    other = control_of(study, reading.arm, "noise")
    noise = None if other is None else loss(study, other, reading.pair.skill, found.dose, reading.control)
    common = [] if noise is None or noise.dose != found.dose else [k for k in found.by_size if k in noise.by_size]
    if noise is None or not common:
        return "open", "no arm 'noise' at the same shift, rate and dose"
    more = np.mean([found.by_size[key] - noise.by_size[key] for key in common], axis=0)
    low, high = interval(more, min(found.n.seeds, noise.n.seeds), found.n.items)
    text = f"noise costs {noise.mean[0]:.2f}; dialogue costs {more[0]:+.2f} more [{low:+.2f}, {high:+.2f}]"
    return "excluded" if low > 0 else "explains" if noise.interval()[0] > 0 and more[0] <= 0 else "open", text
