"""How students of one trunk learned a new skill, and what is left of the others: a study in, a table out.

A way of learning is a branch whose last stage has samples of its own (``original``). What it keeps is accuracy at dose
0 on benchmarks that ask something else than that stage does; ways are compared on the same trunk, where both arrived.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from forgetting.analysis.curves import ORIGINAL, skill_names
from forgetting.analysis.record_reading import part_name
from forgetting.analysis.study_folder import StudyFolder

COLUMNS = "branch way trunk distillation_seed arrived steps skill new accuracy".split()
ITSELF = "itself"  # behind the method of a stage whose teacher is another branch of the trunk


def learned_ways(study: StudyFolder) -> pd.DataFrame:
    """One row for each branch that learned a new skill, seed and benchmark; empty where none did.

    ``way`` is the method of the last stage (with ``itself`` where a branch of the same trunk taught it), ``steps`` are
    those of all stages after the trunk, ``new`` says that ``skill`` is the one that was learned, ``accuracy`` is at
    dose 0. A branch whose stages all have the ladder's samples, such as one at rate 0, is there as the way ``none``.
    """
    ladder = study.record.get("spec", {}).get("ladder", {})
    lasts = {str(one["name"]): one["stages"][-1] for one in ladder.get("branches") or ()}
    if not any(last.get("original") for last in lasts.values()):
        return pd.DataFrame(columns=COLUMNS)
    names, rows = skill_names(study.scores), list[dict[str, Any]]()
    target = next(_benchmark(last) for last in lasts.values() if last.get("original"))
    asked = {part_name(one): one for one in study.record["spec"].get("evaluation", {}).get("benchmarks", ())}
    arm = study.arm_names[0]
    scores = study.scores
    start = scores[(scores["arm"] == arm) & (scores["dose"] == 0) & scores["depth"].isna()]
    start = start[(start["variant"] == ORIGINAL) & start["benchmark"].isin(list(names))]
    for student in (one for one in study.record.get("students", []) if one.get("branch") in lasts):
        last, begin = lasts[student["branch"]], int(student.get("trunk_stages", 1))
        way = part_name(last["method"]) + (f", {ITSELF}" if last.get("teacher") else "")
        own = start[start["student"] == student["name"]]
        for row in own[["distillation_seed", "benchmark", "accuracy"]].to_dict("records"):
            taught = student.get("taught", {}).get(str(row["distillation_seed"]), [])[begin:]
            rows.append({
                "branch": student["branch"], "way": way if last.get("original") else "none",
                "trunk": student.get("trunk", ""), "distillation_seed": int(row["distillation_seed"]),
                "arrived": bool(taught) and taught[-1].get("why") == "reached",
                "steps": sum(int(one["steps"]) for one in taught), "skill": names[row["benchmark"]],
                "new": _same(target, asked.get(row["benchmark"])), "accuracy": float(row["accuracy"]),
            })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS)


def _benchmark(stage: dict[str, Any]) -> Any:
    return (stage.get("until") or {}).get("benchmark", "")


def _same(target: Any, asked: Any) -> bool:
    """Whether a benchmark asks what the target does; depths that both name must have one in common."""
    if asked is None or part_name(target) != part_name(asked):
        return False
    depths = [set(one["depths"]) for one in (target, asked) if isinstance(one, dict) and one.get("depths")]
    return len(depths) < 2 or bool(depths[0] & depths[1])


def kept_apart(ways: pd.DataFrame, way: str, against: str) -> dict[tuple[str, str], pd.Series]:
    """By trunk and other skill, accuracy after one way less that after another, by seed, where both arrived.

    Of several branches of a way the first counts.
    """
    found = {}
    old = ways[~ways["new"].astype(bool) & ways["arrived"].astype(bool)]
    for (trunk, skill), own in old.groupby(["trunk", "skill"], sort=False):
        sides = []
        for name in (way, against):
            some = own[own["way"] == name]
            first = some[some["branch"] == some["branch"].iloc[0]] if len(some) else some
            sides.append(first.set_index("distillation_seed")["accuracy"])
        if len(apart := (sides[0] - sides[1]).dropna()):
            found[str(trunk), str(skill)] = apart
    return found
