"""Where projected paths rise, against the projection itself, and the bias of a value where it can be worked out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from forgetting.analysis.level_set import process
from forgetting.analysis.level_set.rises import last_rise, rise, unbiased


def test_a_rise_is_that_of_the_projected_path() -> None:
    """300 rough paths on an uneven grid: the same places as by making every projection, infinite ones too."""
    rng = np.random.default_rng(0)
    grid, weight = np.sort(rng.random(40)), rng.random(40) + 0.1
    paths = rng.standard_normal((300, 40)) + np.linspace(-1.0, 1.0, 40) + 1.5 * rng.standard_normal((300, 1))
    made = np.stack([optimize.isotonic_regression(path, weights=weight).x for path in paths])
    expected, found = last_rise(grid, made), rise(grid, paths, weight)
    assert np.array_equal(np.isinf(expected), np.isinf(found)) and {-np.inf, np.inf} <= set(found)
    finite = np.isfinite(expected)
    assert finite.sum() > 100 and np.allclose(found[finite], expected[finite], rtol=0, atol=1e-12)


@pytest.mark.parametrize(("path", "place"), [([-1.0, 1.0], 0.5), ([1.0, 2.0], -np.inf), ([-2.0, -1.0], np.inf)])
def test_a_rise_by_hand(path: list[float], place: float) -> None:
    assert rise(np.array([0.0, 1.0]), np.array([path]), np.ones(2))[0] == place


def _value(drawn: np.ndarray, seed: int) -> tuple[float, float]:
    """Where a projected mean of seven rungs rises through .5, as it is and less its bias; weights all alike."""
    x = np.linspace(0, 1, 7)
    best = process.RetentionProcess.at(process.rows(x[:, None], drawn, np.full(7, 0.04**2)), np.log([0.3, 0.5, 1e-3]))
    grid = np.linspace(0, 1, 61)[:, None]
    mean, weight = best.mean(grid) - 0.5, np.ones(61)
    value = float(rise(grid[:, 0], mean[None], weight)[0])
    return value, unbiased(best, np.ones(7, bool), grid, mean, weight, 0.5, value, seed)


def test_a_plateau_just_above_the_level_makes_rises_late_and_the_bias_is_taken_off() -> None:
    """From .1 up to .55 at .4 of the axis, noise .04: 200 data sets, of which the truth is .356."""
    x = np.linspace(0, 1, 7)
    truth = np.interp(x, [0, 0.4, 1], [0.1, 0.55, 0.55])
    place = float(np.interp(0.5, [0.1, 0.55], [0, 0.4]))
    rng = np.random.default_rng(1)
    found = np.array([_value(truth + 0.04 * rng.standard_normal(7), seed) for seed in range(200)])
    late, mended = np.median(found, axis=0) - place
    assert late > 0.015 and abs(mended) < 0.6 * late


def test_nothing_is_taken_off_where_there_is_no_rise() -> None:
    value, same = _value(np.full(7, 0.9), 0)
    assert value == same == -np.inf
