"""How a sweep's figures look: capacity axes, colours of levels and shifts (safe for the colour-blind), conditions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from forgetting.report import drawing
from forgetting.report.drawing import MARKERS
from forgetting.report.sweeps.read import LocatedTarget

# Okabe and Ito's blue, vermilion, green and purple; one a level, in order.
LEVEL_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")
RUN_COLOUR, FIT_COLOUR = "#7a7a7a", "#222222"


def level_colour(target: LocatedTarget, level: float) -> str:
    """The colour of a level in every figure of its target."""
    return LEVEL_COLOURS[target.levels.index(level) % len(LEVEL_COLOURS)]


def size_text(parameters: float) -> str:
    """Parameters in four letters at most: 10k, 237k, 1.2M."""
    short = drawing.short(parameters)
    value = float(short[:-1])
    return f"{value:.0f}{short[-1]}" if value >= 9.95 else f"{value:.1f}".removesuffix(".0") + short[-1]


def capacity_axis(ax: Axes, capacities: dict[str, int], *, vertical: bool = False, room: float = 0.085) -> None:
    """A log axis of capacity with the students' sizes as ticks, in the unit that all texts name; those without room are
    left out.
    """
    places = sorted(capacities.items(), key=lambda pair: pair[1])
    x = np.log10([capacity for _, capacity in places])
    pad = 0.06 * max(float(np.ptp(x)), 0.1)
    limits = 10 ** (float(x[0]) - pad), 10 ** (float(x[-1]) + pad)
    shown, last = [places[-1]], float(x[-1])
    for place, at in zip(places[-2::-1], x[-2::-1], strict=True):
        if last - at >= room * max(float(np.ptp(x)), 1e-9):
            shown.append(place)
            last = float(at)
    axis = ax.yaxis if vertical else ax.xaxis
    (ax.set_yscale if vertical else ax.set_xscale)("log")
    (ax.set_ylim if vertical else ax.set_xlim)(*limits)
    axis.set_major_locator(FixedLocator([capacity for _, capacity in shown]))
    axis.set_major_formatter(FixedFormatter([size_text(capacity) for _, capacity in shown]))
    axis.set_minor_locator(NullLocator())
    (ax.set_ylabel if vertical else ax.set_xlabel)("capacity (total parameters)")


def shift_styles(shifts: Sequence[float]) -> dict[float, dict[str, Any]]:
    """A colour (light to dark) and a marker for each shift, ascending."""
    ordered = sorted(shifts)
    shades = matplotlib.colormaps["viridis"](np.linspace(0.82, 0.0, max(len(ordered), 2)))
    return {s: {"color": shades[i], "marker": MARKERS[i % len(MARKERS)]} for i, s in enumerate(ordered)}
