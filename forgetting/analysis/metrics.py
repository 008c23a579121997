"""What forgetting is made of: pure functions from accuracies, counts and NLLs to the metrics of the protocol.

Every function takes numbers or arrays. What compares variants of one problem is in ``consistency``, what follows a
sequence of tasks in ``transfer``.
"""

from __future__ import annotations

import enum

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr

Floats = NDArray[np.float64]

Z_95 = 1.959963984540054  # two-sided 95% quantile of the normal distribution
LEARNED_MARGIN = 0.30  # accuracy at dose 0 above chance from which a skill counts as learned
LEAST_LEFT = 1e-3  # nats a token above the floor: less cannot be told from none on the items of a probe
LEVELS = (0.9, 0.5)  # retention that counts as kept; half lost


class Status(enum.Enum):
    """Why a score is, or is not, a number. The name is stored; the text is the remedy."""

    ok = "Nothing to remedy."
    not_learned = (
        "Accuracy at dose 0 is less than .30 above chance, so there is nothing to forget: take an easier "
        "benchmark (a lower depth, worked examples before each question), or a student that is larger, or distilled "
        "longer."
    )
    no_baseline = "There are no rows at dose 0 to compare with: run the study again, dose 0 is always evaluated first."
    no_answers = "A probe has no answers to grade: read its NLL and KL instead."
    not_reached = (
        "The dose lies beyond the cap of the stream: raise the cap, raise the shift, or ask for a smaller dose."
    )


def wilson(right: ArrayLike, n: ArrayLike, z: float = Z_95) -> tuple[Floats, Floats]:
    """Wilson interval (low, high) of ``right`` out of ``n``; NaN where n is 0."""
    k, n = np.asarray(right, float), np.asarray(n, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = k / n
        centre = p + z**2 / (2 * n)
        half = z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        scale = 1 + z**2 / n
        return np.clip((centre - half) / scale, 0.0, 1.0), np.clip((centre + half) / scale, 0.0, 1.0)


def learned(accuracy_0: ArrayLike, chance: ArrayLike) -> NDArray[np.bool_]:
    """Whether accuracy at dose 0 is at least .30 above chance (compared with a tolerance of rounding)."""
    return np.asarray(np.asarray(accuracy_0, float) >= np.asarray(chance, float) + LEARNED_MARGIN - 1e-12)


def retention(accuracy_t: ArrayLike, accuracy_0: ArrayLike, chance: ArrayLike) -> Floats:
    """R = (acc_t - chance) / (acc_0 - chance); NaN where the skill was not learned."""
    now, base, chance = (np.asarray(x, float) for x in (accuracy_t, accuracy_0, chance))
    known = learned(base, chance)
    return np.asarray(np.where(known, (now - chance) / np.where(known, base - chance, 1.0), np.nan))


def retention_variance(accuracy: float, accuracy_0: float, items: int, chance: float) -> float:
    """Variance of R = (acc - chance) / (acc_0 - chance) by the delta method, one right and one wrong item added.

    The two accuracies are taken as independent; they are answers to the same items, so this errs to the wide side.
    """
    gap = accuracy_0 - chance
    p, p_0 = ((a * items + 1) / (items + 2) for a in (accuracy, accuracy_0))
    retention = (accuracy - chance) / gap
    return (p * (1 - p) + retention**2 * p_0 * (1 - p_0)) / (items + 2) / gap**2


def censored_variance(retention: float, variance: float) -> float:
    """Variance of the retention of a run that was ended early, taken at its last look.

    What the run would have shown later is only known to lie between 0 and there; a uniform draw from that interval is
    off by R^2 / 3 in the mean square. ``variance`` is that of the look itself.
    """
    return variance + retention**2 / 3


def relative_drop(accuracy_t: ArrayLike, accuracy_0: ArrayLike) -> Floats:
    """1 - acc_t / acc_0, the paper's figure; positive is loss, NaN where acc_0 is 0."""
    now, base = np.asarray(accuracy_t, float), np.asarray(accuracy_0, float)
    return np.asarray(np.where(base > 0, 1 - now / np.where(base > 0, base, 1.0), np.nan))


def drop_points(accuracy_t: ArrayLike, accuracy_0: ArrayLike) -> Floats:
    """acc_0 - acc_t in percentage points; positive is loss."""
    return np.asarray(100 * (np.asarray(accuracy_0, float) - np.asarray(accuracy_t, float)))


def pass_at_k(samples: ArrayLike, right: ArrayLike, k: int) -> Floats:
    """Chance that one of k samples is right, unbiased from c right ones among n >= k: 1 - C(n-c, k) / C(n, k).

    Source: Chen et al., arXiv 2107.03374. NaN where there are fewer than k samples.
    """
    n, c = np.broadcast_arrays(np.asarray(samples, int), np.asarray(right, int))
    terms = np.arange(k)
    with np.errstate(divide="ignore", invalid="ignore"):
        missed = np.prod(np.clip((n - c)[..., None] - terms, 0, None) / (n[..., None] - terms), axis=-1)
    return np.asarray(np.where(n >= k, 1 - missed, np.nan))


def mcnemar_p(lost: ArrayLike, gained: ArrayLike) -> Floats:
    """Exact two-sided McNemar p from the *counts* of items lost and gained; 1 where nothing changed."""
    b, c = np.asarray(lost, float), np.asarray(gained, float)
    return np.asarray(np.minimum(1.0, 2 * bdtr(np.minimum(b, c), (b + c).astype(int), 0.5)))


def hazard(accuracy_k: ArrayLike, k: ArrayLike) -> Floats:
    """H = -ln(acc_k) / k: the loss per step if steps fail independently; infinite at accuracy 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(np.asarray(accuracy_k, float)) / np.asarray(k, float))


def plasticity(delta_nll: ArrayLike) -> Floats:
    """How much of the contaminating task was learned: the fall of its validation NLL since dose 0, nats per token."""
    return np.asarray(0.0 - np.asarray(delta_nll, float))  # 0 at dose 0, not -0


def learning(nll: ArrayLike, floor: ArrayLike = 0.0) -> Floats:
    """How well the contaminating task is known: -log(NLL - floor) of the probe; a unit is a factor e in what is left.

    ``nll`` in nats a token, ``floor`` the entropy of its generator (``Contamination.floor``). What is left is taken as
    ``LEAST_LEFT`` at least, since NLL on some hundred samples may lie below the floor by chance. NaN where NLL is.
    """
    left = np.asarray(nll, float) - np.asarray(floor, float)
    return np.asarray(0.0 - np.log(np.maximum(left, LEAST_LEFT)))


def capacity_gap(base: ArrayLike, joint: ArrayLike) -> Floats:
    """What is lost although both are trained at once, in accuracy or retention. Only this is a matter of capacity."""
    return np.asarray(np.asarray(base, float) - np.asarray(joint, float))


def interference_gap(joint: ArrayLike, sequential: ArrayLike) -> Floats:
    """What is lost, in accuracy or retention, because the new task came after the old."""
    return np.asarray(np.asarray(joint, float) - np.asarray(sequential, float))
