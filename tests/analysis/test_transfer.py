"""Metrics of a sequence of tasks against matrices worked out by hand."""

from __future__ import annotations

import pytest

from forgetting.analysis import transfer

MATRIX = [  # rows: after training on task i; columns: accuracy on task j
    [0.90, 0.20, 0.10],
    [0.70, 0.80, 0.15],
    [0.50, 0.60, 0.95],
]


def test_matrix_metrics_by_hand() -> None:
    assert transfer.average_accuracy(MATRIX) == pytest.approx((0.50 + 0.60 + 0.95) / 3)
    assert transfer.backward_transfer(MATRIX) == pytest.approx(((0.50 - 0.90) + (0.60 - 0.80)) / 2)
    assert transfer.forgetting(MATRIX) == pytest.approx([0.40, 0.20])
    assert transfer.forward_transfer(MATRIX, [0.1, 0.05, 0.05]) == pytest.approx(((0.20 - 0.05) + (0.15 - 0.05)) / 2)


def test_forgetting_counts_from_the_best_look_not_from_the_first() -> None:
    matrix = [[0.5, 0.3, 0.0], [0.9, 0.6, 0.0], [0.8, 0.7, 0.9]]
    assert transfer.forgetting(matrix) == pytest.approx([0.1, -0.1])
    assert transfer.backward_transfer(matrix) == pytest.approx((0.3 + 0.1) / 2)  # both tasks gained
