"""A sampler for Optuna that looks where a retention surface crosses a level: a study's history in, the next point out.

Randomised straddle (Inatsu et al., arXiv 2408.03144) on the Gaussian process of ``process.py``: the point where
sqrt(beta) s - |mu - h| is greatest, beta drawn anew for each trial from the chi-squared distribution
with two degrees of freedom; the greatest over the levels h where there are several.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.study import Study
from optuna.trial import FrozenTrial

from forgetting import seeds
from forgetting.analysis.level_set import process
from forgetting.analysis.level_set.history import History, Point
from forgetting.analysis.level_set.process import RetentionProcess
from forgetting.analysis.level_set.space import Coordinates, Space
from forgetting.analysis.metrics import Floats
from forgetting.errors import UsageError, require

if TYPE_CHECKING:
    from scipy.stats.qmc import QMCEngine

MOST_POINTS = 4096  # of a discrete space that are all looked at; of a larger one a quasi-random part
CANDIDATES = 512
REFINED, AROUND, SPREADS = 8, 16, (0.05, 0.01)  # best candidates, points tried around each, at which distances
GROWTH = 1.2  # hyperparameters are fitted again when there are this many times as many complete trials
NEIGHBOURHOOD = 0.01  # of a failed point in a continuous space, as a share of each range

RunCost = Callable[[dict[str, Any]], float] | str


class LevelSetSampler(BaseSampler):
    """Looks for the points where retention crosses ``level``; the objective returns retention minus (the first) level.

    What it proposes depends on its settings, the trial's number and the study's history only, so a new sampler on the
    same storage goes on with the same sequence. See ``docs/level_set.md``.

    Args:
        level: retention that counts as kept, above 0 and below 1; one or several. Values are margins over the first
        space: distributions of all parameters; if None they are those of the first trial, which is then drawn at random
        startup_trials: trials placed quasi-randomly before the model is used
        holdout_share: probability that a later trial is drawn at random, to check the model; see ``is_holdout``
        coordinates: by name of a categorical parameter, the number of each choice (mapping, or in order of choices)
        most_repeats: runs that a point of a discrete space may have; None for any number
        cost: cost of a run by its parameters, or the name of the user attribute that tells it; gain is divided by it
        seed: of all random numbers; None draws one

    Raises:
        UsageError: a setting out of range, or a categorical parameter without coordinates.
    """

    def __init__(
        self,
        *,
        level: float | Sequence[float] = 0.9,
        space: Mapping[str, BaseDistribution] | None = None,
        startup_trials: int = 8,
        holdout_share: float = 0.2,
        coordinates: Coordinates | None = None,
        most_repeats: int | None = None,
        cost: RunCost | None = None,
        seed: int | None = None,
    ) -> None:
        self.levels = (float(level),) if isinstance(level, int | float) else tuple(map(float, level))
        require(len(self.levels) > 0 and all(0 < h < 1 for h in self.levels), "level", "above 0 and below 1", level)
        require(startup_trials >= 1, "startup_trials", "at least 1", startup_trials)
        require(0 <= holdout_share < 1, "holdout_share", "at least 0 and below 1", holdout_share)
        require(most_repeats is None or most_repeats >= 1, "most_repeats", "at least 1", most_repeats)
        self.space = None if space is None else dict(space)
        self.startup_trials = startup_trials
        self.holdout_share = holdout_share
        self.coordinates = coordinates
        self.most_repeats = most_repeats
        self.cost = cost
        self.seed = int(np.random.SeedSequence().entropy) % 2**63 if seed is None else seed  # type: ignore[arg-type]  # numpy's own is one number
        self._fitted: tuple[bytes, Floats] | None = None  # hash of observations, hyperparameters they give
        if space is not None:
            Space.of(space, coordinates)

    def is_holdout(self, number: int) -> bool:
        """Whether the trial of this number is drawn at random to check the model. A function of the settings only."""
        drawn = float(seeds.generator(self.seed, "holdout", number).random())
        return number >= self.startup_trials and drawn < self.holdout_share

    def exhausted(self, study: Study, space: Mapping[str, BaseDistribution] | None = None) -> bool:
        """Whether every point of a discrete space failed or has its ``most_repeats`` runs: nothing is left to ask."""
        cube = Space.of(self._space_of(study) if space is None else space, self.coordinates)
        if self.most_repeats is None or cube.size is None or not cube.dimensions or cube.size > MOST_POINTS:
            return False
        history = History.of(study.get_trials(deepcopy=False), cube, self.levels[0])
        return not any(self._open(point, history) for point in cube.points())

    def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The parameters that are searched together: all that have more than one value."""
        if len(study.directions) > 1:
            raise UsageError(f"LevelSetSampler: must be given one objective, got {len(study.directions)}")
        return {name: d for name, d in self._space_of(study).items() if not d.single()}

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The next point."""
        if not search_space:
            return {}
        space = Space.of(search_space, self.coordinates)
        others = [t for t in study.get_trials(deepcopy=False) if t.number != trial.number]
        history = History.of(others, space, self.levels[0])
        point = self._next(space, history, trial.number)
        return dict(zip((d.name for d in space.dimensions), point, strict=True))

    def sample_independent(
        self, study: Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        """A random value of a parameter outside the space, or of the first trial where no space was given."""
        space = Space.of({param_name: param_distribution}, self.coordinates)
        share = seeds.generator(self.seed, "independent", trial.number, param_name).random((1, 1))
        return space.at(space.from_shares(share)[0])[0]

    def reseed_rng(self) -> None:
        """Nothing to do: random numbers come from the seed and the trial's number, so no two trials share them."""

    def _space_of(self, study: Study) -> dict[str, BaseDistribution]:
        """The space that was given, else the parameters that all trials with parameters have in common."""
        if self.space is not None:
            return self.space
        found: dict[str, BaseDistribution] | None = None
        for trial in study.get_trials(deepcopy=False):
            own = trial.distributions
            if own:
                found = own if found is None else {k: d for k, d in found.items() if own.get(k) == d}
        return dict(found or {})

    def _open(self, point: Point, history: History) -> bool:
        full = self.most_repeats is not None and history.runs[point] >= self.most_repeats
        return point not in history.failed and not full

    def _next(self, space: Space, history: History, number: int) -> Point:
        """The point of a trial: quasi-random at the start, now and then random, else by the model."""
        if number < self.startup_trials:
            engine = self._sobol(space, "startup")
            share = engine.random_base2(max(self.startup_trials - 1, 1).bit_length())[number]
            return self._nearest_open(space, history, space.from_shares(share[None])[0])
        if self.is_holdout(number) or len(history.points) < 2:
            share = seeds.generator(self.seed, "point", number).random((1, len(space.dimensions)))
            return self._nearest_open(space, history, space.from_shares(share)[0])
        gain = Gain.of(self, space, history, number)
        if space.size is not None and space.size <= MOST_POINTS:
            points = self._open_points(space, history)
            return points[int(np.argmax(gain(space.coordinates(points))))]
        x = gain.allowed(space.from_shares(self._sobol(space, "candidates", number).random(CANDIDATES)))
        for spread in SPREADS:
            best = x[np.argsort(-gain(x), kind="stable")[:REFINED]]
            rng = seeds.generator(self.seed, "refine", number, str(spread))
            centre = np.repeat(best, AROUND, axis=0)
            x = np.concatenate([best, space.nearest(centre + spread * rng.standard_normal(centre.shape))])
            x = gain.allowed(x)
        return space.at(x[int(np.argmax(gain(x)))])

    def _sobol(self, space: Space, *roles: str | int) -> QMCEngine:
        from scipy.stats import qmc

        return qmc.Sobol(len(space.dimensions), rng=seeds.generator(self.seed, *roles))

    def _open_points(self, space: Space, history: History) -> list[Point]:
        """All points of a discrete space that may be run; if there is none, those run least."""
        points = space.points()
        found = [point for point in points if self._open(point, history)]
        if not found:
            sound = [point for point in points if point not in history.failed] or points
            least = min(history.runs[point] for point in sound)
            found = [point for point in sound if history.runs[point] == least]
        return found

    def _nearest_open(self, space: Space, history: History, x_D: Floats) -> Point:
        """The point at some coordinates, or the nearest one that may be run."""
        wanted = space.at(x_D)
        if self._open(wanted, history) or space.size is None or space.size > MOST_POINTS:
            return wanted
        points = self._open_points(space, history)
        return points[int(np.argmin(np.abs(space.coordinates(points) - x_D).sum(axis=1)))]

    def _model(self, space: Space, history: History) -> RetentionProcess:
        """The process given all complete trials and those under way; hyperparameters from the last round number."""
        x = space.coordinates(history.points)
        used = fitting_size(len(x))
        first = x[:used], history.retention_N[:used], history.variance_N[:used]
        key = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in first)).digest()
        if self._fitted is None or self._fitted[0] != key:
            self._fitted = (key, process.mode(process.rows(*first)))
        model = RetentionProcess.at(process.rows(x, history.retention_N, history.variance_N), self._fitted[1])
        return model.with_pending(space.coordinates(history.pending))


@dataclass(frozen=True)
class Gain:
    """What a run at given coordinates is worth to one trial: the straddle for its cost."""

    model: RetentionProcess
    space: Space
    history: History
    levels: tuple[float, ...]
    root: float  # of beta
    cost: RunCost | None

    @classmethod
    def of(cls, sampler: LevelSetSampler, space: Space, history: History, number: int) -> Gain:
        """For the trial of this number."""
        beta = float(seeds.generator(sampler.seed, "beta", number).chisquare(2))
        model = sampler._model(space, history)
        return cls(model, space, history, sampler.levels, float(np.sqrt(beta)), sampler.cost)

    def __call__(self, x_QD: Floats) -> Floats:
        """The gain at coordinates, ``[Q]``."""
        mean, sd = self.model.predict(x_QD)
        distance = np.min([np.abs(mean - h) for h in self.levels], axis=0)
        gain = self.root * sd - distance
        if self.cost is None or not np.any(gain > 0):
            return np.asarray(gain)
        return np.asarray(np.maximum(gain, 0) / self._costs(x_QD))

    def allowed(self, x_QD: Floats) -> Floats:
        """The coordinates that are not next to a failed point; all if none is left."""
        if not self.history.failed:
            return x_QD
        bad = self.space.coordinates(sorted(self.history.failed, key=repr))
        kept = x_QD[np.abs(x_QD[:, None] - bad[None]).max(axis=2).min(axis=1) > NEIGHBOURHOOD]
        return kept if len(kept) else x_QD

    def _costs(self, x_QD: Floats) -> Floats:
        """The cost at coordinates: as computed, or log-linear in the coordinates by the costs that trials told."""
        if callable(self.cost):
            names = [d.name for d in self.space.dimensions]
            costs = np.asarray([self.cost(dict(zip(names, self.space.at(x), strict=True))) for x in x_QD], float)
            require(bool(np.all(costs > 0)), "cost", "above 0 at every point", float(costs.min()))
            return costs
        told = [(p, t.user_attrs[self.cost]) for p, t in zip(self.history.points, self.history.trials, strict=True)
                if self.cost in t.user_attrs]  # fmt: skip
        if not told:
            return np.ones(len(x_QD))
        known = np.asarray([cost for _, cost in told], float)
        require(bool(np.all(known > 0)), f"user attribute {self.cost!r}", "above 0", float(known.min()))
        x, target = self.space.coordinates([p for p, _ in told]) - 0.5, np.log(known)
        centre = x.mean(axis=0)
        slope = np.linalg.solve((x - centre).T @ (x - centre) + 0.01 * np.eye(x.shape[1]), (x - centre).T @ target)
        return np.asarray(np.exp(target.mean() + (x_QD - 0.5 - centre) @ slope))


def fitting_size(trials: int) -> int:
    """How many of the first complete trials the hyperparameters come from: the last of a geometric series of sizes."""
    size = 2
    while (following := max(size + 1, int(size * GROWTH))) <= trials:
        size = following
    return min(size, trials)
