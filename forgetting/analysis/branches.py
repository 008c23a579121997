"""Students that branch from one trunk, each by a method of its own: is what was learned so more, or less, fragile?

A run gives the dose that halves a skill and what is retained at equal learning; a branch is compared with another on
the same trunks, and intervals count trunks. A branch that did not arrive at the skill that was asked for is in no
matched difference: it is counted, and the difference is bounded by the ends of what it could have been.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from forgetting.analysis import displaced
from forgetting.analysis.curves import ORIGINAL, skill_names
from forgetting.analysis.learning_paths import floor_of, multiple
from forgetting.analysis.metrics import Floats
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import require, unknown
from forgetting.record.schema import RUN_KEY

LEVEL, NLL, AGAINST = 0.5, 4.0, "off_policy"
MARGIN = 0.25  # log2 of the dose: less is no difference
STATISTICS = ("log2_half_dose", "retention")
RUN_COLUMNS = (
    "arm trunk capacity branch methods student distillation_seed seed why arrived steps seconds validation baseline "
    "log2_half_dose half_status retention retention_status gold_nll confidence moved"
).split()
DIFFERENCE_COLUMNS = (
    "arm trunk branch against statistic skill trunks arrived matched value low high low_90 high_90 equivalent lowest "
    "highest adjusted adjusted_low adjusted_high"
).split()


def branch_runs(study: StudyFolder, skill: str = "maths", level: float = LEVEL, nll: float = NLL) -> pd.DataFrame:
    """One row for each run of a branch, in the order of the study; empty where no student branches.

    ``why`` and ``validation`` are of the last stage's stop, ``steps`` and ``seconds`` of all stages after the trunk;
    ``arrived`` says that the skill that was asked for was reached. ``baseline`` is accuracy on test items at dose 0,
    ``log2_half_dose`` the dose at which retention falls to ``level`` for good (``half_status``: reached, or beyond the
    last dose), ``retention`` that where the new task's probe first falls to ``nll`` (or: never learned as much).
    Mediators, at dose 0: ``gold_nll`` and ``confidence`` (NLL of the own most probable token) in nats a token along
    the gold answers, and ``moved``, the last stage's way as a share of the weights' length. Where pairs taught a branch
    there are ``chosen_change`` and ``chosen_status``, too (``analysis.displaced``).

    Raises:
        UsageError: an unknown skill, or a level that is not between 0 and 1
    """
    from forgetting.analysis.capacity_readings import arm_looks  # with level sets, which few studies need

    require(0 < level < 1, "level", "above 0 and below 1", level)
    students = {str(one["name"]): one for one in study.record.get("students", []) if "branch" in one}
    rows: list[dict[str, Any]] = []
    for arm in study.record.get("arms", []):
        if students and arm["name"] in study.arm_names and multiple(arm) > 0:
            floor = float(arm.get("floor", 0.0)) or floor_of(arm.get("contamination"))
            looks = arm_looks(study, str(arm["name"]), skill)
            known = _at_start(study, str(arm["name"]), skill)
            for key, run in looks.groupby(list(RUN_KEY), sort=False):
                if run["student"].iloc[0] in students:
                    row = _run(run, students[str(run["student"].iloc[0])], level, nll, floor)
                    rows.append({**row, **known[tuple(key)]})
    more = [name for name in displaced.CHOSEN_COLUMNS if any(name in row for row in rows)]
    frame = pd.DataFrame(rows, columns=[*RUN_COLUMNS, *more])
    order = {name: place for place, name in enumerate(students)}
    return frame.sort_values(["arm", "student", "distillation_seed"], ignore_index=True, key=lambda c: c.map(order)
                             if c.name == "student" else c)  # fmt: skip


def _at_start(study: StudyFolder, arm: str, skill: str) -> dict[tuple[Any, ...], dict[str, float]]:
    """What is read at dose 0 along the gold answers, by run."""
    rows = study.scores
    names = skill_names(rows)
    own = rows[(rows["arm"] == arm) & (rows["dose"] == 0) & rows["depth"].isna() & (rows["variant"] == ORIGINAL)]
    own = own[own["benchmark"].map(names) == skill]
    keys = own[list(RUN_KEY)].itertuples(index=False, name=None)
    looks = zip(keys, own["nll"].to_numpy(float), own["base_ce"].to_numpy(float), strict=True)
    return {key: {"gold_nll": float(nll), "confidence": float(own_ce)} for key, nll, own_ce in looks}


def _run(run: pd.DataFrame, student: dict[str, Any], level: float, nll: float, floor: float) -> dict[str, Any]:
    from forgetting.analysis.capacity_readings import crossed
    from forgetting.analysis.dose_at import falls_at

    run = run.sort_values("dose")
    first = run.iloc[0]
    seed = int(first["distillation_seed"])
    taught = student.get("taught", {}).get(str(seed), [])
    begin = int(student.get("trunk_stages", 1))
    last = taught[-1] if taught else {}
    known = run[run["retention"].notna()]
    dose_D, retention_D = known["dose"].to_numpy(float), known["retention"].to_numpy(float)
    learned = bool(len(known))
    half = falls_at(dose_D, retention_D, level) if learned else math.nan
    kept, _ = crossed(run, "retention", nll, floor)
    return {
        "arm": first["arm"],
        "trunk": student.get("trunk", ""),
        "capacity": int(first["capacity"]),
        "branch": student["branch"],
        "methods": " > ".join(str(one["method"]) for one in taught[begin:]),
        "student": first["student"],
        "distillation_seed": seed,
        "seed": int(first["seed"]),
        "why": last.get("why", ""),
        "arrived": last.get("why") == "reached",
        "steps": sum(int(one["steps"]) for one in taught[begin:]),
        "seconds": sum(sum(map(float, one.get("seconds", {}).values())) for one in taught[begin:]),
        "validation": float(last.get("accuracy", math.nan)),
        "baseline": float(first["baseline"]),
        "log2_half_dose": math.log2(half) if learned and math.isfinite(half) else math.nan,
        "half_status": "not learned" if not learned else "reached" if math.isfinite(half) else "beyond",
        "retention": kept,
        "retention_status": "reached" if math.isfinite(kept) else "never",
        "moved": float(last.get("moved", math.nan)),
        **displaced.chosen(taught[begin:]),
    }


def branch_differences(runs: pd.DataFrame, last_dose: int, first_dose: int, against: str = AGAINST) -> pd.DataFrame:
    """Each branch less another on the same trunks, one row for each arm, trunk's size, statistic and ``skill``.

    ``skill`` is ``equal``: trunks on which both arrived; or ``as made``: all, whatever skill they have. ``value`` with
    ``low`` and ``high`` is the mean over the ``matched`` of ``trunks`` trunks with its 95% interval by Student's t,
    ``low_90`` and ``high_90`` that of two one-sided tests: ``equivalent`` says that it lies within .25. ``lowest`` and
    ``highest`` bound the mean over all trunks: a value that is not known lies between the ends of the doses, or beyond
    the last one, or (retention) between 0 and 1. ``adjusted`` is the difference where both have the same gold NLL at
    dose 0, by one slope over all branches within each arm; NaN with fewer than three pairs more than it has numbers.

    Args:
        runs: as ``branch_runs`` gives them
        last_dose: the last dose that was measured
        first_dose: the first dose above 0
        against: the branch from which differences are taken

    Raises:
        UsageError: no branch of that name
    """
    names = list(dict.fromkeys(runs["branch"]))
    if len(runs) and against not in names:
        raise unknown("against", against, names)
    rows: list[dict[str, Any]] = []
    ends = {"log2_half_dose": (math.log2(first_dose), math.log2(last_dose)), "retention": (0.0, 1.0)}
    for (arm, trunk), own in runs.groupby(["arm", "trunk"], sort=False):
        for statistic in STATISTICS:
            for skill in ("equal", "as made"):
                others, equal = [name for name in names if name != against], skill == "equal"
                pairs = {name: _pairs(own, name, against, statistic, equal) for name in others}
                adjusted = _adjusted(pairs)
                for name, both in pairs.items():
                    found = _compared(both, statistic, ends[statistic])
                    head = {"arm": arm, "trunk": trunk, "branch": name, "against": against, "statistic": statistic}
                    rows.append({**head, "skill": skill, **found, **adjusted.get(name, {})})
    return pd.DataFrame(rows, columns=DIFFERENCE_COLUMNS)


def _pairs(runs: pd.DataFrame, branch: str, against: str, statistic: str, equal: bool) -> pd.DataFrame:
    """A row a trunk: the values of both where they count (else NaN), which are beyond the last dose, gold NLL."""
    columns = ["distillation_seed", statistic, "half_status", "arrived", "gold_nll"]
    one, other = (runs[runs["branch"] == name][columns].set_index("distillation_seed") for name in (branch, against))
    both = one.join(other, lsuffix="", rsuffix="_against", how="inner")
    for side in ("", "_against"):
        counts = both[f"arrived{side}"] | (not equal)
        both[f"beyond{side}"] = counts & (both[f"half_status{side}"] == "beyond") & (statistic == "log2_half_dose")
        both[f"value{side}"] = both[f"{statistic}{side}"].where(counts)
    both["difference"] = both["value"] - both["value_against"]
    both["further"] = both["gold_nll"] - both["gold_nll_against"]
    return both


def _compared(both: pd.DataFrame, statistic: str, ends: tuple[float, float]) -> dict[str, Any]:
    known: Floats = both["difference"].dropna().to_numpy(float)
    value, low, high = mean_with_interval(known, 0.95)
    _, low_90, high_90 = mean_with_interval(known, 0.90)
    sides = [
        [_bounds(v, beyond, ends) for v, beyond in zip(both[f"value{side}"], both[f"beyond{side}"], strict=True)]
        for side in ("", "_against")
    ]
    lowest = [own[0] - other[1] for own, other in zip(*sides, strict=True)]
    highest = [own[1] - other[0] for own, other in zip(*sides, strict=True)]
    return {
        "trunks": len(both),
        "arrived": int((both["arrived"] & both["arrived_against"]).sum()),
        "matched": len(known),
        "value": value,
        "low": low,
        "high": high,
        "low_90": low_90,
        "high_90": high_90,
        "equivalent": statistic == "log2_half_dose" and low_90 > -MARGIN and high_90 < MARGIN,
        "lowest": float(np.mean(lowest)) if lowest else math.nan,
        "highest": float(np.mean(highest)) if highest else math.nan,
    }


def _bounds(value: float, beyond: bool, ends: tuple[float, float]) -> tuple[float, float]:
    if math.isfinite(value):
        return value, value
    return (ends[1], math.inf) if beyond else ends


def mean_with_interval(values: Floats, share: float = 0.95) -> tuple[float, float, float]:
    """The mean with its interval by Student's t; the interval is NaN for one value, all is for none."""
    if not len(values):
        return math.nan, math.nan, math.nan
    mean = float(values.mean())
    if len(values) < 2:
        return mean, math.nan, math.nan
    half = float(stdtrit(len(values) - 1, (1 + share) / 2) * values.std(ddof=1) / math.sqrt(len(values)))
    return mean, mean - half, mean + half


def _adjusted(pairs: dict[str, pd.DataFrame]) -> dict[str, dict[str, float]]:
    """Least squares: a difference for each branch, and one slope over the difference in gold NLL."""
    known = [(name, both[both["difference"].notna() & both["further"].notna()]) for name, both in pairs.items()]
    known = [(name, both) for name, both in known if len(both)]
    y = np.concatenate([both["difference"] for _, both in known]) if known else np.array([])
    freedom = len(y) - len(known) - 1
    if freedom < 3:
        return {}
    x = np.concatenate([both["further"] for _, both in known])
    design = np.zeros((len(y), len(known) + 1))
    design[:, -1] = x
    design[np.arange(len(y)), np.repeat(np.arange(len(known)), [len(both) for _, both in known])] = 1
    if np.linalg.matrix_rank(design) < design.shape[1]:
        return {}
    found, *_ = np.linalg.lstsq(design, y, rcond=None)
    variance = float(((y - design @ found) ** 2).sum()) / freedom * np.linalg.inv(design.T @ design)
    half = stdtrit(freedom, 0.975) * np.sqrt(np.diag(variance))
    return {
        name: {"adjusted": float(v), "adjusted_low": float(v - h), "adjusted_high": float(v + h)}
        for (name, _), v, h in zip(known, found[:-1], half[:-1], strict=True)
    }


def said_of(differences: pd.DataFrame) -> str:
    """What the differences at equal skill come to, a sentence for each arm and size; empty where none is known."""
    judged = (differences["statistic"] == "log2_half_dose") & (differences["skill"] == "equal")
    own = differences[judged & differences["low"].notna()]
    named = [name for name in ("arm", "trunk") if differences[name].nunique() > 1]
    each = [known for _, known in own.groupby(["arm", "trunk"], sort=False)]
    heads = [", ".join(str(known[name].iloc[0]) for name in named) for known in each]
    return " ".join(f"{f'{head}: a' if head else 'A'}{_said(known)}" for head, known in zip(heads, each, strict=True))


def _said(own: pd.DataFrame) -> str:
    """The sentence of an arm, without its first letter."""
    apart = own[(own["low"] > 0) | (own["high"] < 0)]
    farthest = own.iloc[int(own["value"].abs().to_numpy().argmax())]
    most = float(np.maximum(own["low"].abs(), own["high"].abs()).max())
    text = (
        f"t equal skill the methods differ by at most {abs(float(farthest['value'])):.2f} in log2 of the dose that "
        f"halves ({farthest['branch']} {float(farthest['value']):+.2f} from {farthest['against']}, 95% "
        f"{float(farthest['low']):+.2f} to {float(farthest['high']):+.2f}, {int(farthest['matched'])} trunks)"
    )
    if apart.empty:
        return f"{text}; no interval excludes 0, and differences beyond {most:.2f} are excluded."
    told = (f"{row.branch} {row.value:+.2f} ({row.low:+.2f} to {row.high:+.2f})" for row in apart.itertuples())
    named = ", ".join(told)
    return f"{text}; intervals exclude 0 for {named}."


def differences_of(study: StudyFolder, against: str = AGAINST, skill: str = "maths") -> pd.DataFrame:
    """The differences of a study, at the usual level and learning."""
    runs = branch_runs(study, skill)
    doses = sorted(map(int, study.scores["dose"].unique()))
    return branch_differences(runs, doses[-1], doses[1] if len(doses) > 1 else 1, against)


def branch_table(runs: pd.DataFrame, differences: pd.DataFrame) -> pd.DataFrame:
    """The paper's Table 2 with numbers: one row for each arm, size and branch, means over the trunks that arrived.

    ``half_dose`` is the geometric mean in contaminating samples of those that fell so far; ``fragility`` the difference
    in log2 of it from the branch that differences are against, at equal skill, with its 95% interval; ``retention`` is
    taken at equal learning, ``kept_more`` its difference; ``displaced`` says how many of all trunks are, where pairs
    taught.
    """
    rows = []
    chosen = differences[differences["skill"] == "equal"]
    for (arm, trunk, branch), own in runs.groupby(["arm", "trunk", "branch"], sort=False):
        there = own[own["arrived"]]
        row: dict[str, Any] = {"arm": arm, "trunk": trunk, "branch": branch, "methods": own["methods"].iloc[0]}
        row |= {"trunks": len(own), "arrived": len(there)}
        row |= {name: own[name].median() for name in ("steps", "seconds")}
        row |= {name: there[name].mean() for name in ("validation", "baseline")}
        beyond = int((there["half_status"] == "beyond").sum())
        row |= {"half_dose": 2 ** there["log2_half_dose"].mean(), "beyond": beyond}
        row |= {name: there[name].mean() for name in ("retention", "gold_nll", "confidence", "moved")}
        for statistic, name in zip(STATISTICS, ("fragility", "kept_more"), strict=True):
            same = (chosen["arm"] == arm) & (chosen["trunk"] == trunk) & (chosen["branch"] == branch)
            found = chosen[same & (chosen["statistic"] == statistic)]
            ends = ("value", "low", "high")
            values = found.iloc[0][list(ends)] if len(found) else dict.fromkeys(ends, math.nan)
            row |= {name: values["value"], f"{name}_low": values["low"], f"{name}_high": values["high"]}
        rows.append(row | ({"displaced": displaced.count(own)} if "chosen_status" in own else {}))
    return pd.DataFrame(rows)
