"""What forgetting is made of: pure functions from outcomes, accuracies and NLLs to the metrics of the protocol.

Shapes: S runs or variants, T tasks, I items. Outcomes are 1 (right) or 0. Every function takes numbers or arrays.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import bdtr

Floats = NDArray[np.float64]

Z_95 = 1.959963984540054  # two-sided 95% quantile of the normal distribution
LEARNED_MARGIN = 0.30  # accuracy at dose 0 above chance from which a skill counts as learned
LEVELS = (0.9, 0.5)  # retention that counts as kept; half lost


class Status(enum.Enum):
    """Why a score is, or is not, a number. The name is stored; the text is the remedy."""

    ok = "Nothing to remedy."
    not_learned = (
        "Accuracy at dose 0 is less than .30 above chance, so there is nothing to forget: distil longer, "
        "take a larger student, or look at a lower depth."
    )
    no_baseline = "There are no rows at dose 0 to compare with: run the study again, dose 0 is always evaluated first."
    no_answers = "A probe has no answers to grade: read its NLL and KL instead."
    not_reached = (
        "The dose lies beyond the cap of the stream: raise the cap, raise the shift, or ask for a smaller dose."
    )


@dataclass(frozen=True)
class Discordance:
    """Items lost (F10) and gained (F01) between two looks, as shares, and the exact McNemar p of their difference."""

    lost: float
    gained: float
    p: float

    @property
    def net(self) -> float:
        """Net forgetting F10 - F01; positive is loss."""
        return self.lost - self.gained


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


def f10_f01(before_I: ArrayLike, after_I: ArrayLike) -> Discordance:
    """Items right before and wrong after (F10), wrong before and right after (F01), paired by position."""
    before, after = np.asarray(before_I, bool), np.asarray(after_I, bool)
    lost, gained = int(np.sum(before & ~after)), int(np.sum(~before & after))
    return Discordance(lost / before.size, gained / before.size, float(mcnemar_p(lost, gained)))


def hazard(accuracy_k: ArrayLike, k: ArrayLike) -> Floats:
    """H = -ln(acc_k) / k: the loss per step if steps fail independently; infinite at accuracy 0."""
    with np.errstate(divide="ignore"):
        return np.asarray(-np.log(np.asarray(accuracy_k, float)) / np.asarray(k, float))


def plasticity(nll_t: ArrayLike, nll_0: ArrayLike) -> Floats:
    """How much of the contaminating task was learned: nll_0 - nll_t on its validation samples, nats per token."""
    return np.asarray(np.asarray(nll_0, float) - np.asarray(nll_t, float))


def capacity_gap(accuracy_base: ArrayLike, accuracy_joint: ArrayLike) -> Floats:
    """acc_base - acc_joint: what is lost although both are trained at once. Only this is a matter of capacity."""
    return np.asarray(np.asarray(accuracy_base, float) - np.asarray(accuracy_joint, float))


def interference_gap(accuracy_joint: ArrayLike, accuracy_sequential: ArrayLike) -> Floats:
    """acc_joint - acc_sequential: what is lost because the new task came after the old."""
    return np.asarray(np.asarray(accuracy_joint, float) - np.asarray(accuracy_sequential, float))


# Robustness: the same problems in several variants.


def performance_drop_rate(accuracy_perturbed: ArrayLike, accuracy_original: ArrayLike) -> Floats:
    """1 - acc_pert / acc_orig; positive where the perturbation hurts."""
    return relative_drop(accuracy_perturbed, accuracy_original)


def worst_of_s(right_SI: ArrayLike) -> float:
    """Share of problems that are right in all S variants."""
    return float(np.asarray(right_SI, bool).all(axis=0).mean())


def pairwise_agreement(right_SI: ArrayLike) -> float:
    """Mean over pairs of variants of the share of problems with the same outcome in both; needs S >= 2."""
    right = np.asarray(right_SI, bool)
    first, second = np.triu_indices(right.shape[0], k=1)
    return float((right[first] == right[second]).mean())


def flip_rate(before_I: ArrayLike, after_I: ArrayLike) -> float:
    """Share of items whose outcome changed either way. Subtract that of a replicate run, which is noise."""
    return float((np.asarray(before_I, bool) != np.asarray(after_I, bool)).mean())


# A sequence of T tasks: A[i, j] is the accuracy on task j after training on task i.


def average_accuracy(A_TT: ArrayLike) -> float:
    """Mean accuracy over all tasks after the last one."""
    return float(np.asarray(A_TT, float)[-1].mean())


def backward_transfer(A_TT: ArrayLike) -> float:
    """BWT = mean over j < T of A[T, j] - A[j, j]; *negative* is forgetting (Lopez-Paz & Ranzato, arXiv 1706.08840)."""
    A = np.asarray(A_TT, float)
    return float((A[-1] - np.diag(A))[:-1].mean())


def forgetting(A_TT: ArrayLike) -> Floats:
    """F_j = max over i < T of A[i, j], minus A[T, j], for j < T, ``[T-1]``; *positive* is forgetting (1801.10112)."""
    A = np.asarray(A_TT, float)
    return np.asarray((A[:-1].max(axis=0) - A[-1])[:-1])


def forward_transfer(A_TT: ArrayLike, untrained_T: ArrayLike) -> float:
    """FWT = mean over j > 1 of A[j-1, j] - untrained[j]; *positive* is help from earlier tasks (arXiv 1706.08840)."""
    A = np.asarray(A_TT, float)
    return float((np.diag(A, k=1) - np.asarray(untrained_T, float)[1:]).mean())
