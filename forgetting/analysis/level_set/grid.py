"""The baseline of every search: a search space in, the points of a grid in the order of their runs out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from optuna.distributions import BaseDistribution

from forgetting.analysis.level_set.space import Coordinates, Dimension, Space
from forgetting.errors import require


def grid(
    space: Mapping[str, BaseDistribution],
    *,
    repeats: int = 1,
    steps: int = 7,
    coordinates: Coordinates | None = None,
) -> Iterator[dict[str, Any]]:
    """Parameters of all points, one pass over the grid for each repeat, so that any prefix is as even as it can be.

    Discrete parameters give all their values, continuous ones ``steps`` evenly spaced values, ends included. Feed them
    to a study with ``enqueue_trial``.
    """
    require(repeats >= 1, "repeats", "at least 1", repeats)
    require(steps >= 2, "steps", "at least 2", steps)
    dimensions = Space.of(space, coordinates).dimensions
    points: list[dict[str, Any]] = [{}]
    for dimension in dimensions:
        points = [point | {dimension.name: value} for point in points for value in _values(dimension, steps)]
    return ((dict(point)) for _ in range(repeats) for point in points)


def _values(dimension: Dimension, steps: int) -> list[Any]:
    return list(dimension.values) or [dimension.at(i / (steps - 1)) for i in range(steps)]
