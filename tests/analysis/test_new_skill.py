"""Ways of learning a new skill: a record and scores made by hand, in which one way keeps more than another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forgetting.analysis.new_skill import kept_apart, learned_ways
from forgetting.analysis.run_orderings import run_orderings
from forgetting.analysis.study_folder import StudyFolder
from forgetting.record.schema import ScoreRow
from tests.analysis.test_run_orderings import probing

TARGET = {"benchmark": {"name": "traps"}, "accuracy": 0.7}
STAGE = {"original": {"name": "original", "traps": 1.0}, "until": TARGET}
BRANCHES: dict[str, dict[str, Any]] = {
    "gold": {"method": "gold", **STAGE},
    "slow": {"method": "gold", **STAGE, "learning_rate": 1e-4},
    "own": {"method": {"name": "rejection"}, **STAGE},
    "rewards": {"method": {"name": "reward_guided"}, **STAGE},
    "itself": {"method": "on_policy", "teacher": "gold", **STAGE},
    "before": {"method": "gold", "learning_rate": 0.0},
}


def study(late: tuple[str, int] = ("", 0), **kept: float) -> StudyFolder:
    """Four trunks; ``kept`` says what each branch keeps of maths, on the third a little more; ``late`` who is late."""
    rows, students = list[dict[str, Any]](), []
    for branch in BRANCHES:
        name, taught = f"width-32-{branch}", {}
        for seed in range(4):
            why = "cap" if (branch, seed) == late else "reached"
            taught[str(seed)] = [{"method": "off_policy", "steps": 3000}, {"method": "x", "steps": 70, "why": why}]
            run = dict.fromkeys(ScoreRow.__dataclass_fields__) | {
                "student": name, "capacity": 34_000, "arm": "dialogue", "distillation_seed": seed, "seed": seed,
                "dose": 0, "variant": "original", "items": 500, "chance": 0.0, "status": "ok",
            }  # fmt: skip
            maths = kept.get(branch, 0.5) + 0.01 * (seed == 2) * (branch != "gold")
            for skill, accuracy in (("maths", maths), ("traps", 0.7)):
                rows.append(run | {"benchmark": skill, "skill": skill, "accuracy": accuracy, "retention": accuracy})
            rows.append(run | {"dose": 80, "benchmark": "maths", "skill": "maths", "accuracy": 0.0, "retention": 0.0})
        students.append({"name": name, "branch": branch, "trunk": "width-32", "trunk_stages": 1, "taught": taught})
    branches = [{"name": name, "stages": [stage]} for name, stage in BRANCHES.items()]
    arm = {"name": "dialogue", "rate_policy": "constant", "contamination": {"name": "dialogue"}, "shift": 1.0}
    evaluation = {"benchmarks": ["maths", {"name": "traps", "items_per_form": 150}]}
    spec = {"ladder": {"branches": branches}, "evaluation": evaluation}
    record = {"arms": [arm], "students": students, "spec": spec}
    found = StudyFolder(Path("simulated"), record)
    found.__dict__ |= {"scores": pd.DataFrame(rows), "ledger": None, "arm_names": ("dialogue",),
                       "probing": probing(), "well_formed": pd.DataFrame()}  # fmt: skip
    return found


def test_ways_are_named_by_the_last_stage_and_read_before_the_dialogues() -> None:
    ways = learned_ways(study(own=0.8))
    named = dict(zip(ways["branch"], ways["way"], strict=True))
    assert named == {"gold": "gold", "slow": "gold", "own": "rejection", "rewards": "reward_guided",
                     "itself": "on_policy, itself", "before": "none"}  # fmt: skip
    own = ways[(ways["branch"] == "own") & (ways["skill"] == "maths")]
    assert own["accuracy"].tolist() == pytest.approx([0.8, 0.8, 0.81, 0.8])
    assert set(ways[ways["new"]]["skill"]) == {"traps"} and set(ways["steps"]) == {70}


def test_differences_are_of_trunks_on_which_both_arrived_and_of_the_first_branch_of_a_way() -> None:
    ways = learned_ways(study(late=("own", 3), own=0.8, slow=0.1))
    (apart,) = kept_apart(ways, "rejection", "gold").values()
    assert apart.to_dict() == pytest.approx({0: 0.3, 1: 0.3, 2: 0.31})


@pytest.mark.parametrize(("own", "rewards", "verdicts"), [
    (0.8, 0.9, ("pass", "pass", "pass")), (0.3, 0.2, ("fail", "fail", "fail")), (0.497, 0.8, ("open", "pass", "pass")),
])  # fmt: skip
def test_the_ordering_is_judged_by_whole_intervals(own: float, rewards: float, verdicts: tuple[str, ...]) -> None:
    found = run_orderings(study(own=own, rewards=rewards))
    found = found[found["ordering"] == "S4"]
    assert tuple(found["verdict"]) == verdicts and set(found["of"]) == {"width-32, maths"}
    assert found["value"].tolist() == pytest.approx([own - 0.4975, rewards - own, rewards - 0.4975])


@pytest.mark.parametrize(("depths", "new"), [([6], False), ([3, 6], True), (None, True)])
def test_other_depths_of_the_target_are_another_skill(depths: list[int] | None, new: bool) -> None:
    one = study()
    target = {"name": "maths"} | ({"depths": depths} if depths else {})
    for branch in one.record["spec"]["ladder"]["branches"]:
        if "until" in branch["stages"][-1]:
            branch["stages"][-1] = branch["stages"][-1] | {"until": {"benchmark": target}}
    one.record["spec"]["evaluation"]["benchmarks"][0] = {"name": "maths", "depths": [1, 2, 3]}
    ways = learned_ways(one)
    assert set(ways[ways["skill"] == "maths"]["new"]) == {new} and not ways[ways["skill"] == "traps"]["new"].any()


def test_a_study_whose_branches_have_the_samples_of_the_ladder_learned_nothing_new() -> None:
    one = study()
    for branch in one.record["spec"]["ladder"]["branches"]:
        branch["stages"][-1].pop("original", None)
    assert learned_ways(one).empty and "S4" not in set(run_orderings(one)["ordering"])
