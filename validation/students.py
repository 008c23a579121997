"""Do 90% intervals hold the threshold of all students, where students of one size differ? Coverage by plan and scatter.

Each student has its own log2 of the dose that it bears; a run on it has the noise of its stream and items besides. The
threshold is where the *mean* over students crosses the level. Plans: eight students a size with a stream each, four
with two, or one with five. The last shares one student a size: its interval excludes the scatter between students by
its own account, and its row shows what that means for the threshold of all.
"""

from __future__ import annotations

import numpy as np
from held_out import FIRST, Case, study
from scipy import special
from surfaces import COARSE, HIGH, LOW, MANY_ITEMS, Floats

from forgetting import seeds
from forgetting.analysis.level_set.estimate import estimate_threshold
from forgetting.analysis.metrics import retention_variance

SCATTERS = (0.0, 0.2, 0.4, 0.6)  # sd between students of one size, log2 dose
PLANS = {"8 students x 1": (8, 1), "4 students x 2": (4, 2), "1 student x 5": (1, 5)}  # students a size, streams each
SLOPE, DOUBLINGS = 2.0, 2.0  # logit of retention by log2 dose; log2 of the dose that is borne by decade of capacity
STREAM_SD, BASELINE = 0.03, 0.95  # noise of retention between streams on one student; accuracy at dose 0
EDGES = (4.5, 5.2)  # of a student without scatter, log10 of parameters
CASES: list[Case] = [(f"sd {sd}", plan, level) for sd in SCATTERS for plan in PLANS for level in (0.9, 0.5)]
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(41)


def retention(capacity: Floats, edge: float, level: float, doses: Floats) -> Floats:
    """Of students that bear ``doses`` (log2) more than the typical one of their size."""
    return special.expit(special.logit(level) + SLOPE * (DOUBLINGS * (capacity - edge) + doses))


def truth(edge: float, level: float, scatter: float) -> float:
    """The log10 capacity where the mean over students crosses the level."""
    fine = np.linspace(LOW - 0.5, HIGH + 0.5, 27_001)
    mean = np.sum([w * retention(fine, edge, level, scatter * n) for n, w in zip(NODES, WEIGHTS, strict=True)], axis=0)
    return float(np.interp(level, mean / WEIGHTS.sum(), fine))


def repetition(case: Case, number: int) -> tuple[str, float, float]:
    """One study and its verdict: ``covered``, ``missed``, or a status; its signed error and width in decades."""
    name, plan, level = case
    rng, scatter = seeds.generator(number, "students", *map(str, case)), float(name.removeprefix("sd "))
    students, streams = PLANS[plan]
    edge = float(rng.uniform(*EDGES))
    capacity = np.repeat(COARSE, students)
    own = retention(capacity, edge, level, scatter * rng.standard_normal(len(capacity)))
    student, capacity, mean = (np.repeat(a, streams) for a in (np.arange(len(own)), capacity, own))
    accuracy = np.clip(BASELINE * (mean + STREAM_SD * rng.standard_normal(len(mean))), 0, 1)
    right = rng.binomial(MANY_ITEMS, accuracy) / MANY_ITEMS
    start = rng.binomial(MANY_ITEMS, BASELINE, len(own))[student] / MANY_ITEMS  # one look at dose 0 a student
    variance = [retention_variance(a, s, MANY_ITEMS, 0.0) for a, s in zip(right, start, strict=True)]
    found = estimate_threshold(capacity, right / start, variance, axis="capacity", level=level, students=student)
    if not found.located:
        return found.status, float("nan"), float("inf")
    true = truth(edge, level, scatter)
    covered = found.low <= 10**true <= found.high
    return "covered" if covered else "missed", float(np.log10(found.value)) - true, found.decades


if __name__ == "__main__":
    settings = {
        "first": FIRST,
        "rungs_log10": COARSE,
        "slope_by_log2_dose": SLOPE,
        "log2_dose_by_decade": DOUBLINGS,
        "stream_sd": STREAM_SD,
        "baseline": BASELINE,
        "items": MANY_ITEMS,
    }
    study(__doc__, "students", CASES, repetition, settings)
