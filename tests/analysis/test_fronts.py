"""Fronts on simulated students: fixed retention by formula, equal methods told apart no more often than they may be."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from forgetting.analysis.fronts import NEVER, Fronts, fronts, held_out, mean_interval, welch_interval
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError
from forgetting.record.schema import ScoreRow

DOSES = (0, 100, 200, 400, 800)


def study(
    arms: dict[str, tuple[Any, float, float]], students: int, noise: float = 0.0, seed: int = 0, shared: bool = False
) -> StudyFolder:
    """Arms are (mitigation, how fast NLL falls, retention lost a nat of log NLL); students differ in the last."""
    draw, rows = np.random.default_rng(seed), list[dict[str, Any]]()
    own = draw.normal(0, noise, students)
    for name, (_, speed, lost) in arms.items():
        for student in range(students):
            spread = own[student] + draw.normal(0, noise / 2)
            for dose in DOSES:
                run = dict.fromkeys(ScoreRow.__dataclass_fields__) | {
                    "student": "34k", "capacity": 34240, "arm": name, "distillation_seed": 0 if shared else student,
                    "seed": student, "dose": dose, "stream_samples": 2 * dose if name == "replay" else dose,
                    "variant": "original", "skill": "maths", "benchmark": "maths", "items": 100, "chance": 0.0,
                    "status": "ok",
                }  # fmt: skip
                fall = speed * math.log1p(dose / 100)
                kept = 1.0 if not dose else 1 - (lost + spread) * fall
                rows.append(run | {"retention": kept})
                probe = {"benchmark": "probe", "skill": "probe", "variant": "dialogue", "retention": None}
                rows.append(run | probe | {"nll": 20 * math.exp(-fall)})
    record = {
        "arms": [{"name": n, "contamination": {"name": "dialogue"}, "mitigation": m} for n, (m, _, _) in arms.items()]
    }
    found = StudyFolder(Path("simulated"), record)
    found.__dict__ |= {"scores": pd.DataFrame(rows), "ledger": None, "arm_names": tuple(arms)}
    return found


def by(frame: pd.DataFrame, *names: str) -> dict[Any, dict[Any, Any]]:
    """The rows of a frame by one column or several."""
    rows = frame.to_dict("records")
    return {row[names[0]] if len(names) == 1 else tuple(row[name] for name in names): row for row in rows}


def replay(share: float) -> dict[str, Any]:
    return {"name": "replay", "share": share}


def test_by_formula() -> None:
    found = fronts(study({"dialogue": ("none", 1.0, 0.3), "replay": (replay(0.5), 1.0, 0.1)}, 4))
    table = by(found.levels, "method", "nll")
    for nll in (6.0, 4.0, 3.0, 2.5):
        fall = math.log(20 / nll)
        assert table["plain", nll]["retention"] == pytest.approx(1 - 0.3 * fall)
        row = table["replay", nll]
        assert row["difference"] == pytest.approx(0.2 * fall) and row["operations"] == pytest.approx(2.0)
        assert (row["reached"], row["students"], row["strengths"], row["status"]) == (4, 4, 1, "ok")
        assert row["optimism"] == 0.0
    areas = by(found.areas, "method")
    assert areas["replay"]["area"] == pytest.approx(0.1 * (math.log(20 / 6) + math.log(20 / 2.5)))
    assert areas["plain"]["area"] == 0.0 and areas["replay"]["covered"] == 1.0


def test_at_equal_operations_replay_pays_for_its_own() -> None:
    """Half of its stream is replay, so that its dose ends at half: it learns log(5) of log(9)."""
    found = by(fronts(study({"dialogue": ("none", 1.0, 0.3), "replay": (replay(0.5), 1.0, 0.1)}, 4)).areas, "method")
    assert found["replay"]["area_same_operations"] == pytest.approx(0.1 * (math.log(20 / 6) + math.log(5)), abs=0.003)
    assert found["plain"]["area_same_operations"] == 0.0


def test_at_equal_operations_passes_are_paid_for_too() -> None:
    """A sample under KL on 16 rows beside steps of 32 costs 5 thirds, so that 800 end at 480; a Fisher costs 1,000."""
    kl = {"name": "kl_to_base", "inputs": "noise", "rows": 16}
    ewc = {"name": "ewc", "prompts": 150, "draws": 5}
    arms: dict[str, Any] = {"dialogue": ("none", 1.0, 0.3), "kl": (kl, 1.0, 0.1), "ewc": (ewc, 1.0, 0.1)}
    one = study(arms | {"own": ({"name": "package.Own"}, 1.0, 0.1)}, 4)
    one.record["spec"] = {"fine_tuning": {"batch_size": 32}}
    areas, levels = by(fronts(one).areas, "method"), by(fronts(one).levels, "method", "nll")
    end = math.log(5) + 0.2 * math.log(9 / 5)  # a line from the look at 400 to that at 800
    kept = 0.1 * (math.log(20 / 6) + end)
    assert areas["kl_to_base"]["area_same_operations"] == pytest.approx(kept, abs=0.003)
    assert levels["kl_to_base", 4.0]["operations"] == pytest.approx(5 / 3)
    for name in ("kl_to_base", "ewc", "package.Own"):
        assert areas[name]["area"] == pytest.approx(areas["kl_to_base"]["area"])
    assert areas["kl_to_base"]["covered"] == 1 and 0.6 < areas["kl_to_base"]["covered_same_operations"] < 0.9
    assert areas["ewc"]["covered_same_operations"] == 0
    assert math.isnan(areas["ewc"]["area_same_operations"])  # 1,000 are more than plain tuning's 800
    assert math.isnan(areas["package.Own"]["area_same_operations"])  # what it costs is not known
    assert math.isnan(levels["package.Own", 4.0]["operations"])


def test_differences_can_be_taken_from_another_method() -> None:
    one = study({"dialogue": ("none", 1.0, 0.3), "replay": (replay(0.5), 1.0, 0.1)}, 4)
    found, plain = (by(fronts(one, against=name).areas, "method") for name in ("replay", "plain"))
    assert found["replay"]["area"] == 0.0 and found["plain"]["area"] == pytest.approx(-plain["replay"]["area"])
    with pytest.raises(UsageError, match=r"^against: unknown name 'replays'; did you mean 'replay'"):
        fronts(one, against="replays")


def test_one_that_never_learns_as_much_is_shown_as_such() -> None:
    arms = {"dialogue": ("none", 1.0, 0.3), "slow": ({"name": "ewc", "strength": 1e3}, 0.1, 0.0)}
    slow = {"half": ({"name": "gate", "budget": 0.1}, 0.8, 0.1)}
    found = fronts(study(arms | slow, 4))
    table = by(found.levels, "method", "nll")
    for nll, gate in ((6.0, 4), (4.0, 4), (3.0, 0), (2.5, 0)):
        ewc = table["ewc", nll]
        assert (ewc["status"], ewc["reached"]) == (NEVER, 0) and math.isnan(ewc["retention"])
        assert table["gate", nll]["reached"] == gate
    areas = by(found.areas, "method")
    assert areas["ewc"]["status"] == NEVER and math.isnan(areas["ewc"]["area"])
    assert areas["gate"]["status"] == "ok" and 0 < areas["gate"]["covered"] < 1
    assert set(found.lines["method"]) == {"plain", "ewc", "gate"}  # each as far as it goes


def test_strengths_are_chosen_on_the_other_half() -> None:
    values = np.zeros((2, 4, 1))
    values[0, [0, 2]], values[1, [1, 3]] = 1.0, 1.0  # each strength is good in one half alone
    assert held_out(values)[:, 0].tolist() == [1, 0, 1, 0]
    assert held_out(values[:, :3])[:, 0].tolist() == [0, 0, 0]  # three students choose for themselves


def test_a_strength_that_few_students_can_learn_with_is_not_chosen() -> None:
    values = np.full((2, 4, 1), 0.6)
    values[0] = [[1.0], [1.0], [np.nan], [np.nan]]
    assert (held_out(values) == 1).all()


@pytest.mark.parametrize("strengths", [1, 8])
def test_equal_methods_are_told_apart_as_often_as_said(strengths: int) -> None:
    """However many strengths a method has: the best of many has no head start on students that did not choose it."""
    draw, held, ahead, hindsight, repeats = np.random.default_rng(0), 0, list[float](), list[float](), 2000
    for _ in range(repeats):
        of_student = draw.normal(0.6, 0.2, 8)[:, None]
        plain_SL, values_ASL = (
            of_student + draw.normal(0, 0.1, (8, 5)),
            of_student + draw.normal(0, 0.1, (strengths, 8, 5)),
        )
        chosen_SL = np.take_along_axis(values_ASL, held_out(values_ASL)[None], axis=0)[0]
        area, low, high = mean_interval((chosen_SL - plain_SL).mean(axis=1))
        held += low <= 0 <= high
        ahead.append(area)
        hindsight.append(float((values_ASL.max(axis=0) - plain_SL).mean()))
    assert (0.935 if strengths == 1 else 0.92) <= held / repeats <= 0.965  # 6,000 repeats: .948 and .932
    assert abs(np.mean(ahead)) < 3 * np.std(ahead) / math.sqrt(repeats)
    assert (np.mean(hindsight) > 0.1) == (strengths > 1)  # what choosing on the students shown would have made of it


def test_optimism_is_what_choosing_on_the_students_shown_would_have_added() -> None:
    arms: dict[str, tuple[Any, float, float]] = {"dialogue": ("none", 1.0, 0.3)}
    arms |= {f"replay{k}": (replay(0.1 * k), 1.0, 0.3) for k in range(8)}
    found = fronts(study(arms, 8, noise=0.1)).levels
    replayed, plain = (found.loc[found["method"] == name, "optimism"].to_numpy(float) for name in ("replay", "plain"))
    assert (replayed >= 0).all() and replayed.max() > 0.005 and (plain == 0).all()


def test_contamination_seeds_of_one_student_are_one_student() -> None:
    arms = {"dialogue": ("none", 1.0, 0.3), "replay": (replay(0.5), 1.0, 0.1)}
    found = fronts(study(arms, 8, noise=0.1, shared=True)).levels
    assert (found["students"] == 1).all() and found["low"].isna().all() and found["retention"].notna().all()


def test_levels_of_another_source_come_from_dose_0_and_what_plain_tuning_learns() -> None:
    one = study({"dialogue": ("none", 1.0, 0.3), "replay": (replay(0.5), 0.6, 0.1)}, 4)
    for arm in one.record["arms"]:
        arm["contamination"] = {"name": "conversations", "source": "chat.jsonl"}
    levels = fronts(one).levels
    assert levels["learning"].unique() == pytest.approx(-math.log(20) + math.log(9) * np.array([0.3, 0.5, 0.7, 0.9]))
    assert levels[levels["method"] == "replay"]["reached"].tolist() == [4, 4, 0, 0]


def test_a_study_without_two_methods_has_no_fronts() -> None:
    found: Fronts = fronts(study({"dialogue": ("none", 1.0, 0.3)}, 4))
    assert found.levels.empty and found.areas.empty and found.lines.empty


@pytest.mark.parametrize(("levels", "said"), [([], "at least one"), ([3, 6], "falling"), ([6, 0], "above 0")])
def test_bad_levels(levels: list[float], said: str) -> None:
    with pytest.raises(UsageError, match=rf"^levels: must be .*{said}"):
        fronts(study({"dialogue": ("none", 1.0, 0.3), "replay": (replay(0.5), 1.0, 0.1)}, 2), levels)


def test_the_interval_is_students_t() -> None:

    values = np.array([0.3, 0.5, np.nan, 0.9])
    expected = stats.ttest_1samp(values[~np.isnan(values)], 0).confidence_interval(0.95)
    assert mean_interval(values) == pytest.approx((values[~np.isnan(values)].mean(), *expected))
    assert np.isnan(mean_interval(np.array([np.nan]))).all() and mean_interval(np.array([0.2]))[0] == 0.2


def test_differences_of_students_that_are_no_pairs_are_those_of_scipy() -> None:
    one, other = np.array([0.3, 0.5, 0.45, np.nan, 0.6]), np.array([0.1, 0.35, 0.2])
    known = stats.ttest_ind(one[np.isfinite(one)], other, equal_var=False)
    ends = known.confidence_interval(0.9)
    assert welch_interval(one, other, 0.9) == pytest.approx((0.4625 - other.mean(), ends.low, ends.high))
    assert welch_interval(np.zeros(3), np.zeros(2)) == (0, 0, 0)
    assert np.isnan(welch_interval(one, other[:1])).all()
