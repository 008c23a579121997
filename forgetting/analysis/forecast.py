"""Looks at the first tenth of a planned dose in; retention at its end out, with an 80% interval, or "cannot tell".

What is learned from are past runs: of each, the last two looks within that tenth and retention at the end. A Gaussian
process over what those looks had (below), the skill, the method and the contamination gives the mean and the width. A
factor on the width makes past students, all of a size left out in turn, be covered as often as said, by the past runs
of which about as much was still to come: looks at a hundredth of a dose tell less than the process thinks. Of a
contamination that no past run had, the factor covers past contaminations, each left out in turn and counting alike
(pooled distributions of groups: Dunn, Wasserman and Ramdas, arXiv 1809.07441). Nothing is told of it where there are
fewer than eight, since each is then worth more than an eighth of what is said; of skills that no past run had; and of
sizes far from theirs. Contamination seeds of a student are averaged.

Accuracy tells little so early, since nothing is lost yet; likelihood does: the rise of the gold answers' NLL and their
KL from dose 0, which grow over decades before an answer turns wrong. What a rise means for the end differs by skill
(classification outlasts a rise that ends code) and by method (what replay loses at first comes back).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from forgetting import seeds
from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.gaussian_process import GaussianProcess, scales
from forgetting.analysis.learning_paths import Settings, mitigation, multiple
from forgetting.analysis.metrics import Floats, Status
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder, new_source
from forgetting.errors import require

EARLY = 0.125  # share of the planned dose within which looks are taken: a tenth, on a ladder of doublings
COVERAGE = 0.8
ENDS = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)
LEAST = 1e-4  # nats: less of a rise or a divergence is none
FEATURES = (
    "log_rise", "log_rise_before", "log_kl", "log_kl_before", "retention_early", "log_probe_kl", "log_left", "share",
    "log_capacity",
)  # fmt: skip
ALIKE = 1.15  # capacities that follow each other within this factor count as one size
KINDS = ("skill", "method", "source")  # runs are alike or not in these
LEFT, CAPACITY = FEATURES.index("log_left"), FEATURES.index("log_capacity")
FAR = math.log(4.0)  # a student so many times smaller or larger than all past ones is too far from them
FEWEST, FEWEST_SOURCES = 20, 8  # past runs; contaminations from which another is foretold
NEAREST = 300  # past runs that a factor is of, of others in equal parts of all contaminations
FITTED, MOST = 400, 1_500  # past runs, drawn by chance, that scales are fitted to and that are conditioned on at most
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


def sizes_of(runs: pd.DataFrame) -> pd.Series[int]:
    """Which runs are of one size: a new one begins where a capacity is more than ``ALIKE`` times the next smaller."""
    known = np.sort(runs["capacity"].unique())
    number = np.cumsum(np.diff(np.log(known), prepend=np.log(known[:1])) > math.log(ALIKE))
    return runs["capacity"].map(dict(zip(known, number, strict=True))).astype(int)


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
    """A Gaussian process over past runs (rows N), and how far they lie from what the others of them foretell.

    Its columns are the F features, standardised, and for each of the K ``KINDS`` the place of its word in ``words_K``.
    """

    process: GaussianProcess
    centre_F: Floats
    spread_F: Floats
    words_K: tuple[NDArray[np.str_], ...]
    apart_N: Floats  # standard deviations that each run lies from what students of other sizes foretell
    apart_sources_N: Floats  # and from what other contaminations do
    source_N: NDArray[np.str_]
    outcomes: float  # the width that 80% of past outcomes fill
    wary: bool = False  # whether the factor of others is taken for past contaminations too

    @classmethod
    def learned(cls, past: pd.DataFrame) -> Forecaster:
        """From ``past_runs``: scales by their posterior mode, factors by leaving out sizes and contaminations."""
        require(len(past) >= FEWEST, "past runs", f"{FEWEST} or more", len(past))
        past = past.iloc[_some(_words(past, "source"), MOST)]
        raw, y_N = past[list(FEATURES)].to_numpy(float), past["outcome"].to_numpy(float)
        centre, spread = raw.mean(axis=0), np.maximum(raw.std(axis=0), 1e-9)
        words = tuple(np.unique(_words(past, kind)) for kind in KINDS)
        x_ND, filled = _columns(past, centre, spread, words), float(np.diff(np.quantile(y_N, ENDS))[0])
        sizes, sources = sizes_of(past).to_numpy(), _words(past, "source")
        some = _some(sources, FITTED)
        process = GaussianProcess(x_ND, y_N, len(KINDS), scales(x_ND[some], y_N[some], len(KINDS)))
        by_size, by_source = (
            np.abs(y_N - np.clip(mean, 0, 1)) / sd for mean, sd in map(process.left_out, (sizes, sources))
        )
        return cls(process, centre, spread, words, by_size, by_source, sources, filled)

    @property
    def _capacities(self) -> tuple[float, float]:
        """The logs of the smallest and the largest past student's size."""
        log_N = self.process.x_ND[:, CAPACITY] * self.spread_F[CAPACITY] + self.centre_F[CAPACITY]
        return float(log_N.min()), float(log_N.max())

    def _factors(self, left: float) -> tuple[float, float]:
        """Of the width where so much is still to come: of a past contamination, and of another one."""
        order = np.argsort(np.abs(self.process.x_ND[:, LEFT] - left), kind="stable")
        known = _quantile([self.apart_N[[place]] for place in order[:NEAREST]], outside=1)
        names = np.unique(self.source_N)
        by_source = [order[self.source_N[order] == name][: NEAREST // len(names)] for name in names]
        if len(by_source) < FEWEST_SOURCES:
            return known, math.inf
        return known, max(known, _quantile([self.apart_sources_N[places] for places in by_source], outside=0))

    def forecast(self, runs: pd.DataFrame) -> list[Forecast]:
        """Of runs with the columns ``FEATURES`` and ``KINDS``."""
        x = _columns(runs, self.centre_F, self.spread_F, self.words_K)
        mean, sd = self.process.conditioned(x)
        mean, unknown = np.clip(mean, 0, 1), x[:, len(FEATURES) :] < 0
        by_left = {left: self._factors(left) for left in np.unique(x[:, LEFT])}
        factor_R2 = np.array([by_left[left] for left in x[:, LEFT]]).reshape(-1, 2)
        half = sd * np.where(unknown[:, KINDS.index("source")] | self.wary, *factor_R2.T[::-1])
        capacity, past = runs["log_capacity"].to_numpy(float), self._capacities
        far = (capacity < past[0] - FAR) | (capacity > past[1] + FAR)
        half[far | unknown[:, KINDS.index("skill")]] = np.inf
        low, high = np.clip(mean - half, 0, 1), np.clip(mean + half, 0, 1)
        told = high - low <= self.outcomes / 2
        rows = zip(mean.tolist(), low.tolist(), high.tolist(), told.tolist(), strict=True)
        return [Forecast(*row) for row in rows]


def _quantile(groups: Sequence[Floats], outside: int) -> float:
    """That covers as often as said, where each group counts alike, and so many more as wholly outside."""
    apart_N = np.concatenate(groups)
    share_N = np.concatenate([np.full(len(one), 1 / len(one)) for one in groups]) / (len(groups) + outside)
    order = np.argsort(apart_N, kind="stable")
    place = int(np.searchsorted(np.cumsum(share_N[order]), COVERAGE - 1e-9))
    return float(apart_N[order[place]]) if place < len(order) else math.inf


def _words(runs: pd.DataFrame, column: str) -> NDArray[np.str_]:
    return runs[column].to_numpy(object).astype(str)


def _columns(runs: pd.DataFrame, centre: Floats, spread: Floats, words_K: Sequence[NDArray[np.str_]]) -> Floats:
    """``[R, D]``; the place of a word that no past run had is -1."""
    codes = [
        pd.Index(words).get_indexer(pd.Index(_words(runs, kind))) for kind, words in zip(KINDS, words_K, strict=True)
    ]
    return np.column_stack([(runs[list(FEATURES)].to_numpy(float) - centre) / spread, *codes])


def _some(source_N: NDArray[np.str_], most: int) -> NDArray[np.int64]:
    """Places of at most so many, in order: drawn by chance, as many of each contamination as there are."""
    order = seeds.generator(0, "forecast").permutation(len(source_N))
    turn_N = pd.Series(order).groupby(source_N[order]).cumcount().to_numpy()
    return np.sort(order[np.argsort(turn_N, kind="stable")[:most]])


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
