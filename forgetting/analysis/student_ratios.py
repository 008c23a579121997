"""Shares by students: what each student gained and lost in, the ratio of their means with an interval out."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


@dataclass(frozen=True)
class Ratio:
    """A ratio of means over students with its 95% interval; NaN bounds of one student."""

    value: float
    low: float
    high: float
    students: int


def ratio(part: ArrayLike, whole: ArrayLike) -> Ratio:
    """Mean of ``part`` over mean of ``whole``, both one value a student.

    The interval is Student's t on the residuals part - ratio x whole (the linearised ratio estimator, Cochran, Sampling
    Techniques, section 6.4), students being the units.
    """
    a, b = np.asarray(part, float), np.asarray(whole, float)
    if not len(b) or b.mean() == 0:
        return Ratio(math.nan, math.nan, math.nan, len(b))
    value, n = float(a.mean() / b.mean()), len(b)
    if n < 2:
        return Ratio(value, math.nan, math.nan, n)
    error = float((a - value * b).std(ddof=1)) / (math.sqrt(n) * abs(float(b.mean())))
    reach = float(stdtrit(n - 1, 0.975)) * error
    return Ratio(value, value - reach, value + reach, n)


def mean(values: ArrayLike) -> Ratio:
    """The mean over students with Student's t interval."""
    found = np.asarray(values, float)
    return ratio(found, np.ones(len(found)))
