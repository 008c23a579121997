import numpy as np
import pytest
from scipy import special, stats

from forgetting.analysis.level_set.calibration import Calibration, calibration
from forgetting.errors import UsageError


def test_coverage_of_a_right_model_is_its_share() -> None:
    z = stats.norm.ppf((np.arange(1000) + 0.5) / 1000)
    exact = Calibration(np.full(1000, 2.0), np.full(1000, 3.0), 2.0 + 3.0 * z)
    np.testing.assert_allclose(exact.z, z)
    assert exact.coverage() == pytest.approx({0.5: 0.5, 0.8: 0.8, 0.9: 0.9}, abs=0.002)


def test_holdouts_are_foretold_from_the_others() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(4, 5.7, 300)
    right = rng.binomial(120, special.expit(4 * (x - 4.8) + 0.4 * rng.standard_normal(300)))
    p = (right + 0.5) / 121
    held = np.arange(300) % 3 == 0
    found = calibration(x, right / 120, p * (1 - p) / 120, held)
    assert found.z.shape == (100,)
    assert found.coverage()[0.8] == pytest.approx(0.8, abs=0.12)
    changed = np.where(held, 0.5, right / 120)
    np.testing.assert_array_equal(calibration(x, changed, p * (1 - p) / 120, held).predicted_T, found.predicted_T)


@pytest.mark.parametrize("held", [[False] * 4, [True] * 3 + [False]])
def test_nothing_to_check(held: list[bool]) -> None:
    with pytest.raises(UsageError, match="holdout"):
        calibration([1.0, 2.0, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4], [0.01] * 4, held)
