"""A sampler for Optuna that spends trials where a surface crosses a level: randomised straddle on a Gaussian process.

The acquisition is max(min(m + sqrt(b) s - h, h - m + sqrt(b) s), 0) with b drawn from chi-squared with two degrees of
freedom at every step (Inatsu et al., arXiv 2408.03144), on the logit scale, divided by the cost of the point.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.search_space import IntersectionSearchSpace
from optuna.trial import FrozenTrial, TrialState
from scipy.stats import qmc

from forgetting.errors import require
from forgetting.level_set.process import Floats, Hyperparameters, Observations, Posterior, fit, logit_of

MOST_POINTS = 4096  # of an enumerated space; a larger or continuous one is searched on as many quasi-random points
CANDIDATES = 512
GROWTH = 1.2  # hyperparameters are fitted anew when the number of observations has grown by this
FIRST_FIT = 4
Coordinates = Mapping[str, Mapping[Any, float]]


class LevelSetSampler(optuna.samplers.BaseSampler):
    """Locate where the objective's retention crosses a level.

    The objective returns the signed margin ``retention - level`` (never its absolute value), retention being about 0 to
    1, and may tell its variance as the user attribute ``variance`` before it returns. All that the sampler draws is a
    function of ``seed``, the trial's number and the study's trials before it, so a new sampler on the same storage goes
    on with the same sequence.

    Args:
        level: retention at the boundary; of several levels all boundaries are searched; values are margins to the first
        search_space: the parameters; left out, those that all finished trials have in common
        coordinates: for a categorical parameter, the number that stands for each choice, such as log10 of a size
        startup_trials: quasi-random trials before the model decides
        holdout_share: share of the later trials drawn at random, so that predictions can be checked (``is_holdout``)
        most_repeats: trials that one point may have (seeds); None: any number
        cost: of a trial by its parameters, in any unit; None: all cost the same
        variance: of a value, where a trial tells none
        seed: root of the sampler's randomness
    """

    def __init__(
        self,
        level: float | Sequence[float] = 0.9,
        *,
        search_space: Mapping[str, BaseDistribution] | None = None,
        coordinates: Coordinates | None = None,
        startup_trials: int = 8,
        holdout_share: float = 0.2,
        most_repeats: int | None = None,
        cost: Callable[[Mapping[str, Any]], float] | None = None,
        variance: float = 0.003,
        seed: int = 0,
    ) -> None:
        self.levels = (level,) if isinstance(level, int | float) else tuple(level)
        for one in self.levels:
            require(0 < one < 1, "level", "above 0 and below 1", one)
        require(startup_trials >= 1, "startup_trials", "at least 1", startup_trials)
        require(0 <= holdout_share < 1, "holdout_share", "from 0 to below 1", holdout_share)
        require(variance > 0, "variance", "above 0", variance)
        self.search_space = dict(sorted(search_space.items())) if search_space else None
        self.coordinates = {name: dict(values) for name, values in (coordinates or {}).items()}
        self.startup_trials, self.holdout_share, self.most_repeats = startup_trials, holdout_share, most_repeats
        self.cost, self.variance, self.seed = cost, variance, seed
        self._fitted: tuple[tuple[Any, ...], Hyperparameters] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are searched together."""
        return self.search_space or IntersectionSearchSpace().calculate(study)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next point."""
        if not search_space:
            return {}
        space = _Space(search_space, self.coordinates)
        history = [t for t in study.get_trials(deepcopy=False) if t.number < trial.number]
        history = sorted((t for t in history if set(space.names) <= set(t.params)), key=lambda t: t.number)
        rng = np.random.default_rng([self.seed, trial.number])
        points = space.candidates(rng)
        counts = self._counts(history, space)
        free = [p for p in points if counts.get(space.key(p), 0) < self._most(history, space, p)]
        offered = free or [
            p for p in points if counts.get(space.key(p), 0) == min(counts.get(space.key(q), 0) for q in points)
        ]
        if trial.number < self.startup_trials:
            return self._spread(space, offered, counts, trial.number)
        holdout, chosen, beta = self.is_holdout(trial.number), int(rng.integers(len(offered))), float(rng.chisquare(2))
        told = [t for t in history if t.state == TrialState.COMPLETE and t.value is not None and math.isfinite(t.value)]
        if holdout or len(told) < FIRST_FIT:
            return offered[chosen]
        running = [t for t in history if t.state == TrialState.RUNNING]
        return offered[int(np.argmax(self._scores(space, told, running, offered, beta)))]

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A parameter outside the search space, uniformly."""
        rng = np.random.default_rng([self.seed, trial.number, *param_name.encode()])
        return _value(param_distribution, float(rng.random()))

    def reseed_rng(self) -> None:
        """Nothing: what is drawn depends on the seed and the trial's number alone."""

    def is_holdout(self, number: int) -> bool:
        """Whether the trial of that number is drawn at random, to check predictions with."""
        rng = np.random.default_rng([self.seed, number, 1])
        return number >= self.startup_trials and bool(rng.random() < self.holdout_share)

    def exhausted(self, study: optuna.Study) -> bool:
        """Whether every point of a discrete space has all its repeats, or failed."""
        if self.search_space is None or self.most_repeats is None:
            return False
        space = _Space(self.search_space, self.coordinates)
        history = study.get_trials(deepcopy=False)
        counts = self._counts(history, space)
        every = space.enumerated()
        return every is not None and all(counts.get(space.key(p), 0) >= self._most(history, space, p) for p in every)

    def _most(self, history: Sequence[FrozenTrial], space: _Space, point: Mapping[str, Any]) -> float:
        """Trials that a point may have: none more after one failed."""
        key = space.key(point)
        gone = (TrialState.FAIL, TrialState.PRUNED)
        if any(t.state in gone and set(space.names) <= set(t.params) and space.key(t.params) == key for t in history):
            return 0
        return math.inf if self.most_repeats is None else self.most_repeats

    def _counts(self, history: Sequence[FrozenTrial], space: _Space) -> dict[tuple[Any, ...], int]:
        counts: dict[tuple[Any, ...], int] = {}
        for trial in history:
            if set(space.names) <= set(trial.params):
                counts[space.key(trial.params)] = counts.get(space.key(trial.params), 0) + 1
        return counts

    def _spread(
        self, space: _Space, offered: Sequence[dict[str, Any]], counts: Mapping[tuple[Any, ...], int], number: int
    ) -> dict[str, Any]:
        """The least repeated point that is nearest to the next one of a Halton sequence."""
        wanted = qmc.Halton(len(space.names), rng=np.random.default_rng([self.seed])).random(number + 1)[-1]
        least = min(counts.get(space.key(p), 0) for p in offered)
        rarest = [p for p in offered if counts.get(space.key(p), 0) == least]
        return rarest[int(np.argmin(np.sum((space.ranks(rarest) - wanted) ** 2, axis=1)))]

    def _scores(
        self,
        space: _Space,
        told: Sequence[FrozenTrial],
        running: Sequence[FrozenTrial],
        offered: Sequence[dict[str, Any]],
        beta: float,
    ) -> Floats:
        """Randomised straddle of each point, over all levels, per cost. Running trials count as told at their mean."""
        seen = self._observations(space, told)
        hyper = self._hyperparameters(space, told)
        if running:
            ahead = space.unit([t.params for t in running])
            mean, _ = Posterior(seen, hyper).at(ahead)
            typical = np.full(len(ahead), float(np.median(seen.variance_N)))
            seen = Observations(
                np.concatenate([seen.points_NK, ahead]),
                np.concatenate([seen.z_N, mean]),
                np.concatenate([seen.variance_N, typical]),
            )
        mean, deviation = Posterior(seen, hyper).at(space.unit(offered))
        reach = math.sqrt(beta) * deviation
        scores = np.zeros(len(offered))
        for level in self.levels:
            h = math.log(level / (1 - level))
            scores = np.maximum(scores, np.minimum(mean + reach - h, h - mean + reach))
        if not np.any(scores > 0):
            scores = deviation
        if self.cost is not None:
            scores = scores / np.array([self.cost(p) for p in offered])
        return scores

    def _observations(self, space: _Space, told: Sequence[FrozenTrial]) -> Observations:
        values = np.array([float(t.value or 0.0) for t in told]) + self.levels[0]
        variances = np.array([float(t.user_attrs.get("variance", self.variance)) for t in told])
        z, variance = logit_of(values, variances)
        return Observations(space.unit([t.params for t in told]), z, variance)

    def _hyperparameters(self, space: _Space, told: Sequence[FrozenTrial]) -> Hyperparameters:
        """Fitted to the first so many trials, a number that grows by a fifth at a time."""
        size = FIRST_FIT
        while size * GROWTH <= len(told):
            size = max(int(size * GROWTH), size + 1)
        used = told[: min(size, len(told))]
        mark = tuple((t.number, t.value) for t in used)
        if self._fitted is None or self._fitted[0] != mark:
            self._fitted = (mark, fit(self._observations(space, used)))
        return self._fitted[1]


class _Space:
    """A search space as points of the unit cube, by the coordinates of its choices."""

    def __init__(self, space: Mapping[str, BaseDistribution], coordinates: Coordinates) -> None:
        self.space, self.coordinates = dict(sorted(space.items())), coordinates
        self.names = tuple(self.space)
        for name, distribution in self.space.items():
            if isinstance(distribution, CategoricalDistribution):
                known = coordinates.get(name, {})
                for choice in distribution.choices:
                    number = isinstance(choice, int | float) and not isinstance(choice, bool)
                    require(choice in known or number, f"coordinates.{name}", f"a number for {choice!r}", known)

    def key(self, point: Mapping[str, Any]) -> tuple[Any, ...]:
        """What makes two points the same."""
        return tuple(point[name] for name in self.names)

    def enumerated(self) -> list[dict[str, Any]] | None:
        """Every point, or None where there are too many."""
        lists = []
        for distribution in self.space.values():
            if isinstance(distribution, CategoricalDistribution):
                lists.append(list(distribution.choices))
            elif isinstance(distribution, IntDistribution):
                lists.append(list(range(distribution.low, distribution.high + 1, distribution.step)))
            elif isinstance(distribution, FloatDistribution) and distribution.step is not None:
                steps = round((distribution.high - distribution.low) / distribution.step)
                lists.append([distribution.low + i * distribution.step for i in range(steps + 1)])
            else:
                return None
        if math.prod(map(len, lists)) > MOST_POINTS:
            return None
        return [dict(zip(self.names, values, strict=True)) for values in itertools.product(*lists)]

    def candidates(self, rng: np.random.Generator) -> list[dict[str, Any]]:
        """Every point of a small discrete space, else quasi-random ones."""
        if (every := self.enumerated()) is not None:
            return every
        cube = qmc.Halton(len(self.names), rng=rng).random(CANDIDATES)
        return [{n: _value(d, u) for (n, d), u in zip(self.space.items(), row, strict=True)} for row in cube.tolist()]

    def unit(self, points: Sequence[Mapping[str, Any]]) -> Floats:
        """Coordinates scaled to the unit cube; a parameter of one value is at one half."""
        columns = []
        for name, distribution in self.space.items():
            low, high = self._range(name, distribution)
            values = np.array([self._coordinate(name, distribution, p[name]) for p in points])
            columns.append((values - low) / (high - low) if high > low else np.full(len(points), 0.5))
        return np.stack(columns, axis=1)

    def ranks(self, points: Sequence[Mapping[str, Any]]) -> Floats:
        """Places in the unit cube by rank, so that a quasi-random sequence meets every choice equally often."""
        columns = []
        for name, distribution in self.space.items():
            if isinstance(distribution, CategoricalDistribution):
                count = len(distribution.choices)
                columns.append(np.array([(distribution.choices.index(p[name]) + 0.5) / count for p in points]))
            else:
                low, high = self._range(name, distribution)
                values = np.array([self._coordinate(name, distribution, p[name]) for p in points])
                columns.append((values - low) / max(high - low, 1e-12))
        return np.stack(columns, axis=1)

    def _coordinate(self, name: str, distribution: BaseDistribution, value: Any) -> float:
        if isinstance(distribution, CategoricalDistribution):
            known = self.coordinates.get(name, {})
            return float(known.get(value, value))
        return math.log(value) if getattr(distribution, "log", False) else float(value)

    def _range(self, name: str, distribution: BaseDistribution) -> tuple[float, float]:
        if isinstance(distribution, CategoricalDistribution):
            values = [self._coordinate(name, distribution, c) for c in distribution.choices]
            return min(values), max(values)
        assert isinstance(distribution, FloatDistribution | IntDistribution)
        return tuple(self._coordinate(name, distribution, v) for v in (distribution.low, distribution.high))  # type: ignore[return-value]


def _value(distribution: BaseDistribution, u: float) -> Any:
    """The value at quantile ``u`` of a uniform draw from a distribution."""
    if isinstance(distribution, CategoricalDistribution):
        return distribution.choices[min(int(u * len(distribution.choices)), len(distribution.choices) - 1)]
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = distribution.low, distribution.high
    value = (
        math.exp(math.log(low) + u * (math.log(high) - math.log(low))) if distribution.log else low + u * (high - low)
    )
    if isinstance(distribution, IntDistribution):
        return min(low + round((value - low) / distribution.step) * distribution.step, high)
    if distribution.step is not None:
        value = low + round((value - low) / distribution.step) * distribution.step
    return min(max(value, low), high)
