"""Synthetic retention surfaces with known boundaries, and what runs say of them: parameters in, noisy retention out.

Noise is as in real runs: a seed-to-seed standard deviation of .08 on retention, then the items. Capacity is searched as
log10 of parameters, 4 to 5.7; shift from .05 to 1.

The retention of ``SURFACES`` never exceeds 1. Those of ``HELD_OUT`` are harder: accuracy at dose 0 is .85 and measured
too, so that single runs lie above 1 as real ones do.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution
from scipy import special

from forgetting.analysis.metrics import retention_variance

Floats = NDArray[np.float64]

LOW, HIGH = 4.0, 5.7  # log10 of parameters
ITEMS, SEED_SD = 120, 0.08
RUNGS = [float(r) for r in np.round(np.linspace(LOW, HIGH, 13), 4)]
SHIFTS = [0.05, 0.2, 0.5, 0.8, 0.95, 1.0]
COARSE = [float(r) for r in np.round(np.linspace(LOW, HIGH, 7), 4)]  # rungs of the grid on held-out surfaces
BASELINE, MANY_ITEMS = 0.85, 240  # of held-out surfaces
ALIKE = 0.02  # correlation of the answers of a run to items that are alike: the variance of 240 is that of 42
TAILS = 3  # degrees of freedom of heavy tails
ROOM = 0.05  # of a low plateau above the level
AT_SHIFT = 0.5  # where the threshold of a two-dimensional surface is asked for


def smooth(capacity: Floats, shift: Floats, edge: float, level: float) -> Floats:
    """Logistic, .9 to .5 within .37 decades; crosses the level at the edge."""
    return special.expit(special.logit(level) + 6 * (capacity - edge))


def stepped(capacity: Floats, shift: Floats, edge: float, level: float) -> Floats:
    """From .3 to .98 at the edge."""
    return np.where(capacity >= edge, 0.98, 0.3)


def diagonal(capacity: Floats, shift: Floats, edge: float, level: float) -> Floats:
    """Logistic; the boundary moves .8 decades from shift 0 to 1 and is at the edge at shift .5."""
    return special.expit(special.logit(level) + 8 * (capacity - edge - 0.8 * (shift - AT_SHIFT)))


def non_monotone(capacity: Floats, shift: Floats, edge: float, level: float) -> Floats:
    """Rises .5 decades below the edge, falls, and rises for good at the edge (to within the width of the dip)."""
    rise = special.expit(special.logit(level) + 14 * (capacity - edge + 0.5))
    return rise * (1 - 0.75 * np.exp(-(((capacity - edge + 0.12) / 0.14) ** 2)))


def plateau(capacity: Floats, shift: Floats, edge: float, level: float) -> Floats:
    """Logistic up to no more than .05 above the level, which it crosses at the edge."""
    top = level + ROOM
    return top * special.expit(special.logit(level / top) + 8 * (capacity - edge))


@dataclass(frozen=True)
class Surface:
    """A surface, where its edge may lie, whether shift is searched too, and how its runs are measured."""

    name: str
    retention: Callable[[Floats, Floats, float, float], Floats]
    edges: tuple[float, float]
    two: bool = False
    monotone: bool = True
    baseline: float = 1.0  # accuracy at dose 0; measured by each run if below 1
    items: int = ITEMS
    alike: float = 0.0  # correlation of the answers of one run
    tails: int | None = None  # degrees of freedom of the noise between seeds; normal if None

    def truth(self, edge: float, level: float) -> float:
        """The smallest log10 capacity from which retention stays at or above the level, at ``AT_SHIFT``."""
        fine = np.linspace(LOW, HIGH, 17_001)
        below = np.flatnonzero(self.retention(fine, np.full_like(fine, AT_SHIFT), edge, level) < level)
        return float(fine[below[-1] + 1])

    def space(self, *, ladder: bool, rungs: list[float] = RUNGS) -> dict[str, BaseDistribution]:
        """The search space: a ladder of students and a list of shifts, or continuous."""
        if ladder:
            found: dict[str, BaseDistribution] = {"capacity": CategoricalDistribution(rungs)}
            return found | ({"shift": CategoricalDistribution(SHIFTS)} if self.two else {})
        found = {"capacity": FloatDistribution(LOW, HIGH)}
        return found | ({"shift": FloatDistribution(0.05, 1.0)} if self.two else {})

    def run(self, params: dict[str, Any], edge: float, level: float, rng: np.random.Generator) -> tuple[float, float]:
        """Retention and its variance as one run measures them."""
        capacity, shift = np.asarray(params["capacity"]), np.asarray(params.get("shift", AT_SHIFT))
        mean = float(self.retention(capacity, shift, edge, level))
        right = self._right(self.baseline * (mean + SEED_SD * self._noise(rng)), rng)
        if self.baseline == 1:
            p = (right + 0.5) / (self.items + 1)
            return right / self.items, p * (1 - p) / self.items
        accuracy, start = right / self.items, self._right(self.baseline, rng) / self.items
        return accuracy / start, retention_variance(accuracy, start, self.items, 0.0)

    def _noise(self, rng: np.random.Generator) -> float:
        """Of mean 0 and variance 1."""
        if self.tails is None:
            return float(rng.standard_normal())
        return float(rng.standard_t(self.tails)) * np.sqrt((self.tails - 2) / self.tails)

    def _right(self, accuracy: float, rng: np.random.Generator) -> int:
        """Right answers at an accuracy; those to items that are alike come from a beta-binomial distribution."""
        p = float(np.clip(accuracy, 0, 1))
        if self.alike and 0 < p < 1:
            size = 1 / self.alike - 1
            p = float(rng.beta(p * size, (1 - p) * size))
        return int(rng.binomial(self.items, p))


SURFACES = {
    s.name: s
    for s in (
        Surface("smooth", smooth, (4.5, 5.2)),
        Surface("stepped", stepped, (4.4, 5.4)),
        Surface("diagonal", diagonal, (4.6, 5.1), two=True),
        Surface("non_monotone", non_monotone, (4.9, 5.2), monotone=False),
    )
}


def _held_out(name: str, retention: Callable[..., Floats], low: float, high: float, **how: Any) -> Surface:
    return Surface(name, retention, (low, high), baseline=BASELINE, items=MANY_ITEMS, **how)


HELD_OUT = {
    s.name: s
    for s in (
        _held_out("low_baseline", smooth, 4.5, 5.2),
        _held_out("items_alike", smooth, 4.5, 5.2, alike=ALIKE),
        _held_out("low_plateau", plateau, 4.5, 5.2),
        _held_out("heavy_tails", smooth, 4.5, 5.2, tails=TAILS),
        _held_out("near_low_end", smooth, 4.1, 4.4),
        _held_out("near_high_end", smooth, 5.2, 5.5),
    )
}


@dataclass
class Search:
    """A search under way on one surface with one edge: trials are asked of a sampler and told what a run measures."""

    surface: Surface
    space: dict[str, BaseDistribution]
    study: optuna.Study
    edge: float
    level: float
    rng: np.random.Generator
    score: Callable[[float], float] = lambda margin: margin  # what the objective returns for a margin

    def __post_init__(self) -> None:
        self.points: list[list[float]] = []
        self.retention: list[float] = []
        self.variance: list[float] = []

    def go_on(self, trials: int) -> None:
        """Ask for and tell some trials."""
        for _ in range(trials):
            trial = self.study.ask(self.space)
            retention, variance = self.surface.run(trial.params, self.edge, self.level, self.rng)
            trial.set_user_attr("variance", variance)
            self.study.tell(trial, self.score(retention - self.level))
            self.points.append([trial.params[name] for name in self.space])
            self.retention.append(retention)
            self.variance.append(variance)
