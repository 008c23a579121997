"""Is the advice good? What `forgetting advise` would have chosen from pilots, against what the whole runs then kept.

Every way to train is run to twice the planned dose on shipped students. Pilots are the beginnings of these runs, which
they equal bit for bit; forecasts are learned without the student that they are made for. Regret is the retention of
maths of the best way minus that of the chosen one, both where as much is learned as by plain tuning at the planned
dose, for a user who wants .95 kept. A way that does not get there within twice the dose keeps nothing. LoRA is left
out: of it nothing is told, and at ten times the rate it loses all in these students.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from forgetting import Doses, Evaluation, load, simulate
from forgetting.analysis.forecast import Forecaster
from forgetting.analysis.shipped_runs import shipped_runs
from forgetting.analysis.study_folder import StudyFolder
from forgetting.own_model.choice import choose
from forgetting.own_model.given import ADAPTERS
from forgetting.own_model.plans import planned as plan_of
from forgetting.own_model.prospects import _measured, _pilot, prospects

ROOT = Path(__file__).parents[1]
STUDENTS, SOURCES, PLANNED, KEEP = ("34k", "100k"), ("dialogue", "altered_syntax"), 5_120, {"maths": 0.95}
SHARES = (1 / 8, 1 / 4)  # of the planned dose, at which pilots end
RULES = {"nothing": "none", "always replay 5%": "replay", "a quarter of the rate": "low_rate"}


def whole(output: Path) -> StudyFolder:
    """Every way to the end, or to the study that is there."""
    plan = plan_of("34k", "dialogue", KEEP)
    return simulate(
        students=list(STUDENTS), contamination=list(SOURCES),
        mitigation=[value for value in plan.spec.mitigations if value != ADAPTERS],
        benchmarks=[{"name": "maths", "items_per_depth": 40}], name="advice", output=output, workers=1, stack="off",
        doses=Doses(dose=2 * PLANNED, first=80, stream_cap=8 * PLANNED), keep="none",
        evaluation=Evaluation(perturbed="never", probe_items=100),
    )  # fmt: skip


def part(study: StudyFolder, student: str, source: str, dose: int) -> StudyFolder:
    """One student and contamination up to a dose, as a study of their own."""
    arms = [arm for arm in study.record["arms"] if arm["contamination"]["name"] == source]
    scores, names = study.scores, [str(arm["name"]) for arm in arms]
    kept = scores[(scores["student"] == student) & scores["arm"].isin(names) & (scores["dose"] <= dose)]
    one = StudyFolder(study.folder, {**study.record, "arms": arms})
    one.__dict__ |= {"scores": kept, "ledger": None, "arm_names": tuple(names)}
    return one


def kept_in_the_end(study: StudyFolder) -> dict[str, float]:
    """By arm, retention where as much is learned as by plain tuning at the planned dose."""
    runs = {name: _pilot(study, name, list(KEEP)) for name in study.arm_names}
    plain = next(iter(runs.values()))
    level = float(np.interp(PLANNED, plain.dose_D, plain.learning_D))
    return {
        name: _measured(study, name, "maths", run.dose_of(level)).value if run.learning_D.max() >= level else math.nan
        for name, run in runs.items()
    }


def rows(study: StudyFolder) -> list[dict[str, Any]]:
    """One row a student, contamination and length of pilots."""
    past, costs, found = shipped_runs(), plan_of("34k", "dialogue", KEEP).costs(), []
    by_arm = {name.removeprefix("dialogue"): cost for name, cost in costs.items()}
    methods = frozenset(past["method"])
    for student in STUDENTS:
        learned = Forecaster.learned(past[past["student"] != f"{student}-d0"])
        forecaster = dataclasses.replace(learned, factor=learned.factor_of_others)
        for source in SOURCES:
            end = kept_in_the_end(part(study, student, source, 2 * PLANNED))
            own = {name: by_arm[name.removeprefix(source)] for name in end}
            for share in SHARES:
                pilots = part(study, student, source, round(share * PLANNED))
                told = prospects(pilots, PLANNED, list(KEEP), own, forecaster, methods)
                choice = choose(told, KEEP)
                inside = [
                    one.kept["maths"].low <= end[one.arm] <= one.kept["maths"].high
                    for one in told
                    if one.learns and one.kept["maths"].high > one.kept["maths"].low and not math.isnan(end[one.arm])
                ]
                best, foreseen = max(map(_zero, end.values())), {one.arm: one.kept["maths"] for one in told}
                row = {"student": student, "contamination": source, "pilots": share}
                row |= {"chosen": choice.arm.removeprefix(source).lstrip("-") or "plain", "how surely": choice.verdict}
                row |= {"foreseen": str(foreseen[choice.arm]), "kept": _zero(end[choice.arm]), "best": best}
                row |= {"regret": best - _zero(end[choice.arm])}
                row |= {rule: best - _zero(end[_arm(study, source, name)]) for rule, name in RULES.items()}
                found.append(row | {"intervals": len(inside), "covered": sum(inside)})
    return found


def _zero(kept: float) -> float:
    """What never learns as much keeps nothing."""
    return 0.0 if math.isnan(kept) else kept


def _arm(study: StudyFolder, source: str, name: str) -> str:
    """The arm of a rule: a mitigation at its defaults, which are 5% and a quarter."""
    for arm in study.record["arms"]:
        mitigation = arm["mitigation"]
        plainest = mitigation.get("share", 0.05) == 0.05 and mitigation.get("multiple", 0.25) == 0.25
        if arm["contamination"]["name"] == source and mitigation["name"] == name and plainest:
            return str(arm["name"])
    raise KeyError(name)


def page(found: pd.DataFrame) -> str:
    """The result as a page."""
    names, title, rest = list(found), *(__doc__ or "").split("\n", 1)
    cells = [[f"{v:.2f}" if isinstance(v, float) else str(v) for v in row] for row in found.itertuples(index=False)]
    lines = ["| " + " | ".join(line) + " |" for line in (names, ["---"] * len(names), *cells)]
    regrets = ["regret", *RULES]
    means = [
        f"| {share:g} | " + " | ".join(f"{own[rule].mean():.2f} ({own[rule].max():.2f})" for rule in regrets)
        + f" | {own['covered'].sum() / max(own['intervals'].sum(), 1):.2f} of {own['intervals'].sum()} |"
        for share, own in found.groupby("pilots")
    ]  # fmt: skip
    head = [
        "| pilots | the advice | " + " | ".join(RULES) + " | 80% intervals cover |",
        "| --- " * (len(RULES) + 3) + "|",
    ]
    made = (
        f"By `python validation/advice.py`: planned dose {PLANNED:,}, pilots to a share of it. Regrets, mean (worst):"
    )
    return "\n".join([f"# {title}", rest, made, "", *head, *means, "", *lines]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", nargs="?", help="folder of the study, where it has been run")
    parser.add_argument("--output", default="runs", help="where the study is run")
    given = parser.parse_args()
    found = pd.DataFrame(rows(load(given.study) if given.study else whole(Path(given.output))))
    assert not any(math.isnan(value) for value in found["regret"])
    target = ROOT / "results" / "validation"
    (target / "advice.json").write_text(json.dumps({"rows": found.to_dict("records")}, indent=1) + "\n")
    target.joinpath("advice.md").write_text(page(found))
    print(page(found))


if __name__ == "__main__":
    main()
