"""Is the whole what its parts give? Runs on wholes and parts in, acc(AB) / (acc(A) acc(B)) out, by size and dose.

An index of 1 says that steps fail independently and that nothing is lost in putting them together. Of the depths of one
benchmark the index is acc(k) / acc(1)^k.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from forgetting.analysis.curves import ORIGINAL
from forgetting.analysis.fronts import mean_interval
from forgetting.analysis.metrics import LEARNED_MARGIN
from forgetting.analysis.scores import PROBE
from forgetting.analysis.study_folder import StudyFolder

KEY = ["arm", "benchmark", "student", "capacity", "dose"]
STUDENT = "distillation_seed"
RUN = [STUDENT, "seed"]
WHOLES = {"original": ("first", "second"), "novel_pair": ("novel_first", "novel_second")}
COLUMNS = (
    *KEY,
    "whole",
    "students",
    "accuracy",
    "expected",
    "index",
    "low",
    "high",
    "beside",
    "beside_low",
    "beside_high",
)


def composition_index(study: StudyFolder) -> pd.DataFrame:
    """One row per arm, benchmark, student, dose and whole, means over students that had learned the skill.

    ``whole`` is ``original`` or ``novel_pair`` of a benchmark that asks their parts, ``crossed`` (expected is the
    original), or a depth of 2 and more. ``expected`` is the product of the parts' accuracies; ``beside`` is the index
    less that of the original whole (of depths: of depth 2). Bounds are 95%, Student's t over students; students whose
    expected accuracy is 0 have no index.
    """
    scores = study.scores[study.scores["benchmark"] != PROBE]
    start = scores[(scores["dose"] == 0) & scores["depth"].isna() & (scores["variant"] == ORIGINAL)]
    able = start[start["accuracy"] - start["chance"] >= LEARNED_MARGIN - 1e-12]
    student = ["arm", "benchmark", "student", *RUN]
    own = scores.merge(able[student], on=student)
    found = [
        *_of_variants(own[own["depth"].isna()]),
        *_of_depths(own[own["depth"].notna() & (own["variant"] == ORIGINAL)]),
    ]
    table = pd.DataFrame(found, columns=list(COLUMNS))
    return table.sort_values(["arm", "benchmark", "dose", "capacity"], kind="stable", ignore_index=True)


def _of_variants(own: pd.DataFrame) -> list[dict[str, object]]:
    rows = list[dict[str, object]]()
    for key, some in own.groupby(KEY, sort=False, observed=True):
        by = some.pivot_table(index=STUDENT, columns="variant", values="accuracy", observed=True)
        if not set(WHOLES["original"]) <= set(by):
            continue
        expected = {w: by[a] * by[b] for w, (a, b) in WHOLES.items() if {w, a, b} <= set(by)}
        rows += _rows(key, by, expected | ({"crossed": by[ORIGINAL]} if "crossed" in by else {}), ORIGINAL)
    return rows


def _of_depths(own: pd.DataFrame) -> list[dict[str, object]]:
    rows = list[dict[str, object]]()
    for key, some in own.groupby(KEY, sort=False, observed=True):
        by = some.pivot_table(index=STUDENT, columns="depth", values="accuracy", observed=True)
        depths = by.columns.to_numpy(int)
        by.columns = pd.Index([f"depth {depth}" for depth in depths])
        if not {"depth 1", "depth 2"} <= set(by):
            continue
        expected = {f"depth {depth}": by["depth 1"] ** depth for depth in depths if depth > 1}
        rows += _rows(key, by, expected, "depth 2")
    return rows


def _rows(key: object, by: pd.DataFrame, expected: dict[str, pd.Series], beside: str) -> list[dict[str, object]]:
    index = {name: (by[name] / value.where(value > 0)).to_numpy(float) for name, value in expected.items()}
    found = []
    for name, value in expected.items():
        other = index[name] - index[beside] if name != beside else np.full(len(by), np.nan)
        row = dict(zip(KEY, key, strict=True)) | {"whole": name, "students": len(by)}  # type: ignore[call-overload]  # a tuple
        row |= {"accuracy": float(by[name].mean()), "expected": float(value.mean())}
        row |= dict(zip(("index", "low", "high"), mean_interval(index[name]), strict=True))
        found.append(row | dict(zip(("beside", "beside_low", "beside_high"), mean_interval(other), strict=True)))
    return found
