"""A search space of Optuna as a unit cube: distributions in, coordinates of parameters and the way back out.

Shapes: Q points, D dimensions (parameters in alphabetical order). A discrete parameter has its values in ascending
order of their coordinates; a number from 0 to 1 stands for the value in whose equal share it falls, so that uniform
numbers make uniform values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from forgetting.analysis.metrics import Floats
from forgetting.errors import UsageError, require

Coordinates = Mapping[str, Mapping[Any, float] | Sequence[float]]

MOST_VALUES = 1000  # of a stepped parameter that count as discrete; one with more is continuous and then rounded


@dataclass(frozen=True)
class Dimension:
    """One parameter: its ``values`` with their numeric ``places`` if discrete, else its bounds (logarithms if log)."""

    name: str
    values: tuple[Any, ...]  # empty if continuous
    places: Floats
    low: float
    high: float
    distribution: BaseDistribution

    def coordinate(self, value: Any) -> float:
        """Where a value lies, 0 to 1."""
        if self.values:
            place = float(self.places[self.values.index(value)])
        else:
            place = math.log(value) if _is_log(self.distribution) else float(value)
        return (place - self.low) / (self.high - self.low) if self.high > self.low else 0.5

    def at(self, coordinate: float) -> Any:
        """The value at (or nearest to) a coordinate."""
        if self.values:
            return self.values[int(np.argmin(np.abs(self.marks - coordinate)))]
        place = self.low + coordinate * (self.high - self.low)
        own = self.distribution
        assert isinstance(own, FloatDistribution | IntDistribution)
        value = math.exp(place) if own.log else place
        if own.step is not None:
            value = own.low + own.step * round((value - own.low) / own.step)
        return min(max(value, own.low), own.high)

    @property
    def marks(self) -> Floats:
        """The coordinates of the values of a discrete parameter."""
        return (self.places - self.low) / (self.high - self.low) if self.high > self.low else self.places * 0 + 0.5

    def from_shares(self, share_Q: Floats) -> Floats:
        """The coordinates of the values that numbers from 0 to 1 stand for."""
        if not self.values:
            return share_Q
        return np.asarray(self.marks[np.minimum((share_Q * len(self.values)).astype(int), len(self.values) - 1)])

    def nearest(self, coordinate_Q: Floats) -> Floats:
        """The coordinates of the nearest values."""
        if not self.values:
            return np.clip(coordinate_Q, 0, 1)
        return np.asarray(self.marks[np.argmin(np.abs(coordinate_Q[:, None] - self.marks), axis=1)])


@dataclass(frozen=True)
class Space:
    """The parameters of a search space as dimensions."""

    dimensions: tuple[Dimension, ...]

    @classmethod
    def of(cls, distributions: Mapping[str, BaseDistribution], coordinates: Coordinates | None = None) -> Space:
        """Raise ``UsageError`` for a categorical parameter whose choices have no numeric coordinates."""
        given = coordinates or {}
        return cls(tuple(_dimension(name, distributions[name], given) for name in sorted(distributions)))

    @property
    def size(self) -> int | None:
        """The number of points; None if any parameter is continuous."""
        sizes = [len(d.values) for d in self.dimensions]
        return math.prod(sizes) if all(sizes) else None

    def points(self) -> list[tuple[Any, ...]]:
        """All points of a discrete space, the last parameter running fastest."""
        found: list[tuple[Any, ...]] = [()]
        for dimension in self.dimensions:
            found = [(*point, value) for point in found for value in dimension.values]
        return found

    def point(self, params: Mapping[str, Any]) -> tuple[Any, ...]:
        """The values of the parameters in the order of the dimensions."""
        return tuple(params[d.name] for d in self.dimensions)

    def from_shares(self, shares_QD: Floats) -> Floats:
        """The coordinates of the points that numbers from 0 to 1 stand for."""
        return np.stack([d.from_shares(column) for d, column in zip(self.dimensions, shares_QD.T, strict=True)], axis=1)

    def nearest(self, x_QD: Floats) -> Floats:
        """The coordinates of the nearest points."""
        return np.stack([d.nearest(column) for d, column in zip(self.dimensions, x_QD.T, strict=True)], axis=1)

    def at(self, x_D: Floats) -> tuple[Any, ...]:
        """The point at (or nearest to) coordinates."""
        return tuple(d.at(float(c)) for d, c in zip(self.dimensions, x_D, strict=True))

    def coordinates(self, points: Sequence[tuple[Any, ...]]) -> Floats:
        """Where points lie in the unit cube, ``[Q, D]``."""
        rows = [[d.coordinate(v) for d, v in zip(self.dimensions, point, strict=True)] for point in points]
        return np.asarray(rows, float).reshape(len(points), len(self.dimensions))


def _dimension(name: str, distribution: BaseDistribution, coordinates: Coordinates) -> Dimension:
    if isinstance(distribution, CategoricalDistribution):
        pairs = sorted(_places(name, distribution, coordinates), key=lambda pair: pair[0])
        return _discrete(name, [value for _, value in pairs], [place for place, _ in pairs], distribution)
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high, log, step = distribution.low, distribution.high, distribution.log, distribution.step
    if step is not None and (high - low) / step < MOST_VALUES:
        values = [min(low + i * step, high) for i in range(round((high - low) / step) + 1)]
        return _discrete(name, values, np.log(values) if log else values, distribution)
    ends = (math.log(low), math.log(high)) if log else (float(low), float(high))
    return Dimension(name, (), np.empty(0), *ends, distribution)


def _discrete(name: str, values: Sequence[Any], places: ArrayLike, distribution: BaseDistribution) -> Dimension:
    numbers = np.asarray(places, float)
    return Dimension(name, tuple(values), numbers, float(numbers[0]), float(numbers[-1]), distribution)


def _is_log(distribution: BaseDistribution) -> bool:
    return isinstance(distribution, FloatDistribution | IntDistribution) and distribution.log


def _places(name: str, distribution: CategoricalDistribution, coordinates: Coordinates) -> list[tuple[float, Any]]:
    """The coordinate of each choice: as given, else the choices themselves if they are numbers."""
    choices, given = distribution.choices, coordinates.get(name)
    if given is None:
        numeric = all(isinstance(c, int | float) and not isinstance(c, bool) for c in choices)
        require(numeric, f"coordinates[{name!r}]", "given, since the choices are not numbers", None)
        places = [float(c) for c in choices]  # type: ignore[arg-type]  # required above to be numbers
    elif isinstance(given, Mapping):
        missing = [c for c in choices if c not in given]
        require(not missing, f"coordinates[{name!r}]", "given for every choice", missing)
        places = [float(given[c]) for c in choices]
    else:
        require(len(given) == len(choices), f"coordinates[{name!r}]", f"{len(choices)} numbers", given)
        places = [float(p) for p in given]
    if len(set(places)) < len(places) or not all(map(math.isfinite, places)):
        raise UsageError(f"coordinates[{name!r}]: must be finite and different for every choice, got {places!r}")
    return list(zip(places, choices, strict=True))
