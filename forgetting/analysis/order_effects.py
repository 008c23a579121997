"""Orders of a sequence of tasks: do losses add, and does a phase cost more by what it is, or by when it comes?

Arms that hold the same phases, each once, in several orders (a Latin square, so that position and kind separate).
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from forgetting.analysis.study_folder import StudyFolder
from forgetting.analysis.transfer import SCALES, over_students, run_costs

COLUMNS = ["arms", "student", "capacity", "skill", "scale", "effect", "level", "value", "low", "high", "students"]


def order_effects(study: StudyFolder) -> pd.DataFrame:
    """One row for each set of arms, size, skill, scale of ``run_costs``, effect and its level; empty without such arms.

    ``value`` is a loss, with its 95% interval over students. Effects:

    - ``position``: the mean loss in the first, second, ... phase, over all orders;
    - ``task``: the mean loss in the phases of a kind, over all orders;
    - ``added``: ``first`` is the sum over kinds of what they take in first place, ``whole`` what a sequence takes,
      ``whole - first`` their difference, paired by student: 0 where losses add on the scale.
    """
    groups = _squares(study)
    costs = pd.DataFrame([cost for cost in run_costs(study) if cost["arm"] in groups])
    if costs.empty:
        return pd.DataFrame(columns=COLUMNS)
    costs["arms"] = costs["arm"].map(groups)
    rows = list[dict[str, Any]]()
    run = ["arms", "student", "capacity", "distillation_seed", "skill"]
    long = costs.melt([*run, "arm", "seed", "after", "phase"], list(SCALES), "scale", "value")
    by = [*run, "scale"]
    for effect, name in (("position", "after"), ("task", "phase")):
        mean = long.groupby([*by, name], sort=False)["value"].mean().reset_index().rename(columns={name: "level"})
        rows += mean.assign(effect=effect).to_dict("records")  # type: ignore[arg-type]  # columns are text
    first = long[long["after"] == 1].groupby([*by, "phase"], sort=False)["value"].mean().groupby(by, sort=False).sum()
    whole = long.groupby([*by, "arm", "seed"], sort=False)["value"].sum().groupby(by, sort=False).mean()
    added = {"first": first, "whole": whole, "whole - first": whole - first}
    for level, values in added.items():
        table = values.rename("value").reset_index().assign(effect="added", level=level)
        rows += table.to_dict("records")  # type: ignore[arg-type]  # as above
    keys = ["arms", "student", "capacity", "skill", "scale", "effect", "level"]
    found = over_students(rows, keys, ("value",))
    return found.rename(columns={"value_low": "low", "value_high": "high"})[COLUMNS]


def _squares(study: StudyFolder) -> dict[str, str]:
    """Arms of several orders of the same phases, by the name of the first of their set; every kind comes first once."""
    sets: dict[str, list[dict[str, Any]]] = {}
    for arm in study.record.get("arms", []):
        names = [phase["task"] for phase in arm.get("phases", [])]
        if len(names) > 1 and len(set(names)) == len(names) and arm["name"] in study.arm_names:
            rest = [arm.get(name) for name in ("shift", "rate_multiple", "rate_policy", "mitigation")]
            sets.setdefault(repr((sorted((phase["task"], phase["dose"]) for phase in arm["phases"]), rest)), []).append(
                arm
            )
    whole = [arms for arms in sets.values() if {arm["phases"][0]["task"] for arm in arms} == set(arms[0]["tasks"])]
    return {str(arm["name"]): str(arms[0]["name"]) for arms in whole for arm in arms}
