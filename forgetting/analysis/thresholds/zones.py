"""Section 4.2's zones: retention of each capacity at a high and a low shift in, the probability of each zone out.

Retained: R >= .9 at shift .5. Vulnerable: below that, but R >= .9 at shift .05. Erased: R < .5 at shift .05. Weakened:
anything else. All at one reference dose. What was not measured (NaN) is ``unknown``, unless the other shift decides.

Shapes: C capacities, B bootstrap draws (seeds, templates, items; the same draws for both shifts and all capacities).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import isotonic_regression

from forgetting.analysis.metrics import LEVELS, Floats
from forgetting.analysis.statistics import TAIL
from forgetting.analysis.thresholds.crossing import ROUNDING
from forgetting.errors import require

ZONES = ("retained", "vulnerable", "weakened", "erased", "unknown")
HIGH_SHIFT, LOW_SHIFT = 0.5, 0.05
PAPER = {
    "retained": "32B and more: retains core reasoning through moderate distribution shifts",
    "vulnerable": "4B to 14B: vulnerable to more than 5% of data from a conflicting domain",
    "weakened": "",
    "erased": "below 4B: erased by almost any data addition",
    "unknown": "",
}


def zone_codes(high: ArrayLike, low: ArrayLike) -> NDArray[np.int64]:
    """Places in ``ZONES`` of retention at the high and at the low shift; NaN is a shift that was not measured."""
    at_high, at_low = np.broadcast_arrays(np.asarray(high, float), np.asarray(low, float))
    kept, lost = (level - ROUNDING for level in LEVELS)
    with np.errstate(invalid="ignore"):
        known = [
            at_high >= kept,
            (at_high < kept) & (at_low >= kept),
            np.isfinite(at_high) & (at_low < kept) & (at_low >= lost),
            at_low < lost,
        ]
    return np.asarray(np.select(known, range(4), default=4), np.int64)


def zone_of(high: float, low: float) -> str:
    """The zone of retention at shift .5 and at shift .05; NaN is a shift that was not measured."""
    return ZONES[int(zone_codes(high, low))]


def zone_probabilities(
    capacity_C: ArrayLike,
    high_C: ArrayLike,
    low_C: ArrayLike,
    high_BC: ArrayLike,
    low_BC: ArrayLike,
    *,
    monotone: bool = False,
) -> pd.DataFrame:
    """The zone of each capacity and its probability: the share of draws that fall in each zone. One row a capacity.

    ``high_C`` and ``low_C`` are retention at shift .5 and .05, ``*_BC`` their draws (``statistics.retention_draws``).
    ``monotone`` makes every draw, and the estimate, rise with capacity first. Columns: capacity, zone, probability (of
    that zone), then ``p_`` and the name of each zone, then retention at both shifts with 95% intervals.
    """
    capacity = np.asarray(capacity_C, float)
    require(bool(np.all(np.diff(capacity) > 0)), "capacity", "ascending", capacity.tolist())
    means = [np.asarray(values, float) for values in (high_C, low_C)]
    draws = [np.array(values, float) for values in (high_BC, low_BC)]
    for name, values in zip(("high", "low"), means, strict=True):
        require(values.shape == capacity.shape, name, f"{capacity.size} numbers, one a capacity", values.shape)
    shape = draws[0].shape
    require(len(shape) == 2 and shape == draws[1].shape and shape[1:] == capacity.shape and shape[0] > 0, "draws",
            "of one shape at both shifts, one column a capacity", [values.shape for values in draws])  # fmt: skip
    for mean, drawn in zip(means, draws, strict=True):
        drawn[:, ~np.isfinite(mean)] = np.nan
    if monotone:
        means, draws = [_rising(mean[None])[0] for mean in means], [_rising(drawn) for drawn in draws]
    drawn_codes, codes = zone_codes(*draws), zone_codes(*means)
    p = {f"p_{zone}": (drawn_codes == index).mean(axis=0) for index, zone in enumerate(ZONES)}
    columns: dict[str, ArrayLike] = {
        "capacity": capacity.astype(np.int64),
        "zone": [ZONES[code] for code in codes],
        "probability": [float(p[f"p_{ZONES[code]}"][index]) for index, code in enumerate(codes)],
        **p,
    }
    for shift, mean, drawn in zip((HIGH_SHIFT, LOW_SHIFT), means, draws, strict=True):
        columns[f"retention_{shift:g}"] = mean
        for side, share in (("low", TAIL), ("high", 1 - TAIL)):
            columns[f"retention_{shift:g}_{side}"] = [_quantile(column, share) for column in drawn.T]
    return pd.DataFrame(columns)


def zone_table(probabilities: pd.DataFrame) -> pd.DataFrame:
    """The table of section 4.2 for the measured ladder: one row a zone that occurs, from the largest sizes down.

    Columns: zone, capacities (text), smallest, largest, sizes, probability (the least among its sizes), contiguous
    (whether no other zone lies between its sizes) and the paper's statement of that zone.
    """
    zones, rows = probabilities["zone"].to_numpy(str), []
    for zone in ZONES:
        at = np.flatnonzero(zones == zone)
        if at.size == 0:
            continue
        own = probabilities.iloc[at]
        capacities = ", ".join(f"{value:,}" for value in own["capacity"])
        ends = int(own["capacity"].min()), int(own["capacity"].max())
        whole = bool(at[-1] - at[0] + 1 == at.size)
        rows.append((zone, capacities, *ends, at.size, float(own["probability"].min()), whole, PAPER[zone]))
    names = ["zone", "capacities", "smallest", "largest", "sizes", "probability", "contiguous", "paper"]
    return pd.DataFrame(rows, columns=names)


def _rising(draws_BC: Floats) -> Floats:
    """Each row made to rise with capacity, where it is known."""
    rising = draws_BC.copy()
    for row in rising:
        known = np.isfinite(row)
        if known.any():
            row[known] = isotonic_regression(row[known]).x
    return rising


def _quantile(values: Floats, share: float) -> float:
    known = values[np.isfinite(values)]
    return float(np.quantile(known, share)) if known.size else float("nan")
