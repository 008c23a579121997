"""A sequence of tasks: the accuracy on every task after training on each in, transfer and forgetting out.

Shapes: T tasks. ``A_TT[i, j]`` is the accuracy on task j after training on task i.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from forgetting.analysis.metrics import Floats


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
