"""Looped students, read: how right they are by passes, what takes more of them, and what they forget beside others.

Passes are those through a student's layers for a token that it writes, its end token included; those that read the
prompt are not counted. Bounds are 95%, Student's t over students.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import Floats
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder

WAY, GREEDY = "looped", "greedy"
FIXED = "looped written="  # how the names of the controls begin
STUDENT = "distillation_seed"
RUN = [STUDENT, "seed"]
KEY = ["arm", "benchmark", "student", "capacity", "dose"]
DEPTHS = (
    *KEY, "answering", "depth", "students", "accuracy", "low", "high", "passes", "passes_low", "passes_high",
    "gain", "gain_low", "gain_high", "over_fixed", "over_low", "over_high", "deeper", "deeper_low", "deeper_high",
)  # fmt: skip
TWINS = (
    *KEY, "against", "twin", "students", "accuracy", "twin_accuracy", "retention", "twin_retention", "difference",
    "low", "high", "nll", "twin_nll",
)  # fmt: skip
PARAMETERS, OPERATIONS = "equal parameters", "equal operations"


def shapes(study: StudyFolder) -> dict[str, dict[str, Any]]:
    """The students of the ladder by name, with their loops."""
    given = study.record.get("canonical", {}).get("students", [])
    return {str(one["name"]): {"loops": 1, **one} for one in given if isinstance(one, dict) and "layers" in one}


def passes_by_depth(study: StudyFolder) -> pd.DataFrame:
    """One row per arm, benchmark, looped student, dose, way of answering and depth of the items (0: all of them).

    The ways are ``looped`` ones and greedy decoding, which takes all passes. Of all items, student by student: ``gain``
    is accuracy less that of greedy decoding; ``over_fixed``, of halting, less that of as many passes for every written
    token, on the line through ``looped written=1``, ``written=2``, ... and greedy decoding; ``deeper`` is passes for
    the deepest items less those for the shallowest. Empty without looped students, and without the ledger.
    """
    loops = {name: shape["loops"] for name, shape in shapes(study).items() if shape["loops"] > 1}
    rows = study.every_row if loops else None
    if rows is None:
        return pd.DataFrame(columns=list(DEPTHS))
    family = rows["answering"].astype(str).str.split().str[0]
    own = rows[
        rows["student"].isin(loops) & (rows["variant"] == ORIGINAL) & (rows["benchmark"] != PROBE)
        & family.isin([WAY, GREEDY]) & (rows["intervention"] == "")
    ]  # fmt: skip
    asked = pd.MultiIndex.from_frame(own.loc[own["answering"] != GREEDY, [*KEY, *RUN]])
    own = own[pd.MultiIndex.from_frame(own[[*KEY, *RUN]]).isin(asked)]
    limit = int(study.record["spec"]["evaluation"]["max_new_tokens"])
    times = np.where(own["answering"] == GREEDY, own["student"].astype(str).map(loops).to_numpy(float), 1.0)
    own = own.assign(
        right=own["verdict"].eq("right").astype(float),
        tokens=[min(len(answer) + 1, limit) for answer in own["answer"]],
        passes=own["generated"].to_numpy(float) * times,
    )
    found = [row for key, some in own.groupby(KEY, sort=False, observed=True) for row in _of_look(key, some)]
    return pd.DataFrame(found, columns=list(DEPTHS)).sort_values(
        ["arm", "benchmark", "capacity", "dose"], kind="stable", ignore_index=True
    )


def _of_look(key: Any, some: pd.DataFrame) -> Iterator[dict[str, object]]:
    whole = {way: _by_student(own) for way, own in some.groupby("answering", sort=False, observed=True)}
    fixed = [way for way in map(str, whole) if way == GREEDY or (way.startswith(FIXED) and "halt=" not in way)]
    for way, own in some.groupby("answering", sort=False, observed=True):
        for depth, part in [(0, own), *own.groupby("depth", sort=True)]:
            by = _by_student(part)
            gain, over, deeper = np.full((3, len(by)), np.nan)
            if depth == 0:
                gain = (by["right"] - whole[GREEDY]["right"]).reindex(by.index).to_numpy(float)
                ends = [
                    _by_student(own[own["depth"] == end])["passes"] for end in (own["depth"].min(), own["depth"].max())
                ]
                deeper = (ends[1] - ends[0]).to_numpy(float)
            if depth == 0 and "halt=" in str(way) and len(fixed) > 1:
                over = by["right"].to_numpy(float) - _at_equal_passes([whole[name] for name in fixed], by)
            yield {
                **dict(zip(KEY, key, strict=True)), "answering": way, "depth": depth, "students": len(by),
                **_interval(by["right"], "accuracy", "low", "high"),
                **_interval(by["passes"], "passes", "passes_low", "passes_high"),
                **_interval(gain, "gain", "gain_low", "gain_high"),
                **_interval(over, "over_fixed", "over_low", "over_high"),
                **_interval(deeper, "deeper", "deeper_low", "deeper_high"),
            }  # fmt: skip


def _by_student(own: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and passes a token of each student."""
    sums = own.groupby(STUDENT, sort=True)[["passes", "tokens", "right"]].agg(
        {"passes": "sum", "tokens": "sum", "right": "mean"}
    )
    return sums.assign(passes=sums["passes"] / sums["tokens"])


def _at_equal_passes(fixed: list[pd.DataFrame], by: pd.DataFrame) -> Floats:
    """Of each student its accuracy on the line through fixed numbers of passes, at its own."""
    found = []
    for student, passes in by["passes"].items():
        known = [one.loc[[student]] for one in fixed if student in one.index]
        place = np.array([one["passes"].iloc[0] for one in known], float)
        value = np.array([one["right"].iloc[0] for one in known], float)
        order = np.argsort(place)
        found.append(float(np.interp(passes, place[order], value[order])))
    return np.array(found)


def _interval(values: Any, *names: str) -> dict[str, float]:
    return dict(zip(names, mean_interval(np.asarray(values, float)), strict=True))


def looped_twins(study: StudyFolder) -> pd.DataFrame:
    """One row per arm, benchmark, looped student, dose and twin: retention of both, and the difference by seeds.

    A twin has the same layers, unlooped: as many (``equal parameters``), or as many as the looped one passes through on
    average while it learns (``equal operations``, of training). Both of a pair learned the same samples. ``nll`` says
    how well either has learned the contamination. Retention is NaN where a skill was not learned.
    """
    pairs = _pairs(shapes(study))
    if not pairs:
        return pd.DataFrame(columns=list(TWINS))
    scores = study.scores
    plain = scores[scores["depth"].isna()]
    own = plain[(plain["benchmark"] != PROBE) & (plain["variant"] == ORIGINAL)]
    probes = plain[plain["benchmark"] == PROBE].groupby(["arm", "student", "dose"], observed=True)["nll"].mean()
    rows = list[dict[str, object]]()
    for name, against, twin in pairs:
        for (arm, benchmark, dose), some in own.groupby(["arm", "benchmark", "dose"], sort=False, observed=True):
            one, other = (_means(some[some["student"] == of]) for of in (name, twin))
            both = one.index.intersection(other.index)
            if not len(both):
                continue
            apart = one.loc[both, "retention"] - other.loc[both, "retention"]
            head = (arm, benchmark, name, int(one["capacity"].iloc[0]), dose)
            rows.append(
                {
                    **dict(zip(KEY, head, strict=True)), "against": against, "twin": twin, "students": len(both),
                    **{f"{of}{what}": float(of_.loc[both, what].mean())
                       for what in ("accuracy", "retention") for of, of_ in (("", one), ("twin_", other))},
                    **_interval(apart, "difference", "low", "high"),
                    "nll": probes.get((arm, name, dose), np.nan), "twin_nll": probes.get((arm, twin, dose), np.nan),
                }
            )  # fmt: skip
    return pd.DataFrame(rows, columns=list(TWINS)).sort_values(
        ["arm", "benchmark", "capacity", "against", "dose"], kind="stable", ignore_index=True
    )


def _means(scores: pd.DataFrame) -> pd.DataFrame:
    """Of each student, over its runs."""
    numbers = ["accuracy", "retention", "capacity"]
    return scores.astype(dict.fromkeys(numbers, float)).groupby(STUDENT, sort=True)[numbers].mean()


def _pairs(known: dict[str, dict[str, Any]]) -> list[tuple[str, str, str]]:
    """Looped students with their twins, and in what they are equal."""
    free = ("name", "layers", "loops")
    found = []
    for name, one in known.items():
        if one["loops"] == 1:
            continue
        wanted = {PARAMETERS: one["layers"], OPERATIONS: one["layers"] * (1 + one["loops"]) / 2}
        for against, layers in wanted.items():
            for twin, other in known.items():
                alike = all(one.get(key) == other.get(key) for key in {*one, *other} - {*free})
                if alike and other["loops"] == 1 and other["layers"] == layers:
                    found.append((name, against, twin))
    return found
