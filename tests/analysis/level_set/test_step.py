import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.analysis.level_set.step import fit_step, is_rival


@given(st.integers(0, 8), st.integers(0, 99))
def test_a_clear_step_is_found_in_its_gap(gap: int, seed: int) -> None:
    place = np.repeat(np.linspace(0, 1, 10), 3)
    rng = np.random.default_rng(seed)
    retention = np.where(place > (gap + 0.5) / 9, 0.95, 0.2) + 0.02 * rng.standard_normal(30)
    order = rng.permutation(30)
    found = fit_step(place[order], retention[order], 0.5)
    assert found is not None
    assert found.interval(0.05) == pytest.approx((gap / 9, (gap + 1) / 9))


def test_probabilities_by_hand() -> None:
    """Places 0, 1, 3 with one value each: cuts leave sums of squares .005 and .02, the second gap is twice as wide."""
    found = fit_step(np.array([0.0, 1.0, 3.0]), np.array([0.2, 0.8, 0.9]), 0.55)
    assert found is not None
    weight = np.array([0.005**-0.5 * 1, 0.18**-0.5 * 2])
    np.testing.assert_allclose(found.probability_J, weight / weight.sum())
    assert found.residual == pytest.approx(0.005)
    assert found.interval(0.05) == (0.0, 3.0)


@pytest.mark.parametrize("retention", [[0.9, 0.5, 0.1], [0.1, 0.2, 0.3], [0.8, 0.9, 0.95]])
def test_no_step_up_through_the_level(retention: list[float]) -> None:
    assert fit_step(np.array([0.0, 0.5, 1.0]), np.array(retention), 0.7) is None


def test_one_place_has_no_gap() -> None:
    assert fit_step(np.zeros(4), np.array([0.1, 0.9, 0.1, 0.9]), 0.5) is None


def test_the_rival_of_a_curve_is_judged_by_bic() -> None:
    found = fit_step(np.array([0.0, 1.0, 3.0]), np.array([0.2, 0.8, 0.9]), 0.55)
    assert found is not None
    assert is_rival(found, residual=0.0051, freedom=3.0, size=3)
    assert not is_rival(found, residual=0.0051, freedom=2.9, size=3)
    assert not is_rival(found, residual=0.0, freedom=3.0, size=3)
