"""Stops of a fit: the steps that end at a dose, and what is done there, once an optimizer step."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import lightning

from forgetting.analysis.early_stop import Rule
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


class Ending(lightning.Callback):
    """Ends the fit after the look at which the rule says so; no rule, no end. The run must be on one device."""

    def __init__(self, rule: Rule | None, scores: Path, stops: Mapping[int, int]) -> None:
        self.rule, self.scores, self.stops = rule, scores, stops

    def dose(self) -> int | None:
        """The dose at which the rule ends the run, from the looks on disk."""
        return self.rule.ended(self.scores, len(self.stops) - 1) if self.rule is not None else None

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """The look at this step, if there was one, has been written."""
        assert isinstance(pl_module, FitModule)
        if self.rule is not None and pl_module.step in self.stops and self.dose() is not None:
            trainer.should_stop = True
