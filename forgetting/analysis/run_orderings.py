"""Orderings that several papers agree on, judged by plain runs and by probes: score rows in; pass, fail or open out.

Each is a statistic of one student (its runs over arms, doses or a stretch of sizes) with its mean and 95% interval
(Student's t) over students. What remedies can judge is in ``orderings``. Sources are named by arXiv number.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from forgetting.analysis.capacity_readings import arm_looks, crossed
from forgetting.analysis.curves import ORIGINAL, skill_names
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.learning_paths import mitigation, multiple
from forgetting.analysis.lost_shares import probe_effects
from forgetting.analysis.metrics import Status
from forgetting.analysis.new_skill import kept_apart, learned_ways
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder, new_source
from forgetting.record.schema import RUN_KEY

COLUMNS = ["ordering", "says", "sources", "statistic", "of", "value", "low", "high", "students", "verdict"]
LEAST_LOSS = 0.2  # of retention: with less lost there is nothing whose course could be told
MOST_R2 = 0.5  # a predictor explains more than half of the variance, or it does not predict
MOST_BACK = 0.5  # of the loss
EQUAL_NLL = 4.0  # of the probe of dialogue, nats a token
WAYS = {"gold": "gold answers", "rejection": "own right answers", "reward_guided": "policy optimisation"}
ONE_STUDENT = ["student", "distillation_seed"]

Row = dict[str, Any]


def run_orderings(study: StudyFolder) -> pd.DataFrame:
    """One row for each ordering, and each size, that the study has the arms for.

    ``value`` with ``low`` and ``high`` is the mean of the statistic over students; ``verdict`` is ``pass`` or ``fail``
    where the whole interval says so, else ``open``.
    """
    judges = (_replay, _kl_within, _kl_across, _new_skill, _relearned, _early, _larger_syntax)
    return pd.DataFrame([row for judged in judges for row in judged(study)], columns=COLUMNS)


def _judged(head: Row, of: str, values: Any, above: float, *, passes_above: bool = True) -> Row:
    known = np.asarray(values, float)
    value, low, high = mean_interval(known)
    count = int(np.isfinite(known).sum())
    higher, lower = low > above, high < above
    verdict = (
        "pass" if (higher if passes_above else lower) else "fail" if (lower if passes_above else higher) else "open"
    )
    return head | {"of": of, "value": value, "low": low, "high": high, "students": count, "verdict": verdict}


def _arms(study: StudyFolder, keep: Callable[[Row], bool]) -> list[Row]:
    """Plain arms that train, at their rate's own multiple, whose settings are wanted."""
    every = [dict(arm) for arm in study.record.get("arms", []) if arm["name"] in study.arm_names]
    plain = [arm for arm in every if mitigation(arm)["name"] == "none" and multiple(arm) == 1]
    return [arm for arm in plain if keep(arm)]


def _is(arm: Row, source: str, shift: float, policy: str = "constant") -> bool:
    same = part_name(arm.get("contamination")) == source and float(arm.get("shift", 1)) == shift
    return same and str(arm.get("rate_policy", policy)) == policy


def _by_size(values: pd.Series) -> Iterator[tuple[str, pd.Series]]:
    """A statistic by student as ``(size, values of its students)``."""
    for size, own in values.groupby(level="student", sort=False):
        yield str(size), own


def _replay(study: StudyFolder) -> Iterator[Row]:
    head = {"ordering": "S2", "says": "half a stream of old data keeps more at equal learning",
            "sources": "2502.06042, 2605.26097",
            "statistic": f"retention of maths at probe NLL {EQUAL_NLL:g}, shift .5 minus shift 1"}  # fmt: skip
    found = {}
    for shift in (1.0, 0.5):
        arms = [arm for arm in _arms(study, lambda _: True) if _is(arm, "dialogue", shift)]
        if not arms or "maths" not in skill_names(study.scores).values():
            return
        looks = arm_looks(study, str(arms[0]["name"]), "maths")
        by_run = looks.groupby([*ONE_STUDENT, "seed"], sort=False)
        runs = pd.Series({key: crossed(own, "retention", EQUAL_NLL, 0.0)[0] for key, own in by_run})
        found[shift] = runs.groupby(level=[0, 1], sort=False).mean()
    apart = (found[0.5] - found[1.0]).rename_axis(ONE_STUDENT)
    for size, own in _by_size(apart):
        yield _judged(head, size, own, 0.0)


def _losses(study: StudyFolder) -> pd.DataFrame:
    """Loss of maths and KL on the new task's inputs of every look of every plain arm."""
    names, run = skill_names(study.scores), [*RUN_KEY, "dose"]
    benchmark = next((b for b, skill in names.items() if skill == "maths"), None)
    arms = {str(arm["name"]): arm for arm in _arms(study, lambda _: True)}
    rows = study.scores[
        study.scores["arm"].isin(list(arms)) & study.scores["depth"].isna() & (study.scores["dose"] > 0)
    ]
    graded = rows[(rows["benchmark"] == benchmark) & (rows["variant"] == ORIGINAL) & (rows["status"] == Status.ok.name)]
    probes = rows[rows["benchmark"] == PROBE]
    own = {arm: new_source(arms[str(arm)], some) for arm, some in probes.groupby("arm", observed=True)}
    probes = probes[probes["variant"] == probes["arm"].map(own)]
    found = graded[[*run, "capacity", "retention"]].merge(probes[[*run, "kl"]], on=run)
    return found.assign(loss=1 - pd.to_numeric(found["retention"]), kl=pd.to_numeric(found["kl"])).dropna()


def _kl_within(study: StudyFolder) -> Iterator[Row]:
    """Of one contamination, as the papers compare methods that learn one task; then of all that the study has."""
    found = _losses(study)
    source = {str(arm["name"]): part_name(arm.get("contamination")) for arm in _arms(study, lambda _: True)}
    for what, own in (
        ("a student's dialogue arms", found[found["arm"].map(source) == "dialogue"]),
        ("all of a student's arms", found),
    ):
        head = {"ordering": "S3", "says": "KL on the new inputs foretells what is lost, at one size",
                "sources": "2509.04259", "statistic": f"R2 of the loss on KL and its square, over {what}"}  # fmt: skip
        if own["arm"].nunique() > 1:
            for size, some in _by_size(own.groupby(ONE_STUDENT, sort=False)[["kl", "loss"]].apply(_r2)):
                yield _judged(head, size, some, MOST_R2)


def _r2(looks: pd.DataFrame) -> float:
    y = looks["loss"].to_numpy(float)
    if len(y) < 6 or y.std() == 0:
        return math.nan
    left = y - np.polyval(np.polyfit(looks["kl"].to_numpy(float), y, 2), looks["kl"].to_numpy(float))
    return float(1 - (left**2).sum() / ((y - y.mean()) ** 2).sum())


def _kl_across(study: StudyFolder) -> Iterator[Row]:
    """Students with one distillation seed are a ladder of their own: the rank correlation along it."""
    head = {"ordering": "S3", "says": "and across sizes at one dose", "sources": "2509.04259",
            "statistic": "Spearman's correlation of loss and KL over the sizes"}  # fmt: skip
    found = _losses(study)
    plain = [str(arm["name"]) for arm in _arms(study, lambda arm: _is(arm, "dialogue", 1.0))]
    for arm in plain[:1]:
        own = found[found["arm"] == arm]
        sizes = own["capacity"].nunique()  # branches of one trunk are no sizes
        if sizes < 4:
            continue
        ladders = _ladders(own[own["dose"] == own["dose"].max()], ["kl", "loss"])
        values = [float(spearmanr(one["kl"], one["loss"]).statistic) for one in ladders if len(one) > 3]
        yield _judged(head, f"{sizes} sizes, dose {own['dose'].max():,}", values, 0.0)


def _new_skill(study: StudyFolder) -> Iterator[Row]:
    """Ways of learning one new skill to the same accuracy, from the same student."""
    head = {"ordering": "S4", "sources": "2509.04259, 2510.18874, 2507.05386"}
    ways = learned_ways(study)
    for way, against in (("rejection", "gold"), ("reward_guided", "rejection"), ("reward_guided", "gold")):
        for (trunk, skill), own in kept_apart(ways, way, against).items():
            says = f"a new skill learned by {WAYS[way]} forgets less than by {WAYS[against]}"
            statistic = f"accuracy in {skill} after {way} minus after {against}, at equal skill in what is new"
            yield _judged(head | {"says": says, "statistic": statistic}, f"{trunk}, {skill}", own, 0.0)


def _relearned(study: StudyFolder) -> Iterator[Row]:
    """From the probes: a share of means, whose interval is of students (``lost_shares``)."""
    head = {"ordering": "S7", "says": "most of the loss to dialogue comes back in at most 50 steps",
            "sources": "2501.13453, 2605.15607",
            "statistic": "share of the loss of maths that 50 originals bring back, minus the twin's"}  # fmt: skip
    arms = [str(arm["name"]) for arm in _arms(study, lambda arm: _is(arm, "dialogue", 1.0))]
    effects = probe_effects(study)
    names = skill_names(study.scores)
    own = effects[(effects["probe"] == "relearning, 50") & effects["arm"].isin(arms)]
    for row in own[own["benchmark"].map(names) == "maths"].to_dict("records"):
        verdict = "pass" if row["low"] > MOST_BACK else "fail" if row["high"] < MOST_BACK else "open"
        ends = {"value": row["net"], "low": row["low"], "high": row["high"], "students": row["students"]}
        yield head | {"of": row["student"], "verdict": verdict} | ends


def _early(study: StudyFolder) -> Iterator[Row]:
    head = {"ordering": "S8", "says": "damage is early", "sources": "2501.13453",
            "statistic": "share of the last dose's loss of maths that half of the dose has done"}  # fmt: skip
    found = _losses(study)
    for arm in _arms(study, lambda arm: _is(arm, "dialogue", 1.0))[:1]:
        own = found[found["arm"] == arm["name"]]
        last = own["dose"].max()
        loss = own.pivot_table("loss", ONE_STUDENT, "dose", sort=False)
        if last / 2 not in loss:
            return
        share = (loss[last / 2] / loss[last])[loss[last] >= LEAST_LOSS]
        for size, some in _by_size(share):
            yield _judged(head, size, some, 0.5)


def _larger_syntax(study: StudyFolder) -> Iterator[Row]:
    head = {"ordering": "S10", "says": "larger students forget more to altered syntax", "sources": "2308.08747",
            "statistic": "slope of retention of code over log10 of parameters, along one ladder"}  # fmt: skip
    names = skill_names(study.scores)
    for arm in _arms(study, lambda arm: _is(arm, "altered_syntax", 1.0))[:1]:
        rows = study.scores[(study.scores["arm"] == arm["name"]) & study.scores["depth"].isna()]
        rows = rows[(rows["benchmark"].map(names) == "code") & (rows["variant"] == ORIGINAL) & (rows["dose"] > 0)]
        rows = rows[rows["status"] == Status.ok.name]
        if rows["student"].nunique() < 3:
            continue
        for dose, own in rows.groupby("dose"):
            slopes = [_slope(one) for one in _ladders(own, ["retention"]) if len(one) > 2]
            yield _judged(head, f"{rows['student'].nunique()} sizes, dose {dose:,}", slopes, 0.0, passes_above=False)


def _ladders(looks: pd.DataFrame, names: list[str]) -> list[pd.DataFrame]:
    """By distillation seed, one row a size: the means over the streams of its student."""
    numbers = looks.astype(dict.fromkeys(names, float))
    means = numbers.groupby(["distillation_seed", "capacity"])[names].mean().reset_index()
    return [own for _, own in means.groupby("distillation_seed")]


def _slope(ladder: pd.DataFrame) -> float:
    x, y = np.log10(ladder["capacity"].to_numpy(float)), ladder["retention"].to_numpy(float)
    return float(np.polyfit(x, y, 1)[0])
