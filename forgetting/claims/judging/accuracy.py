"""Accuracy of one student in one arm with its bootstrap: outcomes or counts in, drawn accuracies and retention out.

A *drawn* array has 1 + B entries: the estimate, then B draws of the paired hierarchical bootstrap (seed, template,
item). Statistics are plain arithmetic on drawn arrays. The same draws of runs and items serve every arm and dose of a
student, so that differences are paired.

A study without its ledger has counts instead of items: seeds are resampled, and right, lost and gained items are drawn
from their binomials, with the items at dose 0 shared by all arms of a student. Template clustering is then not counted.

Shapes: B draws, S runs, D doses, I items.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from forgetting import seeds
from forgetting.analysis import metrics, statistics
from forgetting.analysis.metrics import Floats

SeedPair = tuple[int, int]  # distillation seed, contamination seed
DRAWS = statistics.DRAWS


@dataclass(frozen=True, eq=False)
class Cell(ABC):
    """The outcomes of one student in one arm on some items of one benchmark."""

    student: str
    capacity: int
    arm: str
    chance: float
    items: int
    reached: dict[SeedPair, frozenset[int]]  # doses of each run, which all start at 0

    @abstractmethod
    def accuracies(self, dose: int, runs: Sequence[SeedPair]) -> Floats:
        """Accuracy of each run at a dose, drawn, ``[1+B, S]``; the draws of items are those of every other dose."""

    def runs(self, dose: int = 0) -> list[SeedPair]:
        """The runs that reached a dose, ascending."""
        return sorted(run for run, doses in self.reached.items() if {0, dose} <= doses)

    def accuracy(self, dose: int, runs: Sequence[SeedPair]) -> Floats:
        """Accuracy pooled over runs, drawn, ``[1+B]``."""
        weights = _weights(tuple(run[0] for run in runs), "runs")
        return np.asarray((weights * self.accuracies(dose, runs)).sum(axis=1) / weights.sum(axis=1))

    def retention(self, dose: int, runs: Sequence[SeedPair]) -> Floats:
        """Retention pooled over runs (ratio of pooled means), drawn, ``[1+B]``; NaN where a draw's base is chance."""
        now, base = self.accuracy(dose, runs), self.accuracy(0, runs)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(base > self.chance, (now - self.chance) / (base - self.chance), np.nan)

    def learned(self, runs: Sequence[SeedPair] | None = None) -> bool:
        """Whether the skill was learned: pooled accuracy at dose 0 is at least .30 above chance."""
        chosen = self.runs() if runs is None else list(runs)
        if not chosen:
            return False
        return bool(metrics.learned(self.accuracies(0, chosen)[0].mean(), self.chance))


@dataclass(frozen=True, eq=False)
class ItemCell(Cell):
    """A cell with its items."""

    right: dict[tuple[SeedPair, int], NDArray[np.bool_]]  # by run and dose, each [I]
    templates: tuple[str, ...]
    key: str  # names the items: other items have other draws

    def accuracies(self, dose: int, runs: Sequence[SeedPair]) -> Floats:
        """Items are resampled by template, then within it."""
        weights = _weights(self.templates, "items", self.key)
        outcomes_IS = np.stack([self.right[run, dose] for run in runs], axis=1).astype(float)
        return np.asarray(weights @ outcomes_IS / weights.sum(axis=1, keepdims=True))


@dataclass(frozen=True, eq=False)
class CountCell(Cell):
    """A cell of which only shares are known: by run and dose right, lost since dose 0, and gained."""

    shares: dict[tuple[SeedPair, int], tuple[float, float, float]]
    key: str  # what the draws at dose 0 depend on beside the student

    def accuracies(self, dose: int, runs: Sequence[SeedPair]) -> Floats:
        """Right, lost and gained items are drawn from their binomials."""
        return np.stack([self._drawn(run, dose) for run in runs], axis=1)

    def _drawn(self, run: SeedPair, dose: int) -> Floats:
        n, (base, *_) = self.items, self.shares[run, 0]
        right_B = seeds.generator(0, "claims", self.student, self.key, run[0]).binomial(n, base, DRAWS)
        if dose == 0:
            return np.concatenate([[base], right_B / n])
        right, lost, gained = self.shares[run, dose]
        rng = seeds.generator(0, "claims", self.student, self.key, self.arm, *run, dose)
        lost_B = rng.binomial(right_B, min(1.0, lost / base) if base > 0 else 0.0)
        gained_B = rng.binomial(n - right_B, min(1.0, gained / (1 - base)) if base < 1 else 0.0)
        return np.concatenate([[right], (right_B - lost_B + gained_B) / n])


@cache  # the items of a cell serve every dose, arm and student
def _weights(clusters: tuple[int | str, ...], *names: str) -> Floats:
    """The estimate's weights, which are 1, then those of the draws: ``[1+B, N]``."""
    return np.vstack([np.ones(len(clusters)), statistics.bootstrap_weights(clusters, *names, draws=DRAWS)])


def shared_runs(dose: int, *cells: Cell) -> list[SeedPair]:
    """The runs that reached a dose in every cell, ascending."""
    common = set.intersection(*(set(cell.runs(dose)) for cell in cells))
    return sorted(common)


def shared_doses(*cells: Cell) -> list[int]:
    """Doses above 0 that at least one run reached in every cell, ascending."""
    doses = {dose for run in cells[0].reached.values() for dose in run} - {0}
    return sorted(dose for dose in doses if shared_runs(dose, *cells))


def seed_count(runs: Sequence[SeedPair]) -> int:
    """Fresh students count by distillation seed; runs on one shared student by contamination seed."""
    students = {run[0] for run in runs}
    return len(students) if len(students) > 1 else len(set(runs))
