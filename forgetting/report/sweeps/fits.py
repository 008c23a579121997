"""What the search's Gaussian process says of a target's runs, for drawing and for zones: retention anywhere in range.

Shapes: N runs, Q places, D coordinates, S sample paths, C capacities.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from forgetting.analysis.level_set import process
from forgetting.analysis.level_set.estimate import FEWEST_PLACES, FEWEST_RUNS, models
from forgetting.analysis.level_set.process import RetentionProcess
from forgetting.analysis.metrics import Floats
from forgetting.analysis.statistics import Z_90
from forgetting.analysis.thresholds.zones import HIGH_SHIFT, LOW_SHIFT, zone_probabilities
from forgetting.report.sweeps.read import LocatedTarget, SweepFolder


@dataclass(frozen=True)
class Fitted:
    """A process in the units of its points. ``low_D`` and ``width_D`` take them to the unit cube."""

    model: RetentionProcess
    low_D: Floats
    width_D: Floats

    def predict(self, points_QD: ArrayLike) -> tuple[Floats, Floats]:
        """Mean and standard deviation of retention at points, each ``[Q]``; seed noise is not in it."""
        return self.model.predict(self._unit(points_QD))

    def band(self, points_QD: ArrayLike) -> tuple[Floats, Floats, Floats]:
        """Retention at points with its 90% interval, each ``[Q]``."""
        mean, sd = self.predict(points_QD)
        return mean, mean - Z_90 * sd, mean + Z_90 * sd

    def draws(self, points_QD: ArrayLike) -> Floats:
        """Retention of sample paths at points, hyperparameters drawn as well, ``[S, Q]``."""
        unit = self._unit(points_QD)
        return np.concatenate([m.paths(unit, z) for m, z in models(self.model, len(unit), 0)])

    def _unit(self, points_QD: ArrayLike) -> Floats:
        points = np.asarray(points_QD, float)
        return np.asarray((points.reshape(len(points), -1) - self.low_D) / self.width_D)


def fitted(points_ND: ArrayLike, rows: pd.DataFrame) -> Fitted | None:
    """The process fitted to the runs of ``rows`` at points; None where they are too few to say anything."""
    points = np.asarray(points_ND, float)
    if len(points) < FEWEST_RUNS:
        return None
    points = points.reshape(len(points), -1)
    if len(np.unique(points[:, 0])) < FEWEST_PLACES:
        return None
    low, width = points.min(axis=0), np.ptp(points, axis=0)
    width[width == 0] = 1.0
    students = rows["student"].astype(str) + "-d" + rows["distillation_seed"].astype(str)
    data = process.rows(
        (points - low) / width, rows["retention"], rows["variance"], students_N=students.to_numpy(object).astype(str)
    )
    return Fitted(process.fit(data), low, width)


def zones(sweep: SweepFolder, target: LocatedTarget) -> pd.DataFrame | None:
    """Section 4.2's zone of each capacity with its probability, from the process over capacity and shift.

    Columns as ``thresholds.zones.zone_probabilities`` has them, with the student first. At a shift that no run has
    measured, and beyond the sizes measured at it, retention is unknown. None where shift .5 has no fit.
    """
    rows = sweep.observations(target)
    fit = fitted(sweep.points(rows), rows) if HIGH_SHIFT in target.arms else None
    if fit is None:
        return None
    sizes = rows.drop_duplicates("student").sort_values("capacity")
    capacities = sizes["capacity"].to_numpy(float)
    draws, means = [], []
    for shift in (HIGH_SHIFT, LOW_SHIFT):
        drawn_SC = fit.draws(np.stack([np.log10(capacities), np.full(len(capacities), shift)], axis=1))
        at = rows.loc[rows["shift"] == shift, "capacity"]
        known = (capacities >= at.min()) & (capacities <= at.max()) if len(at) else np.zeros(len(capacities), bool)
        drawn_SC[:, ~known] = np.nan
        draws.append(drawn_SC)
        means.append(np.where(known, np.median(drawn_SC, axis=0), np.nan))
    if not np.isfinite(means[0]).any():
        return None
    table = zone_probabilities(capacities, *means, *draws)
    table.insert(0, "student", sizes["student"].to_numpy(object))
    return table
