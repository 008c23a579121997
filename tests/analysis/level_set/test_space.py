import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from forgetting.analysis.level_set.space import Space
from forgetting.errors import UsageError

SPACE = {
    "rate": FloatDistribution(1e-4, 1e-1, log=True),
    "shift": FloatDistribution(0.05, 1.0),
    "layers": IntDistribution(1, 7, step=2),
    "steps": IntDistribution(1, 64, log=True),
    "items": IntDistribution(0, 100_000),
    "tokens": IntDistribution(10, 100_000, log=True),
    "tenths": FloatDistribution(0.1, 0.7, step=0.1),
    "part": FloatDistribution(0.0, 1.0, step=0.25),
    "student": CategoricalDistribution(["34k", "10k", "100k"]),
    "seeds": CategoricalDistribution([1, 2, 5]),
}
PLACES = {"student": {"10k": 4.0, "34k": 4.53, "100k": 5.0}}


@given(st.lists(st.floats(0, 1), min_size=10, max_size=10))
def test_every_share_is_a_value_of_its_distribution(shares: list[float]) -> None:
    space = Space.of(SPACE, PLACES)
    point = space.at(space.from_shares(np.asarray([shares]))[0])
    for dimension, value in zip(space.dimensions, point, strict=True):
        distribution = SPACE[dimension.name]
        assert distribution._contains(distribution.to_internal_repr(value)), (dimension.name, value)
    (x,) = space.coordinates([point])
    assert ((x >= 0) & (x <= 1)).all()
    np.testing.assert_allclose(space.from_shares(np.asarray([shares])), [x], atol=0.05)
    np.testing.assert_allclose(space.nearest(x[None] + 1e-9), [x], atol=1e-8)
    again = space.at(x)
    assert all(a == pytest.approx(b) if isinstance(a, float) else a == b for a, b in zip(again, point, strict=True))


def test_coordinates_are_linear_logarithmic_or_given() -> None:
    dimensions = {d.name: d for d in Space.of(SPACE, PLACES).dimensions}
    assert dimensions["rate"].coordinate(math.sqrt(1e-5)) == pytest.approx(0.5)
    assert dimensions["shift"].coordinate(0.525) == pytest.approx(0.5)
    assert dimensions["steps"].coordinate(8) == pytest.approx(0.5)
    assert dimensions["student"].coordinate("34k") == pytest.approx(0.53)
    assert dimensions["student"].values == ("10k", "34k", "100k")
    assert dimensions["layers"].values == (1, 3, 5, 7)
    assert dimensions["seeds"].coordinate(2) == pytest.approx(0.25)
    assert dimensions["items"].at(0.123456) == 12346


def test_points_of_a_discrete_space() -> None:
    space = Space.of({"a": IntDistribution(1, 3), "b": CategoricalDistribution([0.5, 1.0])})
    assert space.size == 6
    assert space.points()[:3] == [(1, 0.5), (1, 1.0), (2, 0.5)]
    assert Space.of(SPACE, PLACES).size is None


@pytest.mark.parametrize(
    ("coordinates", "said"),
    [
        ({}, "since the choices are not numbers"),
        ({"student": {"10k": 4.0}}, "for every choice"),
        ({"student": [1.0, 2.0]}, "3 numbers"),
        ({"student": [1.0, 2.0, 2.0]}, "different"),
        ({"student": [1.0, 2.0, math.nan]}, "finite"),
    ],
)
def test_choices_without_numbers(coordinates: dict, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Space.of({"student": SPACE["student"]}, coordinates)
