"""Is it a threshold or a trend? Values of runs at several capacities in, a verdict on their shape with evidence out.

Three shapes of x = log10 N are fitted by least squares: constant, line, and logistic (bottom, top, middle, width).
A step is a narrow logistic and nested in it, so that no information criterion can tell them apart: the statistic is
the 10-90% width in decades with its 95% profile interval. The verdict:

- ``inconclusive`` with fewer than 7 sizes or than 5 seeds at any size, where no shape fits the means of the sizes, or
  where none of the next holds;
- ``constant`` if the constant has the lowest BIC and the line's change over the ladder is, at 95%, within 0.15;
- ``trend`` if the line has the lowest BIC, or the logistic has it and the lower bound of the width is above two rung
  spacings;
- ``step`` if the logistic has it and the upper bound of the width is below one rung spacing.

A shape with more parameters has the lowest BIC only where it leads the others by 2. The margin of 0.15, the lead of 2
and the test of fit are additions to the protocol's rule: without a margin a noisy study of a line is called constant,
and without a lead 6% of constants are called trends. Leave-one-size-out error is evidence that decides nothing: the
size next to a step takes the step's place with it, and the line predicts it better than the step does in most studies.
``validation/shape_rule.py`` has the rule's error rates.

Shapes: R runs, C sizes, W widths, M middles.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from scipy.special import expit

from forgetting.analysis.metrics import Floats
from forgetting.errors import require, unknown

SHAPES = ("constant", "line", "logistic")
PARAMETERS = {"constant": 1, "line": 2, "logistic": 4}
SIZES, SEEDS = 7, 5  # the fewest that a verdict is given on
FLAT = 0.15  # change over the ladder that counts as none, in units of the value
LEAD = 2.0  # of BIC
MISFIT_P = 0.001
CONFIDENCE = 0.95  # of the width and of the change
TEN_TO_NINETY = 2 * math.log(9)  # a logistic's 10-90% width over its scale
WIDTHS, MIDDLES, ZOOM = 192, 49, 13  # of the grid of logistics; ZOOM middles about the best of MIDDLES
FLAT_RISE = 1e-12  # variance of a rise that is 0 or 1 at every size
FINEST = 1e-3  # least spread within sizes: the grid is no finer


class ShapeReason(enum.Enum):
    """Why a study got its verdict. The name is stored; the text is the remedy."""

    clear = "Nothing to remedy."
    too_few_sizes = "A shape takes at least 7 sizes: add rungs, closely spaced about the change."
    too_few_seeds = "A shape takes at least 5 seeds at every size: add seeds."
    no_shape_fits = (
        "Neither a constant nor a line nor a logistic passes through the means of the sizes: look at the curve, and at "
        "other causes than capacity (rate, baseline, shape of the students)."
    )
    shapes_tie = "Two shapes explain the values about equally well: add seeds, or widen the ladder."
    change_not_bounded = "Constant is the best shape, but a change worth the name is not excluded: add seeds."
    width_not_bounded = (
        "The width of the change is neither below one rung spacing nor above two: "
        "add seeds, and rungs within the change."
    )


@dataclass(frozen=True, eq=False)
class Shape:
    """A verdict with its evidence. Widths, spacing and capacities are decades; the interval of the width is 95%.

    ``change`` is that of the line from the smallest to the largest size. ``bic`` and ``leave_one_size_out`` (root mean
    square error of predicting a size's mean from the other sizes, weighted by runs) are by shape; NaN where a shape
    has no fit.
    """

    verdict: str  # step, trend, constant or inconclusive
    reason: str
    width_decades: float
    width_low: float
    width_high: float
    spacing: float
    change: float
    change_low: float
    change_high: float
    bic: dict[str, float]
    leave_one_size_out: dict[str, float]
    parameters: dict[str, tuple[float, ...]]
    sizes: int
    seeds: int

    @property
    def remedy(self) -> str:
        """What to do about the verdict's reason."""
        return ShapeReason[self.reason].value

    @property
    def winner(self) -> str | None:
        """The shape with the lowest BIC; None where no shape could be fitted."""
        known = {name: value for name, value in self.bic.items() if not math.isnan(value)}
        return min(known, key=lambda name: known[name]) if known else None

    def predict(self, shape: str, capacity: ArrayLike) -> Floats:
        """The fitted values of a shape at capacities (parameters)."""
        if shape not in self.parameters:
            raise unknown("shape", shape, self.parameters)
        return _predict(shape, self.parameters[shape], np.log10(np.asarray(capacity, float)))


def judge_shape(capacity_R: ArrayLike, value_R: ArrayLike) -> Shape:
    """Judge values (retention, or anything on its scale) of runs, one entry a run, capacities repeated over seeds.

    Values that are not finite are left out. Raises UsageError where lengths differ or a capacity is not above 0.
    """
    capacity, value = np.asarray(capacity_R, float), np.asarray(value_R, float)
    require(capacity.ndim == 1 and capacity.shape == value.shape, "value", "one number a run", value.shape)
    require(bool(np.all(capacity > 0)), "capacity", "above 0", capacity.tolist())
    known = np.isfinite(value)
    sizes = _Sizes.of(capacity[known], value[known])
    count, fewest = sizes.x.size, int(sizes.runs.min()) if sizes.runs.size else 0
    nan = math.nan
    if count < 3 or sizes.total <= PARAMETERS["logistic"]:
        nothing = dict.fromkeys(SHAPES, nan)
        reason = ShapeReason.too_few_sizes if count < SIZES else ShapeReason.too_few_seeds
        evidence = (nan, nan, nan, nan, nan, nan, nan)
        return Shape("inconclusive", reason.name, *evidence, nothing, nothing, {}, count, fewest)
    spacing = float(np.median(np.diff(sizes.x)))
    grid = _Grid.over(sizes, spacing)
    fits = {name: _fit(name, sizes, grid) for name in SHAPES}
    bic = {name: _bic(fits[name][1], PARAMETERS[name], sizes.total) for name in SHAPES}
    width = _width(grid, sizes, fits["logistic"])
    change = _change(sizes, fits["line"])
    verdict, reason = _verdict(sizes, fits, bic, width, change, spacing)
    left_out = {name: _leave_one_size_out(name, sizes, grid) for name in SHAPES}
    parameters = {name: fit[0] for name, fit in fits.items()}
    return Shape(verdict, reason.name, *width, spacing, *change, bic, left_out, parameters, count, fewest)


@dataclass(frozen=True)
class _Sizes:
    """Runs gathered by size: log10 capacity, runs, mean, and the sum of squares within sizes."""

    x: Floats
    runs: Floats
    mean: Floats
    within: float

    @classmethod
    def of(cls, capacity: Floats, value: Floats) -> _Sizes:
        sizes, codes = np.unique(capacity, return_inverse=True)
        runs = np.bincount(codes, minlength=sizes.size).astype(float)
        mean = np.bincount(codes, value, minlength=sizes.size) / runs
        return cls(np.log10(sizes), runs, mean, float(((value - mean[codes]) ** 2).sum()))

    @property
    def total(self) -> int:
        return int(self.runs.sum())

    def without(self, index: int) -> _Sizes:
        keep = np.arange(self.x.size) != index
        return _Sizes(self.x[keep], self.runs[keep], self.mean[keep], 0.0)


@dataclass(frozen=True)
class _Grid:
    """Logistics of many widths and middles: given both, bottom and top are a line in the rise from 0 to 1."""

    widths_W: Floats
    middles_WM: Floats

    @classmethod
    def over(cls, sizes: _Sizes, spacing: float) -> _Grid:
        """Widths from a twentieth of a spacing to ten ladders, middles over the ladder."""
        span = sizes.x[-1] - sizes.x[0]
        middles = np.linspace(sizes.x[0], sizes.x[-1], MIDDLES)
        return cls(np.geomspace(spacing / 20, 10 * span, WIDTHS), np.broadcast_to(middles, (WIDTHS, MIDDLES)))

    def fits(self, sizes: _Sizes) -> tuple[Floats, Floats]:
        """By width, with the best middle: residual sum of squares ``[W]`` and (bottom, top, middle) ``[W, 3]``."""
        coarse = self._best(sizes, self.middles_WM)[1][:, 2:]
        step = self.middles_WM[0, 1] - self.middles_WM[0, 0]
        return self._best(sizes, coarse + step * np.linspace(-1, 1, ZOOM))

    def _best(self, sizes: _Sizes, middles_WM: Floats) -> tuple[Floats, Floats]:
        share = sizes.runs / sizes.runs.sum()
        rise = expit(TEN_TO_NINETY / self.widths_W[:, None, None] * (sizes.x - middles_WM[..., None]))
        centre = rise @ share
        apart = rise - centre[..., None]
        spread = (apart**2) @ share
        height = np.where(spread > FLAT_RISE, (apart @ (share * sizes.mean)) / np.maximum(spread, FLAT_RISE), 0.0)
        mean = float(share @ sizes.mean)
        squares = np.maximum(float(share @ (sizes.mean - mean) ** 2) - height**2 * spread, 0.0)
        rows, best = np.arange(len(squares)), squares.argmin(axis=1)
        bottom, height = mean - (height * centre)[rows, best], height[rows, best]
        parameters = np.column_stack([bottom, bottom + height, middles_WM[rows, best]])
        return squares[rows, best] * sizes.runs.sum() + sizes.within, parameters


def _predict(shape: str, parameters: tuple[float, ...], x: Floats) -> Floats:
    if shape == "constant":
        return np.full_like(x, parameters[0])
    if shape == "line":
        return np.asarray(parameters[0] + parameters[1] * x)
    bottom, top, middle, width = parameters
    return np.asarray(bottom + (top - bottom) * expit(TEN_TO_NINETY / width * (x - middle)))


def _fit(shape: str, sizes: _Sizes, grid: _Grid) -> tuple[tuple[float, ...], float]:
    """Parameters and residual sum of squares."""
    parameters: tuple[float, ...]
    if shape == "logistic":
        squares, found = grid.fits(sizes)
        best = int(np.argmin(squares))
        return (*map(float, found[best]), float(grid.widths_W[best])), float(squares[best])
    degree = PARAMETERS[shape] - 1
    parameters = tuple(map(float, np.polynomial.polynomial.polyfit(sizes.x, sizes.mean, degree, w=np.sqrt(sizes.runs))))
    residual = sizes.mean - _predict(shape, parameters, sizes.x)
    return parameters, float(sizes.runs @ residual**2) + sizes.within


def _bic(squares: float, parameters: int, runs: int) -> float:
    return runs * math.log(max(squares, 1e-12) / runs) + parameters * math.log(runs)


def _width(grid: _Grid, sizes: _Sizes, logistic: tuple[tuple[float, ...], float]) -> tuple[float, float, float]:
    """The width with its profile interval: the widths that an F test does not reject; open ends are 0 and infinite."""
    best, freedom = logistic[1], sizes.total - PARAMETERS["logistic"]
    profile, _ = grid.fits(sizes)
    critical = best * (1 + stats.f.ppf(CONFIDENCE, 1, freedom) / freedom)
    inside = np.flatnonzero(profile <= critical)
    first, last = int(inside[0]), int(inside[-1])
    log_widths = np.log(grid.widths_W)

    def edge(within: int, beyond: int) -> float:
        """Between two widths of the grid, where the profile passes the critical value."""
        share = (critical - profile[within]) / (profile[beyond] - profile[within])
        return float(np.exp(log_widths[within] + share * (log_widths[beyond] - log_widths[within])))

    low = edge(first, first - 1) if first > 0 else 0.0
    high = edge(last, last + 1) if last + 1 < grid.widths_W.size else math.inf
    return logistic[0][3], low, high


def _change(sizes: _Sizes, line: tuple[tuple[float, ...], float]) -> tuple[float, float, float]:
    """The line's change from the smallest to the largest size, with its interval."""
    span, freedom = sizes.x[-1] - sizes.x[0], sizes.total - PARAMETERS["line"]
    centred = sizes.x - sizes.runs @ sizes.x / sizes.runs.sum()
    error = math.sqrt(line[1] / freedom / float(sizes.runs @ centred**2)) * span
    change, reach = line[0][1] * span, float(stats.t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    return float(change), float(change - reach), float(change + reach)


def _verdict(
    sizes: _Sizes,
    fits: dict[str, tuple[tuple[float, ...], float]],
    bic: dict[str, float],
    width: tuple[float, float, float],
    change: tuple[float, float, float],
    spacing: float,
) -> tuple[str, ShapeReason]:
    if sizes.x.size < SIZES:
        return "inconclusive", ShapeReason.too_few_sizes
    if sizes.runs.min() < SEEDS:
        return "inconclusive", ShapeReason.too_few_seeds
    if _misfit_p(sizes, min(squares for _, squares in fits.values())) < MISFIT_P:
        return "inconclusive", ShapeReason.no_shape_fits
    if bic["constant"] <= min(bic["line"], bic["logistic"]):
        bounded = max(abs(change[1]), abs(change[2])) <= FLAT
        return ("constant", ShapeReason.clear) if bounded else ("inconclusive", ShapeReason.change_not_bounded)
    if min(bic["line"], bic["logistic"]) > bic["constant"] - LEAD:
        return "inconclusive", ShapeReason.shapes_tie
    if bic["line"] <= bic["logistic"] or width[1] > 2 * spacing:
        return "trend", ShapeReason.clear
    if width[2] >= spacing:
        return "inconclusive", ShapeReason.width_not_bounded
    if bic["logistic"] > bic["line"] - LEAD:
        return "inconclusive", ShapeReason.shapes_tie
    return "step", ShapeReason.clear


def _misfit_p(sizes: _Sizes, squares: float) -> float:
    """F test of the means about the best shape against the spread within sizes."""
    between, within = sizes.x.size - PARAMETERS["logistic"], sizes.total - sizes.x.size
    ratio = (max(squares - sizes.within, 0.0) / between) / max(sizes.within / within, FINEST**2)
    return float(stats.f.sf(ratio, between, within))


def _leave_one_size_out(shape: str, sizes: _Sizes, grid: _Grid) -> float:
    if sizes.x.size <= PARAMETERS[shape]:
        return math.nan
    errors = np.empty(sizes.x.size)
    for index in range(sizes.x.size):
        parameters, _ = _fit(shape, sizes.without(index), grid)
        errors[index] = (sizes.mean[index] - _predict(shape, parameters, sizes.x[index : index + 1]))[0]
    return math.sqrt(float(sizes.runs @ errors**2 / sizes.runs.sum()))
