"""The smooth rival of a threshold: losses at some doses, capacities and replay shares in, a power law out.

loss increase = A D^beta / ((1 + B p) N)^alpha (Bethune et al., arXiv 2502.06042), with dose D, capacity N and replay
share p. Equal forgetting is then a straight line, log D* = const + (alpha / beta) log((1 + B p) N). Coefficients
minimise the Huber loss of residuals in the natural logarithm; their intervals come from a bootstrap of runs. B is
fitted only where the replay share varies, else it is 0. A loss that did not increase has no logarithm: such looks are
left out and counted, and where there are many the law overstates forgetting.

Shapes: R looks (a run at a dose), B draws, P coefficients in the order of ``NAMES``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import least_squares

from forgetting import seeds
from forgetting.analysis.metrics import Floats
from forgetting.analysis.statistics import TAIL
from forgetting.analysis.thresholds.status import FitStatus
from forgetting.errors import require

NAMES = ("A", "B", "alpha", "beta")
HUBER = 0.1  # log residual from which a look counts as an outlier: 10% of the loss increase
LARGEST_B = 1e6


@dataclass(frozen=True, eq=False)
class PowerLaw:
    """The coefficients, NaN unless ``status`` is ``fitted``, and those of every draw ``[B, P]``.

    ``A`` is in units of the loss for dose and capacity in units of ``unit_dose`` and ``unit_capacity`` (the geometric
    means of the data), so that it does not hang on the exponents.
    """

    status: str
    A: float
    B: float
    alpha: float
    beta: float
    unit_dose: float
    unit_capacity: float
    draws_BP: Floats
    looks: int
    left_out: int
    residual_sd: float  # of the natural logarithm

    @property
    def remedy(self) -> str:
        """What to do about the status."""
        return FitStatus[self.status].value

    @property
    def low(self) -> dict[str, float]:
        """Lower 95% bound of each coefficient."""
        return self._quantile(TAIL)

    @property
    def high(self) -> dict[str, float]:
        """Upper 95% bound of each coefficient."""
        return self._quantile(1 - TAIL)

    @property
    def slope(self) -> tuple[float, float, float]:
        """Decades of equally forgotten dose per decade of capacity, alpha / beta: (value, low, high) at 95%."""
        if self.status != FitStatus.fitted.name:
            return math.nan, math.nan, math.nan
        drawn = self.draws_BP[:, 2] / self.draws_BP[:, 3]
        low, high = np.quantile(drawn, (TAIL, 1 - TAIL)) if drawn.size else (math.nan, math.nan)
        return self.alpha / self.beta, float(low), float(high)

    def increase(self, dose: ArrayLike, capacity: ArrayLike, replay: ArrayLike = 0.0) -> Floats:
        """The loss increase at doses, capacities and replay shares."""
        size = (1 + self.B * np.asarray(replay, float)) * np.asarray(capacity, float) / self.unit_capacity
        return np.asarray(self.A * (np.asarray(dose, float) / self.unit_dose) ** self.beta / size**self.alpha)

    def equal_forgetting_dose(self, capacity: ArrayLike, increase: float, replay: ArrayLike = 0.0) -> Floats:
        """The dose at which each capacity has lost ``increase``."""
        require(increase > 0, "increase", "above 0", increase)
        size = (1 + self.B * np.asarray(replay, float)) * np.asarray(capacity, float) / self.unit_capacity
        return np.asarray(self.unit_dose * (increase / self.A * size**self.alpha) ** (1 / self.beta))

    def _quantile(self, share: float) -> dict[str, float]:
        if self.draws_BP.shape[0] == 0:
            return dict.fromkeys(NAMES, math.nan)
        return dict(zip(NAMES, np.quantile(self.draws_BP, share, axis=0).tolist(), strict=True))


def fit_power_law(
    dose_R: ArrayLike,
    capacity_R: ArrayLike,
    increase_R: ArrayLike,
    replay_R: ArrayLike | None = None,
    runs_R: ArrayLike | None = None,
    *,
    draws: int = 500,
    seed: int = 0,
) -> PowerLaw:
    """Fit looks, one entry each. ``runs_R`` names the run of each look; runs are what the bootstrap draws.

    Needs two doses, two capacities and more looks than coefficients. Raises UsageError where lengths differ, a
    capacity is not above 0 or a share not within 0 and 1. Looks at dose 0 are left out.
    """
    dose, capacity, increase = (np.asarray(values, float) for values in (dose_R, capacity_R, increase_R))
    replay = np.zeros(dose.shape) if replay_R is None else np.asarray(replay_R, float)
    runs = np.arange(dose.size) if runs_R is None else np.asarray(runs_R)
    for name, values in (("capacity", capacity), ("increase", increase), ("replay", replay), ("runs", runs)):
        require(values.shape == dose.shape, name, f"{dose.size} entries, one a look", values.shape)
    require(bool(np.all(capacity > 0)), "capacity", "above 0", capacity.tolist())
    require(bool(np.all((replay >= 0) & (replay <= 1))), "replay", "from 0 to 1", replay.tolist())
    looked = dose > 0
    usable = looked & np.isfinite(increase) & (increase > 0)
    left_out = int((looked & ~usable).sum())
    dose, capacity, replay, runs = dose[usable], capacity[usable], replay[usable], runs[usable]
    y, vary = np.log(increase[usable]), bool(np.unique(replay).size > 1)
    nan = math.nan
    if y.size <= 3 + vary or np.unique(dose).size < 2 or np.unique(capacity).size < 2:
        nothing = np.empty((0, len(NAMES)))
        return PowerLaw(FitStatus.too_little_data.name, nan, nan, nan, nan, nan, nan, nothing, y.size, left_out, nan)
    units = math.exp(np.log(dose).mean()), math.exp(np.log(capacity).mean())
    data = (np.log(dose / units[0]), np.log(capacity / units[1]), replay, y)
    best = _best(data, vary)
    _, code = np.unique(runs, return_inverse=True)
    drawn = []
    for picked in seeds.generator(seed, "power law").integers(0, code.max() + 1, (draws, code.max() + 1)):
        looks = np.repeat(np.arange(y.size), np.bincount(picked, minlength=picked.size)[code])
        again = (data[0][looks], data[1][looks], data[2][looks], data[3][looks])
        drawn.append(_coefficients(_minimise(again, best, vary)[0]))
    residual = _residual(best, data)
    return PowerLaw(
        FitStatus.fitted.name, *_coefficients(best), *units,
        np.array(drawn).reshape(-1, len(NAMES)),
        y.size, left_out, float(np.sqrt((residual**2).sum() / (y.size - 3 - vary))),
    )  # fmt: skip


Data = tuple[Floats, Floats, Floats, Floats]  # log dose, log capacity, replay share, log loss increase


def _coefficients(point: Floats) -> tuple[float, float, float, float]:
    """A, B, alpha, beta from (log A, log(1 + B), alpha, beta)."""
    return math.exp(point[0]), math.expm1(point[1]), float(point[2]), float(point[3])


def _residual(point: Floats, data: Data) -> Floats:
    log_dose, log_capacity, replay, y = data
    log_size = np.log1p(np.expm1(point[1]) * replay) + log_capacity
    return np.asarray(point[0] + point[3] * log_dose - point[2] * log_size - y)


def _slopes(point: Floats, data: Data) -> Floats:
    """Derivatives of the residuals by the point, ``[R, P]``."""
    log_dose, log_capacity, replay, _ = data
    growth = 1 + np.expm1(point[1]) * replay
    by_replay = -point[2] * replay * math.exp(point[1]) / growth
    return np.column_stack([np.ones_like(log_dose), by_replay, -np.log(growth) - log_capacity, log_dose])


def _best(data: Data, vary: bool) -> Floats:
    """The least Huber loss, from least squares with several effects of replay as starts."""
    log_dose, log_capacity, _, y = data
    a, alpha, beta = np.linalg.lstsq(np.column_stack([np.ones(y.size), -log_capacity, log_dose]), y, rcond=None)[0]
    starts = [np.array([a, math.log1p(B), alpha, beta]) for B in ((1.0, 100.0, 10_000.0) if vary else (0.0,))]
    return min((_minimise(data, start, vary) for start in starts), key=lambda found: found[1])[0]


def _minimise(data: Data, start: Floats, vary: bool) -> tuple[Floats, float]:
    """The point of least Huber loss near a start, and the loss."""
    free = np.array([True, vary, True, True])

    def full(moved: Floats) -> Floats:
        point = start.copy()
        point[free] = moved
        return point

    low, high = np.array([-np.inf, 0.0, -np.inf, -np.inf]), np.array([np.inf, math.log1p(LARGEST_B), np.inf, np.inf])
    found = least_squares(
        lambda moved: _residual(full(moved), data),
        start[free],
        jac=lambda moved: _slopes(full(moved), data)[:, free],
        bounds=(low[free], high[free]), loss="huber", f_scale=HUBER,
    )  # fmt: skip
    return full(found.x), float(found.cost)
