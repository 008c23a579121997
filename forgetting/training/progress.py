"""Progress out of a fit: how many steps of how many, a few times a second at most."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import lightning

from forgetting.training.module import FitModule

Report = Callable[[int, int], None]


def silent(done: int, total: int) -> None:
    """The report of somebody who does not want to know."""


class Progress(lightning.Callback):
    """Calls ``report(done, total)`` at most five times a second."""

    def __init__(self, report: Report, total: int) -> None:
        self.report, self.total = report, total
        self._due = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Steps done so far."""
        assert isinstance(pl_module, FitModule)
        if (now := time.monotonic()) >= self._due:
            self._due = now + 0.2
            self.report(pl_module.step, self.total)
