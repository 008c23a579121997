import numpy as np
import pytest
from scipy import special

from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.errors import UsageError

PLACES = np.repeat(np.linspace(4, 5.7, 18), 4)


def runs(retention: np.ndarray, seed: int = 0, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """What runs of 120 items say of a true retention, with noise between seeds."""
    rng = np.random.default_rng(seed)
    right = rng.binomial(120, np.clip(retention + noise * rng.standard_normal(retention.shape), 0, 1))
    p = (right + 0.5) / 121
    return right / 120, p * (1 - p) / 120


def smooth(capacity: np.ndarray) -> np.ndarray:
    return special.expit(special.logit(0.9) + 8 * (capacity - 4.93))


def test_a_smooth_crossing_of_capacity() -> None:
    found = estimate_threshold(PLACES, *runs(smooth(PLACES)), axis="capacity", level=0.9)
    assert found.located
    assert found.low <= 10**4.93 <= found.high
    assert found.decades < 0.5
    assert found == estimate_threshold(PLACES, *runs(smooth(PLACES)), axis="capacity", level=0.9)


def test_a_step_is_covered_by_the_bracket() -> None:
    """Without noise the threshold may be anywhere between the two rungs where the step lies."""
    places = np.repeat([4.0, 4.3, 4.6, 5.0, 5.3, 5.7], 5)
    found = estimate_threshold(places, *runs(np.where(places > 4.8, 0.99, 0.2), noise=0), axis="capacity", level=0.9)
    assert found.low <= 10**4.6 * 1.001 and found.high >= 10**5.0 * 0.999


def test_more_runs_narrow_the_interval() -> None:
    few, many = (np.repeat(np.linspace(4, 5.7, 18), k) for k in (1, 10))
    decades = [estimate_threshold(x, *runs(smooth(x)), axis="capacity", level=0.9).decades for x in (few, many)]
    assert decades[1] < decades[0]


def test_shift_falls_and_is_its_own_unit() -> None:
    shifts = np.repeat(np.linspace(0.05, 1, 12), 4)
    retention, variance = runs(special.expit(-8 * (shifts - 0.6)))
    found = estimate_threshold(shifts, retention, variance, axis="shift", level=0.5)
    assert found.located
    assert 0 < found.low <= 0.6 <= found.high < 1
    mirrored = estimate_threshold(-shifts, retention, variance, axis="capacity", level=0.5)
    assert -np.log10([mirrored.high, mirrored.value, mirrored.low]) == pytest.approx(
        [found.low, found.value, found.high], abs=1e-9
    )


def test_dose_is_read_in_samples() -> None:
    doses = np.repeat(np.linspace(1, 4, 12), 4)
    found = estimate_threshold(doses, *runs(special.expit(-6 * (doses - 2.5))), axis="dose", level=0.5)
    assert found.low <= 10**2.5 <= found.high


def test_a_line_through_two_dimensions() -> None:
    """The boundary is capacity = 4.5 + 0.8 shift; the column of the axis may be any."""
    rng = np.random.default_rng(5)
    capacity, shift = rng.uniform(4, 5.7, 150), rng.uniform(0.05, 1, 150)
    retention, variance = runs(special.expit(special.logit(0.9) + 8 * (capacity - 4.5 - 0.8 * shift)))
    for at in (0.25, 0.75):
        first = estimate_threshold(
            np.stack([capacity, shift], 1), retention, variance, axis="capacity", level=0.9, at=[at]
        )
        second = estimate_threshold(
            np.stack([shift, capacity], 1), retention, variance, axis="capacity", level=0.9, along=1, at=at
        )
        assert first.low <= 10 ** (4.5 + 0.8 * at) <= first.high
        assert second.value == pytest.approx(first.value, rel=0.1)
    other = estimate_threshold(
        np.stack([capacity, shift], 1), retention, variance, axis="shift", level=0.9, along=1, at=4.9
    )
    assert other.low <= 0.5 <= other.high


@pytest.mark.parametrize(
    ("retention", "axis", "status"),
    [
        (np.full(72, 0.98), "capacity", "below_range"),
        (np.full(72, 0.3), "capacity", "above_range"),
        (np.full(72, 0.98), "shift", "above_range"),
        (np.full(72, 0.3), "shift", "below_range"),
        (np.where(abs(PLACES - 4.8) < 0.2, 0.95, 0.3), "capacity", "not_monotone"),
        (np.where(abs(PLACES - 5.2) < 0.2, 0.3, np.where(PLACES < 4.5, 0.3, 0.98)), "capacity", "not_monotone"),
    ],
)
def test_statuses(retention: np.ndarray, axis: str, status: str) -> None:
    found = estimate_threshold(PLACES, *runs(retention, noise=0.02), axis=axis, level=0.7)  # type: ignore[arg-type]
    assert found.status == status
    assert np.isnan(found.value)


def test_the_threshold_says_of_how_many_students() -> None:
    """Four streams at each size: on one student, on four, or not told."""
    retention, variance = runs(smooth(PLACES))
    scattered = retention + 0.12 * np.random.default_rng(7).standard_normal(72)
    shared, fresh = np.repeat(np.arange(18), 4), np.arange(72)
    one, several, untold = (
        estimate_threshold(PLACES, scattered, variance, axis="capacity", level=0.7, students=students)
        for students in (shared, fresh, None)
    )
    assert (one.students, several.students, untold.students) == (18, 72, 0)
    assert one.student_sd is None
    assert several.student_sd is not None and 0 < several.student_sd < 0.2
    assert "18 students, one a size: the interval excludes the scatter between students" in str(one)
    assert "72 students, sd of retention between students 0." in str(several)
    assert "student" not in str(untold)


def test_too_little_data() -> None:
    for places in ([4.0, 5.0], [4.0, 4.0, 5.0, 5.0, 5.0], [4.0, 4.5, 5.0]):
        x = np.asarray(places)
        found = estimate_threshold(x, *runs(smooth(x)), axis="capacity", level=0.9)
        assert found.status == "too_little_data"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"level": 0.0}, "level"),
        ({"level": 1.0}, "level"),
        ({"confidence": 1.0}, "confidence"),
        ({"at": [0.5]}, "at"),
        ({"along": 1}, "along"),
        ({"retention": np.full(72, np.nan)}, "finite"),
        ({"retention": np.full(3, 0.5)}, "retention, variance"),
        ({"variance": np.full(72, -1.0)}, "variance"),
        ({"points": np.zeros((2, 2, 2))}, "points"),
        ({"students": ["a"]}, "students"),
    ],
)
def test_bad_input(change: dict, said: str) -> None:
    given = {"points": PLACES, "retention": np.full(72, 0.5), "variance": np.full(72, 0.01), "level": 0.9} | change
    with pytest.raises(UsageError, match=said):
        estimate_threshold(given.pop("points"), given.pop("retention"), given.pop("variance"), axis="capacity", **given)
