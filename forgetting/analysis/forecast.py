"""Looks at the first tenth of a planned dose in; retention at its end out, with an 80% interval, or "cannot tell".

What is learned from are past runs: of each, the last two looks within that tenth and retention at the end. A Gaussian
process over what those looks had (below) gives the mean and the width. A factor on the width makes past students,
each left out in turn, be covered as often as said, by the past runs of which about as much was still to come: looks
at a hundredth of a dose tell less than the process thinks. Of a contamination that no past run had, the factor covers
past contaminations, each left out in turn, as often as said, each counting alike and one more as not covered at all
(Lee, Barber and Willett, arXiv 2306.06342): with fewer than four of these nothing is told. Contamination seeds of a
student are averaged.

Accuracy tells little so early, since nothing is lost yet; likelihood does: the rise of the gold answers' NLL and their
KL from dose 0, which grow over decades before an answer turns wrong. The new task's NLL is left out: it tells
contaminations apart, of which there are too few to learn from.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, optimize

from forgetting import seeds
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.learning_paths import Settings, mitigation, multiple
from forgetting.analysis.metrics import Floats, Status
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder, new_source
from forgetting.errors import require

EARLY = 0.125  # share of the planned dose within which looks are taken: a tenth, on a ladder of doublings
COVERAGE = 0.8
LEAST = 1e-4  # nats: less of a rise or a divergence is none
FEATURES = (
    "log_rise", "log_rise_before", "log_kl", "log_kl_before", "retention_early", "log_probe_kl", "log_left", "share",
    "log_capacity",
)  # fmt: skip
LEFT, CAPACITY = FEATURES.index("log_left"), FEATURES.index("log_capacity")
FAR = math.log(4.0)  # a student so many times smaller or larger than all past ones is too far from them
FEWEST = 20  # past runs
NEAREST = 300  # past runs that a factor is of
FITTED, MOST = 400, 1_500  # past runs, drawn by chance, that scales are fitted to and that are conditioned on at most
Root = tuple[Floats, bool]  # a lower Cholesky factor as ``cho_solve`` takes it
PAST = ["student", "source", "method", "arm", "skill"]  # what a row is of


def past_runs(studies: Iterable[StudyFolder], early: float = EARLY) -> pd.DataFrame:
    """One row for each student, arm and skill: ``PAST``, the ``FEATURES``, and ``outcome``, retention at the last dose.

    ``log_rise`` and ``log_kl`` are of the gold answers at the last look within the first ``early`` of the dose, and
    ``_before`` at the look before it; ``log_probe_kl`` is the divergence on the new task's probe, ``log_left`` the log
    of how many times the dose so far is still to come, ``share`` the contaminating one of the stream. Runs without two
    such looks, and skills that were not learned, have none. An outcome above 1 counts as 1.
    """
    return _rows(studies, early, 0)


def runs_so_far(study: StudyFolder, planned: int, early: float = EARLY, arm: str | None = None) -> pd.DataFrame:
    """The same of runs that are to go on to the ``planned`` dose, or did: without their outcome; of one arm, or all."""
    require(planned >= 1, "planned", "1 or more", planned)
    return _rows([study], early, planned, arm).drop(columns="outcome")


def _rows(studies: Iterable[StudyFolder], early: float, planned: int, only: str | None = None) -> pd.DataFrame:
    """``planned`` 0: the last dose of each run."""
    require(0 < early < 1, "early", "above 0 and below 1", early)
    rows: list[dict[str, Any]] = []
    for study in studies:
        arms, names = {arm["name"]: arm for arm in study.record.get("arms", [])}, study.skill_names
        whole = study.scores[study.scores["depth"].isna()]
        whole = whole if only is None else whole[whole["arm"] == only]
        runs = whole.groupby(["student", "arm", "distillation_seed", "seed"], observed=True)
        for (student, arm, seed, _), own in runs:
            settings = arms.get(arm, {})
            if part_name(settings.get("contamination")) == ORIGINAL or multiple(settings) == 0:
                continue  # a control: nothing is forgotten
            probes = own[own["benchmark"] == PROBE]
            probes = probes[probes["variant"] == new_source(settings, probes)].set_index("dose")
            graded = own[(own["benchmark"] != PROBE) & (own["variant"] == ORIGINAL) & (own["status"] == Status.ok.name)]
            for benchmark, looks in graded.groupby("benchmark", observed=True):
                found = _features(looks.set_index("dose").sort_index(), probes, early, planned)
                if found:
                    about = {"student": f"{student}-d{seed}", "arm": arm, "skill": names[str(benchmark)]}
                    about |= {"source": source_of(settings), "method": method_of(settings)}
                    rows.append(about | {"capacity": float(looks["capacity"].iloc[0])} | found)
    frame = pd.DataFrame(rows, columns=[*PAST, "capacity", *FEATURES, "outcome"])
    return frame.groupby(PAST, as_index=False, sort=False).mean()


def source_of(arm: Settings) -> str:
    """What an arm trains on: the name of its contamination, of one's own data with where they are."""
    contamination = arm.get("contamination")
    where = contamination.get("source") if isinstance(contamination, dict) else None
    return " ".join(filter(None, [part_name(contamination), where]))


def method_of(arm: Settings) -> str:
    """What an arm does against forgetting; ``none`` at whatever rate, ``replay`` where its shift is below 1."""
    name = str(mitigation(arm)["name"])
    if name not in ("none", "low_rate"):
        return name
    return "replay" if float(arm.get("shift", 1.0)) < 1 else "none"


def _features(looks: pd.DataFrame, probes: pd.DataFrame, early: float, planned: int) -> dict[str, float] | None:
    dose = looks.index.to_numpy(float)
    end = float(planned or dose[-1])
    known = np.flatnonzero((dose > 0) & (dose <= early * end * (1 + 1e-9)))
    if len(known) < 2 or dose[known[-1]] not in probes.index:
        return None
    before, last = looks.iloc[known[-2]], looks.iloc[known[-1]]
    values = {
        "log_rise": _log(last["delta_nll"]),
        "log_rise_before": _log(before["delta_nll"]),
        "log_kl": _log(last["kl"]),
        "log_kl_before": _log(before["kl"]),
        "retention_early": float(last["retention"]),
        "log_probe_kl": _log(probes["kl"][dose[known[-1]]]),
        "log_left": math.log(end / dose[known[-1]]),
        "share": float(dose[known[-1]]) / float(last["stream_samples"]),
        "log_capacity": math.log(float(last["capacity"])),
        "outcome": float(np.clip(float(looks["retention"].iloc[-1]), 0.0, 1.0)),
    }
    return values if all(map(math.isfinite, values.values())) else None


def _log(nats: Any) -> float:
    return math.log(max(float(nats), 0.0) + LEAST)


@dataclass(frozen=True)
class Forecast:
    """Retention at the end of the planned dose with its 80% interval. ``told`` says whether it is worth anything.

    Where it is not, the interval is wider than half of what outcomes differ by anyway: nothing can be told from these
    looks.
    """

    value: float
    low: float
    high: float
    told: bool

    def __str__(self) -> str:
        if not self.told:
            return f"cannot tell: anything from {self.low:.2f} to {self.high:.2f}"
        return f"{self.value:.2f} ({COVERAGE:.0%} interval {self.low:.2f} to {self.high:.2f})"


@dataclass(frozen=True, eq=False)
class Forecaster:
    """A Gaussian process over past runs (rows N): a scale for each of F features, that of outcomes, and the noise."""

    x_NF: Floats
    y_N: Floats
    centre_F: Floats
    spread_F: Floats
    log_theta: Floats  # F length scales, then the standard deviations of outcomes and of noise
    apart_N: Floats  # standard deviations that each run lies from what other students foretell
    apart_sources_N: Floats  # and from what other contaminations do
    source_N: NDArray[np.str_]
    outcomes: float  # the width that 80% of past outcomes fill
    wary: bool = False  # whether the factor of others is taken for past contaminations too

    @classmethod
    def learned(cls, past: pd.DataFrame) -> Forecaster:
        """From ``past_runs``: scales by their posterior mode, the factor by leaving out students and contaminations."""
        require(len(past) >= FEWEST, "past runs", f"{FEWEST} or more", len(past))
        past = past.iloc[_some(len(past), MOST)]
        raw, y_N = past[list(FEATURES)].to_numpy(float), past["outcome"].to_numpy(float)
        centre, spread = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-9)
        x_NF = (raw - centre) / spread
        filled = float(np.diff(np.quantile(y_N, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2]))[0])
        student_N, source_N = (past[name].to_numpy(object).astype(str) for name in ("student", "source"))
        some, none = _some(len(past), FITTED), np.ones(len(past))
        theta = _scales(x_NF[some], y_N[some])
        first = cls(x_NF, y_N, centre, spread, theta, none, none, source_N, filled)
        return dataclasses.replace(first, apart_N=first._apart(student_N), apart_sources_N=first._apart(source_N))

    @cached_property
    def _root(self) -> Root:
        return _root(self.x_NF, self.log_theta)

    @property
    def _capacities(self) -> tuple[float, float]:
        """The logs of the smallest and the largest past student's size."""
        log_N = self.x_NF[:, CAPACITY] * self.spread_F[CAPACITY] + self.centre_F[CAPACITY]
        return float(log_N.min()), float(log_N.max())

    def _apart(self, group_N: NDArray[np.str_]) -> Floats:
        """How many standard deviations each run lies from what the other groups foretell; 1 for a single group.

        A group left out is foretold in closed form by the inverse of the whole Gram matrix (Rasmussen and Williams
        2006, 5.4.2, for groups).
        """
        apart_N = np.ones(len(self.y_N))
        inverse_NN = linalg.cho_solve(self._root, np.eye(len(self.y_N)))
        weight_N = inverse_NN @ (self.y_N - self.y_N.mean())
        for name in np.unique(group_N) if len(np.unique(group_N)) > 1 else ():
            out = group_N == name
            covariance = np.linalg.inv(inverse_NN[np.ix_(out, out)])
            mean, sd = self.y_N[out] - covariance @ weight_N[out], np.sqrt(np.diag(covariance))
            apart_N[out] = np.abs(self.y_N[out] - np.clip(mean, 0, 1)) / sd
        return apart_N

    def _factors(self, left: float) -> tuple[float, float]:
        """Of the width where so much is still to come: of a past contamination, and of another one."""
        order = np.argsort(np.abs(self.x_NF[:, LEFT] - left), kind="stable")
        known = _quantile([self.apart_N[[place]] for place in order[:NEAREST]])
        by_source = (order[self.source_N[order] == name][:NEAREST] for name in np.unique(self.source_N))
        return known, max(known, _quantile([self.apart_sources_N[places] for places in by_source]))

    def forecast(self, runs: pd.DataFrame) -> list[Forecast]:
        """Of runs with the columns ``FEATURES`` and ``source``, the name of their contamination.

        Nothing is told of sizes ``FAR`` beyond those of the past runs.
        """
        x = (runs[list(FEATURES)].to_numpy(float) - self.centre_F) / self.spread_F
        mean, sd = _conditioned(self.x_NF, self.y_N, x, self.log_theta, self._root)
        mean, known = np.clip(mean, 0, 1), runs["source"].isin(self.source_N).to_numpy(bool)
        by_left = {left: self._factors(left) for left in np.unique(x[:, LEFT])}
        factor_R2 = np.array([by_left[left] for left in x[:, LEFT]]).reshape(-1, 2)
        half = sd * np.where(known & (not self.wary), *factor_R2.T)
        capacity, past = runs["log_capacity"].to_numpy(float), self._capacities
        half[(capacity < past[0] - FAR) | (capacity > past[1] + FAR)] = np.inf
        low, high = np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)
        told = high - low <= self.outcomes / 2
        rows = zip(mean.tolist(), low.tolist(), high.tolist(), told.tolist(), strict=True)
        return [Forecast(*row) for row in rows]


def _quantile(groups: Sequence[Floats]) -> float:
    """That covers as often as said, where each group counts alike and one more as wholly outside; else infinite."""
    apart_N = np.concatenate(groups)
    share_N = np.concatenate([np.full(len(one), 1 / len(one)) for one in groups]) / (len(groups) + 1)
    order = np.argsort(apart_N, kind="stable")
    place = int(np.searchsorted(np.cumsum(share_N[order]), COVERAGE - 1e-9))
    return float(apart_N[order[place]]) if place < len(order) else math.inf


def _kernel(a: Floats, b: Floats, log_theta: Floats) -> Floats:
    scaled_a, scaled_b = a / np.exp(log_theta[:-2]), b / np.exp(log_theta[:-2])
    squares = (scaled_a**2).sum(1)[:, None] + (scaled_b**2).sum(1) - 2 * scaled_a @ scaled_b.T
    return np.asarray(np.exp(2 * log_theta[-2] - np.maximum(squares, 0.0) / 2))


def _conditioned(x: Floats, y: Floats, at: Floats, log_theta: Floats, root: Root) -> tuple[Floats, Floats]:
    """Mean and standard deviation of an outcome, its noise included, by the ``_root`` of ``x``."""
    middle = float(y.mean())
    across = linalg.solve_triangular(root[0], _kernel(x, at, log_theta), lower=True)
    mean = middle + across.T @ linalg.solve_triangular(root[0], y - middle, lower=True)
    return mean, np.sqrt(math.exp(2 * log_theta[-2]) + math.exp(2 * log_theta[-1]) - (across**2).sum(axis=0))


def _root(x: Floats, log_theta: Floats) -> Root:
    """Of the Gram matrix with the noise."""
    gram = _kernel(x, x, log_theta) + math.exp(2 * log_theta[-1]) * np.eye(len(x))
    return np.asarray(np.linalg.cholesky(gram), np.float64), True


def _some(count: int, most: int) -> NDArray[np.int64]:
    """Places of at most so many of them, in order: drawn by chance, since every fourth, say, would be of one skill."""
    return np.sort(seeds.generator(0, "forecast").permutation(count)[:most])


def _scales(x: Floats, y: Floats) -> Floats:
    """The posterior mode of the logs of all scales, under broad normal priors about what outcomes in 0 to 1 suggest."""
    prior = np.log([*[3.0] * x.shape[1], 0.4, 0.08])
    width = np.array([*[1.0] * x.shape[1], 0.5, 0.5])
    residual = y - y.mean()

    def loss(log_theta: Floats) -> float:
        try:
            root, _ = _root(x, log_theta)
        except np.linalg.LinAlgError:
            return 1e12
        fit = linalg.solve_triangular(root, residual, lower=True)
        return float(fit @ fit / 2 + np.log(np.diag(root)).sum() + (((log_theta - prior) / width) ** 2).sum() / 2)

    found = optimize.minimize(loss, prior, method="L-BFGS-B", options={"maxiter": 60})
    return np.asarray(found.x)


def mean_of_the_size(past: pd.DataFrame, runs: pd.DataFrame) -> Floats:
    """What a forecast is held against: for each run the mean outcome of past runs of its skill and size.

    Of the nearest size, where its own is not among them.
    """
    found = []
    for capacity, skill in zip(runs["capacity"], runs["skill"], strict=True):
        same = past[past["skill"] == skill]
        apart = np.abs(np.log(same["capacity"] / capacity))
        found.append(float(same.loc[apart <= apart.min() + 1e-9, "outcome"].mean()) if len(same) else math.nan)
    return np.array(found)
