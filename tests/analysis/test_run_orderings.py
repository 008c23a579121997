"""Orderings that plain runs can judge, on students whose courses are made by hand."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.run_orderings import run_orderings
from forgetting.analysis.study_folder import StudyFolder
from forgetting.record.schema import ScoreRow

SIZES, DOSES = (10_000, 20_000, 40_000, 80_000), (0, 100, 200, 400)
ARMS: dict[str, dict[str, Any]] = {
    "dialogue": {"contamination": {"name": "dialogue"}, "shift": 1.0},
    "dialogue-shift0.5": {"contamination": {"name": "dialogue"}, "shift": 0.5},
    "altered_syntax": {"contamination": {"name": "altered_syntax"}, "shift": 1.0},
}


def probing(back: float = 0.0) -> pd.DataFrame:
    """What relearning gives four students that fell from 1 to .4: ``back`` of the loss, and .1 to their twins."""
    right = {(0, ""): 1.0, (400, ""): 0.4, (400, "relearning k=50"): 0.4 + 0.6 * back, (400, "twin"): 0.1,
             (400, "relearning k=50 of the twin"): 0.2}  # fmt: skip
    rows = [
        {
            "student": "10000", "arm": "dialogue", "distillation_seed": student, "seed": student, "capacity": 10_000,
            "dose": dose, "intervention": label, "answering": "greedy", "benchmark": "maths", "depth": 1, "items": 100,
            "right": round(100 * share) + (student % 2 if label == "relearning k=50" else 0), "nll": 0.1,
        }
        for student in range(4) for (dose, label), share in right.items()
    ]  # fmt: skip
    return pd.DataFrame(rows if back else rows[:0], columns=list(rows[0]))


def study(
    *, early: bool = True, replay_helps: bool = True, larger_loses: bool = True, kl_tells: bool = True
) -> StudyFolder:
    """Six students a size in three arms; what each keyword says is so, or the reverse is."""
    rows = list[dict[str, Any]]()
    for number, size in enumerate(SIZES):
        for student in range(6):
            rng = np.random.default_rng([size, student])
            for arm in ARMS:
                for dose in DOSES:
                    course = (
                        {0: 0.0, 100: 0.5, 200: 0.9, 400: 1.0} if early else {0: 0.0, 100: 0.05, 200: 0.1, 400: 1.0}
                    )
                    loss = 0.7 * course[dose]
                    if arm == "dialogue-shift0.5":
                        loss *= 0.3 if replay_helps else 1.4
                    loss = float(np.clip(loss + 0.01 * rng.normal() * (dose > 0), 0, 1))
                    slope = -0.1 if larger_loses else 0.1
                    code = 1 - course[dose] * (0.4 - slope * number) + 0.005 * rng.normal()
                    kl = loss + 0.3 * number if kl_tells else float(rng.random())
                    run = dict.fromkeys(ScoreRow.__dataclass_fields__) | {
                        "student": str(size), "capacity": size, "arm": arm, "distillation_seed": student,
                        "seed": student, "dose": dose, "variant": "original", "items": 500, "chance": 0.0,
                        "status": "ok",
                    }  # fmt: skip
                    for skill, kept in (("maths", 1 - loss), ("code", code)):
                        rows.append(run | {"benchmark": skill, "skill": skill, "accuracy": kept, "retention": kept})
                    nll = {0: 18.0, 100: 6.0, 200: 4.5, 400: 3.0}[dose]
                    rows.append(run | {"benchmark": "probe", "skill": "new", "variant": "new", "nll": nll, "kl": kl})
    arms = [{"name": name, "rate_policy": "constant", **settings} for name, settings in ARMS.items()]
    found = StudyFolder(Path("simulated"), {"arms": arms})
    found.__dict__ |= {"scores": pd.DataFrame(rows), "ledger": None, "arm_names": tuple(ARMS),
                       "probing": probing(), "well_formed": pd.DataFrame()}  # fmt: skip
    return found


@pytest.mark.parametrize(
    ("made", "ordering", "other"),
    [
        ("replay_helps", "S2", "fail"),
        ("kl_tells", "S3", "fail"),
        ("early", "S8", "fail"),
        ("larger_loses", "S10", "fail"),
    ],
)
def test_what_was_made_is_what_is_judged(made: str, ordering: str, other: str) -> None:
    def verdicts(found: pd.DataFrame) -> set[str]:
        own = found[(found["ordering"] == ordering) & ~found["says"].str.contains("across")]
        own = own[~own["of"].str.contains("dose 100")] if ordering == "S10" else own
        own = own[own["statistic"].str.contains("all of")] if ordering == "S3" else own  # two arms are few to fit
        assert (own["students"] == 6).all() and (own["low"] <= own["value"]).all()
        return set(own["verdict"])

    assert verdicts(run_orderings(study())) == {"pass"}
    assert verdicts(run_orderings(study(**{made: False}))) == {other}


def test_kl_across_sizes_is_one_ladder_a_student() -> None:
    found = run_orderings(study())
    across = found[found["says"].str.contains("across")].iloc[0]
    assert across["students"] == 6 and -1 <= across["value"] <= 1


def test_one_student_is_open() -> None:
    one = study()
    one.__dict__["scores"] = one.scores[one.scores["distillation_seed"] == 0]
    assert set(run_orderings(one)["verdict"]) == {"open"}


@pytest.mark.parametrize(("back", "verdict"), [(0.9, "pass"), (0.3, "fail")])
def test_relearning_is_judged_beyond_what_a_twin_relearns(back: float, verdict: str) -> None:
    one = study()
    one.__dict__["probing"] = probing(back)
    found = run_orderings(one)
    (row,) = found[found["ordering"] == "S7"].to_dict("records")
    assert row["verdict"] == verdict and row["students"] == 4
    assert row["value"] == pytest.approx(back - 0.1 / 0.6, abs=0.02)
