"""The power law gives known coefficients back, forgives outliers, and draws straight lines of equal forgetting."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetting.analysis.thresholds.power_law import fit_power_law
from forgetting.errors import UsageError

DOSES, SIZES, SHARES = np.geomspace(100, 10_000, 6), np.geomspace(1e4, 1e6, 5), (0.0, 0.01, 0.05)
ALPHA, BETA, B = 0.4, 0.6, 50.0


def _law(dose: np.ndarray, capacity: np.ndarray, replay: np.ndarray) -> np.ndarray:
    return 0.5 * (dose / 1000) ** BETA / ((1 + B * replay) * capacity / 1e5) ** ALPHA


def _looks(seeds: int = 2, shares: tuple[float, ...] = SHARES) -> tuple[np.ndarray, ...]:
    """(dose, capacity, replay share, run) of every look."""
    rows = [
        (dose, size, share, run)
        for run, (size, share, _) in enumerate(itertools.product(SIZES, shares, range(seeds)))
        for dose in DOSES
    ]
    return tuple(np.array(rows).T)


def _noise(run: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.exp(0.1 * rng.standard_normal(int(run.max()) + 1)[run.astype(int)] + 0.1 * rng.standard_normal(run.size))


def test_exact_losses_give_the_coefficients_back() -> None:
    dose, capacity, replay, run = _looks()
    fit = fit_power_law(dose, capacity, _law(dose, capacity, replay), replay, run, draws=20)
    assert (fit.B, fit.alpha, fit.beta) == pytest.approx((B, ALPHA, BETA), rel=1e-4)
    assert fit.residual_sd < 1e-4
    assert fit.increase(dose, capacity, replay) == pytest.approx(_law(dose, capacity, replay), rel=1e-4)
    at_units = _law(np.array(fit.unit_dose), np.array(fit.unit_capacity), np.array(0.0))
    assert pytest.approx(float(at_units), rel=1e-4) == fit.A
    assert fit.slope == pytest.approx((ALPHA / BETA,) * 3, rel=1e-3)


def test_equal_forgetting_is_a_straight_line() -> None:
    dose, capacity, replay, run = _looks()
    fit = fit_power_law(dose, capacity, _law(dose, capacity, replay), replay, run, draws=0)
    at = fit.equal_forgetting_dose(SIZES, 0.3)
    assert np.diff(np.log(at)) / np.diff(np.log(SIZES)) == pytest.approx(np.full(4, ALPHA / BETA), rel=1e-3)
    assert fit.increase(at, SIZES) == pytest.approx(np.full(5, 0.3))
    gain = fit.equal_forgetting_dose(1e5, 0.3, 0.05) / fit.equal_forgetting_dose(1e5, 0.3)
    assert gain == pytest.approx((1 + B * 0.05) ** (ALPHA / BETA), rel=1e-3)
    assert all(math.isnan(v) for v in (*fit.low.values(), *fit.high.values(), *fit.slope[1:]))


@pytest.mark.slow
def test_intervals_cover_the_coefficients() -> None:
    rng, (dose, capacity, replay, run) = np.random.default_rng(0), _looks()
    covered = np.zeros(4)
    for study in range(25):
        increase = _law(dose, capacity, replay) * _noise(run, rng)
        fit = fit_power_law(dose, capacity, increase, replay, run, draws=60, seed=study)
        slope = fit.slope
        within = [fit.low[name] <= v <= fit.high[name] for name, v in (("B", B), ("alpha", ALPHA), ("beta", BETA))]
        covered += [*within, slope[1] <= ALPHA / BETA <= slope[2]]
        assert (fit.alpha, fit.beta) == pytest.approx((ALPHA, BETA), abs=0.06)
    assert np.all(covered >= 20)


def test_without_replay_b_is_not_fitted() -> None:
    dose, capacity, replay, run = _looks(shares=(0.0,))
    fit = fit_power_law(dose, capacity, _law(dose, capacity, replay), runs_R=run, draws=5)
    assert fit.B == 0 and np.all(fit.draws_BP[:, 1] == 0)
    assert (fit.alpha, fit.beta) == pytest.approx((ALPHA, BETA), rel=1e-4)


def test_an_outlier_hardly_moves_it() -> None:
    dose, capacity, replay, _ = _looks(shares=(0.0,))
    increase = _law(dose, capacity, replay) * np.exp(0.05 * np.random.default_rng(1).standard_normal(dose.size))
    clean = fit_power_law(dose, capacity, increase, draws=0)
    increase[5] *= 1000
    spoilt = fit_power_law(dose, capacity, increase, draws=0)
    squares = np.linalg.lstsq(
        np.column_stack([np.ones(dose.size), np.log(capacity), np.log(dose)]), np.log(increase), rcond=None
    )[0]
    assert abs(spoilt.beta - clean.beta) < 0.02 < abs(squares[2] - clean.beta)


def test_what_has_no_logarithm_is_left_out_and_counted() -> None:
    dose, capacity, replay, _ = _looks()
    increase = _law(dose, capacity, replay)
    increase[[3, 8]] = -0.01, math.nan
    with_zero = fit_power_law([0.0, *dose], [1e4, *capacity], [0.0, *increase], [0.0, *replay], draws=0)
    assert (with_zero.left_out, with_zero.looks) == (2, dose.size - 2)
    assert with_zero.alpha == pytest.approx(ALPHA, rel=1e-4)


def test_same_seed_same_draws() -> None:
    dose, capacity, replay, run = _looks()
    increase = _law(dose, capacity, replay) * _noise(run, np.random.default_rng(2))
    first, again, other = (fit_power_law(dose, capacity, increase, replay, run, draws=4, seed=s) for s in (1, 1, 2))
    assert np.array_equal(first.draws_BP, again.draws_BP) and not np.array_equal(first.draws_BP, other.draws_BP)


def test_too_little_data_and_bad_input() -> None:
    assert fit_power_law([100, 200], [1e4, 1e5], [0.1, 0.2]).status == "too_little_data"
    one_size = fit_power_law(DOSES, np.full(6, 1e4), DOSES / 1e4)
    assert one_size.status == "too_little_data" and "sizes" in one_size.remedy and math.isnan(one_size.slope[0])
    with pytest.raises(UsageError, match="increase"):
        fit_power_law([1, 2], [1, 2], [1])
    with pytest.raises(UsageError, match="replay"):
        fit_power_law([1, 2], [1, 2], [1, 1], [0, 2])


_LOOK = st.tuples(
    st.sampled_from(list(DOSES)), st.sampled_from(list(SIZES)), st.floats(-1, 10), st.sampled_from(SHARES)
)


@settings(max_examples=25, deadline=None)
@given(st.lists(_LOOK, max_size=25))
def test_no_looks_crash_it(looks: list[tuple[float, float, float, float]]) -> None:
    dose, capacity, increase, replay = np.array(looks, float).reshape(-1, 4).T
    fit = fit_power_law(dose, capacity, increase, replay, draws=3)
    assert fit.looks + fit.left_out == len(looks)
