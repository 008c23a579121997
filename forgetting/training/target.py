"""Where a fit that has a target stops: its checks on validation items in, the steps at which it slows and ends out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from forgetting.record.field_kinds import NUMBER, WHOLE
from forgetting.record.seals import read_shaped, write_sealed
from forgetting.spec import Until
from forgetting.training.module import FitModule
from forgetting.training.stops import AtStops

ROUNDING = 1e-9  # of a share of steps
PLATEAU_GAIN, PLATEAU_SHARE = 0.01, 5  # less is no gain, over so large a part (1 in 5) of the most steps
CHECKS = {"checks": [{"step": WHOLE, "accuracy": NUMBER}]}

Check = tuple[int, float]  # steps taken, accuracy
Why = Literal["reached", "plateau", "cap"]


def decided(checks: Sequence[Check], until: Until, most_steps: int) -> tuple[int, Why] | None:
    """The step from which the rate falls, and why; None while neither is known. A pure function of the checks."""
    latest = latest_step(until, most_steps)
    for place, (step, accuracy) in enumerate(checks):
        if step > latest:
            break
        if place and min(accuracy, checks[place - 1][1]) >= until.accuracy:
            return step, "reached"
        if step == latest:
            break
        before = [a for s, a in checks if s <= step - most_steps / PLATEAU_SHARE]
        if before and max(a for _, a in checks[: place + 1]) - max(before) < PLATEAU_GAIN:
            return step, "plateau"
    return (latest, "cap") if checks and checks[-1][0] >= latest else None


def latest_step(until: Until, most_steps: int) -> int:
    """The last step from which the rate can fall so long that the fit ends in time."""
    return math.floor(most_steps / (1 + until.decay) + ROUNDING)


class TargetStop:
    """The checks of one fit so far, in a file so that a resumed fit goes on from them, and what follows from them."""

    def __init__(self, until: Until, most_steps: int, file: Path, first_step: int) -> None:
        self.until, self.most_steps, self.file = until, most_steps, file
        remedy = f"delete the folder {str(file.parent)!r} and go on: what it is the work of is made again"
        kept = read_shaped(file, CHECKS, remedy)["checks"] if file.is_file() else []
        self.checks: list[Check] = [(one["step"], one["accuracy"]) for one in kept if one["step"] <= first_step]
        self._latest = latest_step(until, most_steps)

    @property
    def why(self) -> Why | None:
        """Why the fit ends, where that is known."""
        found = decided(self.checks, self.until, self.most_steps)
        return found[1] if found else None

    @property
    def slows_at(self) -> int:
        """Steps at constant rate; as far as is known, as many as leave room for the rest."""
        found = decided(self.checks, self.until, self.most_steps)
        return found[0] if found else self._latest

    @property
    def ends_at(self) -> int:
        """Steps in all."""
        fall = math.ceil(self.slows_at * self.until.decay - ROUNDING)
        return self.slows_at + fall if self.slows_at < self._latest else self.most_steps

    def factor(self, step: int) -> float:
        """The rate of a step, of that at constant rate."""
        return min(1.0, max(0.0, (self.ends_at - step) / max(1, self.ends_at - self.slows_at)))

    def add(self, step: int, accuracy: float) -> None:
        """Remember a check; it is durable afterwards."""
        self.checks.append((step, accuracy))
        write_sealed(self.file, {"checks": [{"step": step, "accuracy": found} for step, found in self.checks]})

    def summary(self) -> dict[str, Any]:
        """For the manifest: the steps taken, why no more, and every check."""
        return {"steps": self.ends_at, "why": self.why, "checks": [list(check) for check in self.checks]}


class AtTarget(AtStops):
    """Measures the student at every check, and after the last step, and ends the fit there."""

    def __init__(self, target: TargetStop, measure: Callable[[], float]) -> None:
        super().__init__({step: step for step in range(1, target.most_steps + 1)})
        self.target, self.measure = target, measure

    def at_stop(self, step: int, module: FitModule) -> None:
        """A check, where one is due; it comes before the snapshot of its step, which then has it."""
        due = step % self.target.until.every == 0 and self.target.why is None
        if due or step >= self.target.ends_at:
            self.target.add(step, self.measure())
        if step >= self.target.ends_at:
            module.trainer.should_stop = True
