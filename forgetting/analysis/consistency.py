"""Robustness and consistency: outcomes of the same problems in several variants or looks in, shares out.

Shapes: S variants, I problems. Outcomes are 1 (right) or 0. A share of no problems is NaN.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from forgetting.analysis.metrics import Floats, relative_drop


def performance_drop_rate(accuracy_perturbed: ArrayLike, accuracy_original: ArrayLike) -> Floats:
    """1 - acc_pert / acc_orig; positive where the perturbation hurts."""
    return relative_drop(accuracy_perturbed, accuracy_original)


def right_share(outcomes: ArrayLike) -> float:
    """The mean of outcomes of any shape."""
    found = np.asarray(outcomes, bool)
    return float(found.mean()) if found.size else math.nan


def worst_of_s(right_SI: ArrayLike) -> float:
    """Share of problems that are right in all S variants."""
    return right_share(np.asarray(right_SI, bool).all(axis=0))


def pairwise_agreement(right_SI: ArrayLike) -> float:
    """Mean over pairs of variants of the share of problems with the same outcome in both; needs S >= 2."""
    right = np.asarray(right_SI, bool)
    first, second = np.triu_indices(right.shape[0], k=1)
    return right_share(right[first] == right[second])


def flip_rate(before_I: ArrayLike, after_I: ArrayLike) -> float:
    """Share of items whose outcome changed either way. Subtract that of a replicate run, which is noise."""
    return right_share(np.asarray(before_I, bool) != np.asarray(after_I, bool))
