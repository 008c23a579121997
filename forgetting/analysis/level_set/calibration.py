"""How well the model foretells runs that it did not choose: hold-out runs in, coverage of its predictions out.

Shapes: N observations, D dimensions, T hold-outs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from forgetting.analysis.level_set import process
from forgetting.analysis.metrics import Floats
from forgetting.errors import require

SHARES = (0.5, 0.8, 0.9)  # of predictive intervals


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predicted and observed retention of hold-outs. ``sd_T`` holds model, seed and measurement together."""

    predicted_T: Floats
    sd_T: Floats
    observed_T: Floats

    @property
    def z(self) -> Floats:
        """(observed - predicted) / sd; standard normal if the model is right."""
        return np.asarray((self.observed_T - self.predicted_T) / self.sd_T)

    def coverage(self, shares: Sequence[float] = SHARES) -> dict[float, float]:
        """By share, how many of the hold-outs lie in the central predictive interval of that share."""
        return {s: float(np.mean(np.abs(self.z) <= special.ndtri(0.5 + s / 2))) for s in shares}


def calibration(points: ArrayLike, retention: ArrayLike, variance: ArrayLike, holdout: ArrayLike) -> Calibration:
    """Predict the runs marked in ``holdout`` (``[N]``, boolean) from all others; arguments as ``estimate_threshold``.

    Raises:
        UsageError: no hold-out, or fewer than two other runs.
    """
    x_ND, y_N, v_N = np.asarray(points, float), np.asarray(retention, float), np.asarray(variance, float)
    x_ND = x_ND[:, None] if x_ND.ndim == 1 else x_ND
    held = np.asarray(holdout, bool)
    require(bool(held.any()), "holdout", "true for at least one run", held.tolist())
    require(int((~held).sum()) >= 2, "holdout", "false for at least two runs", held.tolist())
    width = np.ptp(x_ND, axis=0)
    unit = (x_ND - x_ND.min(axis=0)) / np.where(width > 0, width, 1.0)
    data = process.rows(unit[~held], y_N[~held], v_N[~held])
    model = process.fit(data)
    mean, sd = model.predict(unit[held])
    return Calibration(mean, np.sqrt(sd**2 + v_N[held] + model.seed_sd**2), y_N[held])
