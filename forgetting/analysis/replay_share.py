"""How much replay does a size need? A study's score rows in; the smallest share of the stream that keeps a skill out.

rho*(size, level, dose) is where retention at that dose, averaged over students, rises through the level as original
samples take a larger share of the stream; those may be real (``replay``, or a shift below 1) or written by the student
(``self_replay``). The level set of ``analysis.level_set`` gives it with a 90% interval that counts students.

Shares are laid out by log10(share + half the smallest share above 0), so that no replay has a place on the axis too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy import optimize
from scipy.special import log_ndtr

from forgetting.analysis.curves import ORIGINAL, skill_names
from forgetting.analysis.learning_paths import REPLAYS, method, mitigation, multiple
from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.metrics import LEVELS, Floats, Status, retention_variance
from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.thresholds.threshold import ThresholdStatus
from forgetting.errors import require, unknown

STATUSES = {
    ThresholdStatus.below_range.name: "none needed",
    ThresholdStatus.above_range.name: "more than was tried",
}
COLUMNS = ["arms", "replayed", "student", "capacity", "skill", "dose", "level", "share", "low", "high", "students",
           "shares", "status"]  # fmt: skip
SCATTER = 0.1  # decades that sizes may lie off a law beside their intervals
Z_90 = 1.6448536269514722


def replay_shares(
    study: StudyFolder, skill: str = "maths", dose: int = 0, levels: Sequence[float] = LEVELS
) -> pd.DataFrame:
    """One row for each contamination, kind of replay, size and level.

    ``share`` with ``low`` and ``high`` is the smallest that keeps the level, from 0 to 1; NaN with a ``status`` that
    says why: ``none needed`` (without replay it is kept), ``more than was tried``, or that of a ``ThresholdStatus``.
    Empty where no arm replays.

    Args:
        study: with arms of several shares, whose sizes are measured on several students
        skill: of which retention is taken, over all depths
        dose: contaminating samples at which it is read; 0: the last that all arms reached
        levels: retention that counts as kept
    """
    seen = _seen(study, skill, dose)
    rows = []
    for (arms, replayed, student), own in seen.groupby(["arms", "replayed", "student"], sort=False):
        smallest = float(own.loc[own["share"] > 0, "share"].min())
        for level in levels:
            require(0 < level < 1, "levels", "above 0 and below 1", level)
            found = estimate_threshold(
                place(own["share"], smallest), own["retention"], own["variance"], axis="capacity", level=level,
                students=own["distillation_seed"],
            )  # fmt: skip
            row: dict[str, Any] = {"arms": arms, "replayed": replayed, "student": student, "skill": skill}
            row |= {"capacity": int(own["capacity"].iloc[0]), "dose": int(own["dose"].iloc[0]), "level": level}
            row |= {"students": own["distillation_seed"].nunique(), "shares": own["share"].nunique()}
            ends = [_share(end, smallest) for end in (found.value, found.low, found.high)]
            row |= dict(zip(("share", "low", "high"), ends, strict=True))
            rows.append(row | {"status": STATUSES.get(found.status, found.status.replace("_", " "))})
    return pd.DataFrame(rows, columns=COLUMNS).sort_values(["arms", "replayed", "level", "capacity"], ignore_index=True)


def place(share: ArrayLike, smallest: float) -> Floats:
    """The coordinate of a share, given the smallest one above 0 that was tried."""
    return np.asarray(np.log10(np.asarray(share, float) + smallest / 2))


def _share(value: float, smallest: float) -> float:
    return value if math.isnan(value) else round(min(max(value - smallest / 2, 0.0), 1.0), 6)


def _seen(study: StudyFolder, skill: str, dose: int) -> pd.DataFrame:
    """Retention of every run at the dose, with the share that its stream replayed."""
    groups: dict[str, dict[str, tuple[str, float]]] = {}
    for arm in study.record.get("arms", []):
        own, name = mitigation(arm), str(arm["name"])
        if name not in study.arm_names or own["name"] not in ("none", *REPLAYS) or multiple(arm) == 0:
            continue
        same = repr((arm.get("contamination"), arm.get("rate_policy"), multiple(arm)))
        kind = "replay" if own["name"] == "none" else method(arm, study.record["arms"])
        share = 1 - float(arm.get("shift", 1.0)) * (1 - float(own.get("share", 0.0)))
        groups.setdefault(same, {})[name] = (kind, round(share, 12))
    rows = study.scores[study.scores["depth"].isna() & (study.scores["variant"] == ORIGINAL)]
    names = skill_names(study.scores)
    if skill not in names.values():
        raise unknown("skill", skill, list(names.values()))
    rows = rows[rows["benchmark"].map(names) == skill]
    doses = sorted(map(int, rows["dose"].unique()))
    require(dose == 0 or dose in doses[1:], "dose", f"0 (the last) or one of {doses[1:]}", dose)
    frames = []
    for arms in groups.values():
        plain = [name for name, (_, share) in arms.items() if share == 0]
        for kind in dict.fromkeys(kind for kind, share in arms.values() if share > 0):
            own_arms = {name: share for name, (one, share) in arms.items() if share == 0 or one == kind}
            seen = _at(rows[rows["arm"].isin(list(own_arms))], dose)
            label = plain[0] if plain else next(iter(own_arms))
            frames.append(seen.assign(share=seen["arm"].map(own_arms).astype(float), replayed=kind, arms=label))
    if not frames:
        return pd.DataFrame(columns=["arms", "replayed", "student"])
    return pd.concat(frames, ignore_index=True)


def _at(rows: pd.DataFrame, dose: int) -> pd.DataFrame:
    """The rows of learned skills at the dose, each with the variance that its items give it."""
    dose = dose or int(rows.groupby("arm", observed=True)["dose"].max().min())
    keys = ["student", "arm", "distillation_seed", "seed"]
    base = rows[rows["dose"] == 0].set_index(keys)["accuracy"]
    now = rows[(rows["dose"] == dose) & (rows["status"] == Status.ok.name)].copy()
    before = base.reindex(pd.MultiIndex.from_frame(now[keys])).to_numpy(float)
    looks = zip(now["accuracy"], before, now["items"], now["chance"], strict=True)
    now["variance"] = [retention_variance(float(a), float(b), int(n), float(c)) for a, b, n, c in looks]
    return now.assign(retention=pd.to_numeric(now["retention"]))


@dataclass(frozen=True)
class ShareLaw:
    """rho* as a function of size: a constant, or what (1 + B rho) N = N0 gives (arXiv 2502.06042).

    In that law replay counts as more parameters: a size N that keeps the skill where N0 would without replay needs
    rho* = (N0 / N - 1) / B, and none from N0 on. ``error`` is the mean distance in decades of sizes from the law fitted
    to the others; ``parameters`` are the share, or N0 and B.
    """

    name: str
    parameters: tuple[float, ...]
    error: float
    sizes: int

    def share(self, capacity: ArrayLike) -> Floats:
        """The smallest share that a size of so many parameters needs."""
        N = np.asarray(capacity, float)
        if self.name == "constant":
            return np.full(N.shape, self.parameters[0])
        N0, B = self.parameters
        return np.asarray(np.maximum(N0 / N - 1, 0.0) / B)


def share_laws(shares: pd.DataFrame) -> tuple[ShareLaw, ...]:
    """Both laws fitted to the rows of one contamination, kind of replay, and level; none of fewer than four sizes.

    Sizes that need none, or more than was tried, count as that. Distances are taken of located sizes only.
    """
    known = shares[shares["status"].isin(["located", *STATUSES.values()])]
    if len(known) < 4 or (known["status"] == "located").sum() < 2:
        return ()
    smallest, located_N = _smallest(known), (known["status"] == "located").to_numpy(bool)
    capacity_N, share_N = known["capacity"].to_numpy(float), known["share"].to_numpy(float)
    found = []
    for name in ("constant", "parameters"):
        apart = list[float]()
        for number in np.flatnonzero(located_N):
            rest = _fitted(name, known[np.arange(len(known)) != number], smallest)
            guess = ShareLaw(name, rest, math.nan, len(known) - 1).share(capacity_N[number])
            apart.append(abs(float(place(guess, smallest)) - float(place(share_N[number], smallest))))
        found.append(ShareLaw(name, _fitted(name, known, smallest), float(np.mean(apart)), len(known)))
    return tuple(found)


def _smallest(known: pd.DataFrame) -> float:
    """A share that tells none from some: a quarter of the smallest that a size was found to need, .001 at least."""
    located = known.loc[known["status"] == "located", "share"]
    return max(float(located[located > 0].min()) / 4, 1e-3) if (located > 0).any() else 1e-3


def _fitted(name: str, known: pd.DataFrame, smallest: float) -> tuple[float, ...]:
    """Maximum likelihood: located sizes are normal about the law in the coordinate of shares, others beyond an end."""
    N, status = known["capacity"].to_numpy(float), known["status"].to_numpy(object)
    located, none = status == "located", status == "none needed"
    y = place(known["share"].fillna(0.0), smallest)
    low, high = (np.where(np.isfinite(known[side]), known[side], known["share"]) for side in ("low", "high"))
    width = place(np.nan_to_num(high), smallest) - place(np.nan_to_num(low), smallest)
    sd = np.hypot(width / (2 * Z_90), SCATTER)
    edges = place(np.array([0.0, 1.0]), smallest)

    def law(theta: Floats) -> Floats:
        parameters = tuple(10.0**theta)
        return place(np.minimum(ShareLaw(name, parameters, math.nan, 0).share(N), 10.0), smallest)

    def loss(theta: Floats) -> float:
        mean = law(theta)
        z = np.where(located, (y - mean) / sd, 0.0)
        beyond = np.where(none, log_ndtr((edges[0] + SCATTER - mean) / sd), log_ndtr((mean - edges[1]) / sd))
        return float((z**2).sum() / 2 - beyond[~located].sum())

    middle = float(np.median(np.log10(np.maximum(known.loc[located, "share"], smallest))))
    starts = [np.array([middle])]
    if name == "parameters":
        largest = math.log10(N.max())
        starts = [np.array([largest + up, -middle + b]) for up in (-0.3, 0.0, 0.3, 1.0) for b in (-0.5, 0.5, 1.5)]
    fits = [optimize.minimize(loss, start, method="Nelder-Mead", options={"maxiter": 2000}) for start in starts]
    return tuple(float(v) for v in 10.0 ** min(fits, key=lambda fit: float(fit.fun)).x)
