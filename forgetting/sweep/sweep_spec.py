"""A sweep as data: a study whose runs may be asked for, the thresholds wanted, how to search, and when to stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal, get_args

from forgetting.errors import require, unknown
from forgetting.spec import PartValue, RatePolicy, Spec

Method = Literal["level_set", "grid", "random"]
SweepAxis = Literal["capacity", "shift"]


@dataclass(frozen=True)
class Target:
    """A threshold to locate: the smallest capacity, or the largest shift, at which retention stays at a level.

    The search runs over all ``students`` and ``shifts`` of the target together; where both have several values the
    thresholds along the other axis are reported beside. The threshold on the dose axis needs no search: every run
    carries it, and it is read from the curves.

    Args:
        axis: ``capacity`` (one threshold for each shift) or ``shift`` (one for each student)
        skill: key of a forgetting curve, such as ``maths`` or ``maths:3``
        dose: contaminating samples at which retention is read; 0 is the study's last dose
        levels: retention that counts as kept; the first decides when to stop, the others are reported beside it
        contamination: one of the study's contaminations; left out: its first
        mitigation: ``none``, or one of the study's by name or some of its settings; the arms searched are then those
            under it and the plain one, and their shift is the share of their stream that contaminates
        shifts: shares searched, of the study's shifts; empty: all of them
        students: capacities searched, of the study's students; empty: all of them
        rate_multiple: multiple of the learning rate, one of the study's
        rate_policy: rate policy, one of the study's; left out: that of the fine-tuning
    """

    axis: SweepAxis = "capacity"
    skill: str = "maths"
    dose: int = 0
    levels: tuple[float, ...] = (0.9, 0.5)
    contamination: PartValue = ""
    mitigation: PartValue = "none"
    shifts: tuple[float, ...] = ()
    students: tuple[str, ...] = ()
    rate_multiple: float = 1.0
    rate_policy: RatePolicy | Literal[""] = ""

    def __post_init__(self) -> None:
        if self.axis not in get_args(SweepAxis):
            raise unknown("axis", self.axis, get_args(SweepAxis))
        require(self.dose >= 0, "dose", "0 (the last dose) or more", self.dose)
        require(len(self.levels) > 0, "levels", "at least one level", self.levels)
        for level in self.levels:
            require(0 < level < 1, "levels", "above 0 and below 1", level)
        require(len(set(self.levels)) == len(self.levels), "levels", "free of repeats", self.levels)
        require(len(set(self.students)) == len(self.students), "students", "free of repeats", self.students)
        require(len(set(self.shifts)) == len(self.shifts), "shifts", "free of repeats", self.shifts)


@dataclass(frozen=True)
class Pruning:
    """A rule, declared beforehand, that ends runs early which are clearly below every level of all their targets.

    Args:
        alpha: probability, spent over all looks, that a run whose retention stays at the level is ended; 0: no pruning
        looks: looks in a row at which the upper bound of retention must be below the level
        never_share: share of runs that are never ended, so that rebounds can be seen
    """

    alpha: float = 0.0
    looks: int = 3
    never_share: float = 0.2

    def __post_init__(self) -> None:
        require(0 <= self.alpha < 0.5, "alpha", "from 0 (no pruning) to below .5", self.alpha)
        require(self.looks >= 1, "looks", "at least 1", self.looks)
        require(0 <= self.never_share < 1, "never_share", "from 0 to below 1", self.never_share)


@dataclass(frozen=True)
class Search:
    """How the next runs are chosen.

    Args:
        method: ``level_set`` (where the crossing is least certain), ``grid`` (every point, every seed) or ``random``
        round_size: runs asked for at a time; results are told in the order asked, whoever finishes first
        startup_runs: quasi-random runs before the model decides
        holdout_share: share of the later runs drawn at random, on which the intervals are checked
        seed: root of the search's randomness
        asynchronous: ask for a run as soon as one finishes; faster on many workers, but the sequence then depends on
            which finishes first
        pruning: ending runs early that are clearly below the level; off by default, since it censors what they show
    """

    method: Method = "level_set"
    round_size: int = 4
    startup_runs: int = 8
    holdout_share: float = 0.2
    seed: int = 0
    asynchronous: bool = False
    pruning: Pruning = field(default_factory=Pruning)

    def __post_init__(self) -> None:
        if self.method not in get_args(Method):
            raise unknown("method", self.method, get_args(Method))
        require(self.round_size >= 1, "round_size", "at least 1", self.round_size)
        require(self.startup_runs >= 2, "startup_runs", "at least 2", self.startup_runs)
        require(0 <= self.holdout_share < 1, "holdout_share", "from 0 to below 1", self.holdout_share)
        require(self.seed >= 0, "seed", "0 or more", self.seed)


@dataclass(frozen=True)
class Stop:
    """When a sweep ends: every threshold of a target is known well enough, or the budget is spent.

    Args:
        width_decades: a target is done when the interval of each of its thresholds, at the first level, is narrower
            than this (log10), or as narrow as the ladder's steps allow; thresholds that lie outside the measured range
            count as known; 0: only the budget and the seeds end the search
        runs: most runs of one target; 0: no limit but the seeds
        petaflops: most floating-point operations of all runs together, in units of 10^15; 0: no limit
        hours: most hours of wall time, over all interruptions; 0: no limit
    """

    width_decades: float = 0.15
    runs: int = 0
    petaflops: float = 0.0
    hours: float = 0.0

    def __post_init__(self) -> None:
        for name in ("width_decades", "petaflops", "hours"):
            value = getattr(self, name)
            require(math.isfinite(value) and value >= 0, name, "a finite number, 0 or more", value)
        require(self.runs >= 0, "runs", "0 (no limit) or more", self.runs)


@dataclass(frozen=True)
class SweepSpec:
    """A threshold sweep: a study, of which only the runs that the thresholds need are made.

    Args:
        study: the study: students, arms and seeds that may be asked for; its controls are run for every student
        targets: the thresholds to locate, one search each
        search: how runs are chosen
        stop: when to end
        storage: address of an Optuna storage; empty: a journal file in the sweep's folder
        executor: who carries the runs out, by name or with settings
    """

    study: Spec = field(default_factory=lambda: Spec(name="sweep", contaminations=("dialogue",), seeds=3))
    targets: tuple[Target, ...] = (Target(),)
    search: Search = field(default_factory=Search)
    stop: Stop = field(default_factory=Stop)
    storage: str = ""
    executor: PartValue = "processes"

    def __post_init__(self) -> None:
        require(len(self.targets) > 0, "targets", "at least one", self.targets)
