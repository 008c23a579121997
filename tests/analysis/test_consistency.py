"""Metrics of several variants of the same problems against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.analysis import consistency


def test_robustness_by_hand() -> None:
    variants = [[1, 1, 1, 0], [1, 0, 1, 0], [1, 1, 0, 0]]
    assert consistency.worst_of_s(variants) == 0.25
    assert consistency.pairwise_agreement(variants) == pytest.approx((3 + 3 + 2) / 12)
    assert consistency.flip_rate(variants[0], variants[1]) == 0.25


def test_a_perturbation_that_hurts_is_positive() -> None:
    assert float(consistency.performance_drop_rate(0.3, 0.6)) == pytest.approx(0.5)
    assert np.isnan(consistency.performance_drop_rate(0.0, 0.0))


@given(st.integers(2, 5), st.integers(1, 30), st.integers(0, 2**32 - 1))
def test_right_in_all_variants_is_at_most_right_in_any(variants: int, problems: int, seed: int) -> None:
    right = np.random.default_rng(seed).random((variants, problems)) < 0.7
    assert consistency.worst_of_s(right) <= right.mean(axis=1).min()
    flips = [consistency.flip_rate(right[i], right[j]) for i in range(variants) for j in range(i)]
    assert consistency.pairwise_agreement(right) == pytest.approx(1 - np.mean(flips))


@pytest.mark.filterwarnings("error")
def test_a_share_of_no_problems_is_not_known_and_nobody_is_warned() -> None:
    nothing = np.zeros((3, 0), bool)
    assert np.isnan(consistency.worst_of_s(nothing)) and np.isnan(consistency.pairwise_agreement(nothing))
    assert np.isnan(consistency.flip_rate([], []))
    assert np.isnan(consistency.pairwise_agreement([[1, 0]]))  # one variant has no pairs
