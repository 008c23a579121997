"""Stops of a fit: the steps that end at a dose, and what is done there, once an optimizer step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

import lightning

from forgetting.training.module import FitModule


class AtStops(lightning.Callback):
    """Does something after each step in ``stops`` (step to dose), whatever the number of micro-batches."""

    def __init__(self, stops: Mapping[int, int]) -> None:
        self.stops = stops
        self._last_step = -1

    @abstractmethod
    def at_stop(self, step: int, module: FitModule) -> None:
        """What is done; the step has just ended."""

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Before the first step has ended, its micro-batches are at a stop that was dealt with before the fit."""
        assert isinstance(pl_module, FitModule)
        self._last_step = pl_module.step

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Lightning calls it once a micro-batch."""
        assert isinstance(pl_module, FitModule)
        step = pl_module.step
        if step != self._last_step and step in self.stops:
            self.at_stop(step, pl_module)
        self._last_step = step


class IntervalEvaluation(AtStops):
    """Calls ``measure(dose)`` at each stop."""

    def __init__(self, stops: Mapping[int, int], measure: Callable[[int], None]) -> None:
        super().__init__(stops)
        self.measure = measure

    def at_stop(self, step: int, module: FitModule) -> None:
        """The student is measured at the dose of the step."""
        self.measure(self.stops[step])
