"""The sampler of a target's search: level sets, the whole grid, or the same points in random order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial

from forgetting.analysis.level_set.sampler import LevelSetSampler
from forgetting.sweep.search_space import SweepPoint, SweepSpace
from forgetting.sweep.sweep_spec import Search


def distributions(space: SweepSpace) -> dict[str, CategoricalDistribution]:
    """The search space as Optuna knows it: both parameters are choices from the target's lists."""
    return {"student": CategoricalDistribution(space.students), "shift": CategoricalDistribution(space.shifts)}


def sampler(space: SweepSpace, search: Search) -> optuna.samplers.BaseSampler:
    """The sampler that the search names."""
    if search.method == "grid":
        return InOrder([point for _ in range(space.repeats) for point in space.points])
    if search.method == "random":
        every = [point for point in space.points for _ in range(space.repeats)]
        order = np.random.default_rng([search.seed]).permutation(len(every))
        return InOrder([every[i] for i in order])
    return level_set(space, search)


def level_set(space: SweepSpace, search: Search) -> LevelSetSampler:
    """Level-set search over log10 of the capacity and the shift, cost by operations."""
    students = {name: space.coordinates((name, space.shifts[0]))[0] for name in space.students}

    def cost(point: Mapping[str, Any]) -> float:
        return space.flops((str(point.get("student", space.students[0])), float(point.get("shift", space.shifts[0]))))

    return LevelSetSampler(
        level=space.target.levels,
        space=dict(distributions(space)),
        coordinates={"student": students},
        startup_trials=search.startup_runs,
        holdout_share=search.holdout_share,
        most_repeats=space.repeats,
        cost=cost,
        seed=search.seed,
    )


class InOrder(optuna.samplers.BaseSampler):
    """Points in a given order, by the trial's number."""

    def __init__(self, order: list[SweepPoint]) -> None:
        self.order = order

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """Nothing: each parameter is given by itself."""
        return {}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Nothing."""
        return {}

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """The parameter of the point whose turn it is."""
        point = self.order[trial.number % len(self.order)]
        return point[("student", "shift").index(param_name)]
