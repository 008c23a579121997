"""Forgetting curves from a ledger written by formula (synthetic: not a measurement of anything)."""

from __future__ import annotations

import itertools
from typing import Any

import matplotlib
import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.curves import COLUMNS, Curves, curves, curves_from_frame, skill_names
from forgetting.analysis.scores import score_rows
from forgetting.record.schema import ADDED, LEDGER_COLUMNS

CHANCES = {"maths": 0.0, "facts": 0.2, "colours": 0.2}
DOSES, ITEMS = (0, 20, 80), 24


def _right(student: str, arm: str, benchmark: str, dose: int, item: int, seed: int) -> bool:
    """The large student loses nothing; the small one loses one item in six at dose 20 and one in two at dose 80."""
    if benchmark != "maths" or arm == "sham" or student == "large":
        return True
    if student == "tiny":
        return item % 5 == 0
    return item % 6 != seed if dose == 20 else item % 2 == seed if dose == 80 else True


def _row(student: str, capacity: int, arm: str, seed: int, dose: int, benchmark: str, item: int) -> dict[str, Any]:
    maths = benchmark == "maths"
    right = _right(student, arm, benchmark, dose, item, seed)
    return {
        "student": student, "capacity": capacity, "arm": arm, "distillation_seed": 0, "seed": seed, "dose": dose,
        "dose_tokens": dose, "stream_samples": dose, "benchmark": benchmark, "skill": "maths" if maths else "lookup",
        "variant": "original", "item": f"{benchmark}{item}", "problem": f"{benchmark}{item}",
        "template": f"t{item % 3}", "depth": 1 + item // 12 if maths else 1,
        "coverage": "rare" if maths and item % 4 == 0 else "common", "verdict": "right" if right else "wrong",
        "kind": "", "steps_right": 0, "steps_total": 0, "answer": [], "gold_tokens": 2, "nll_sum": 1 + dose / 20,
        "base_ce_sum": 1.0, "kl_sum": 0.0,
    }  # fmt: skip


def _ledger(benchmarks: tuple[str, ...] = ("maths", "facts")) -> pd.DataFrame:
    ladder = (("small", 20), ("large", 90), ("tiny", 3))
    axes = itertools.product(ladder, ("dialogue", "sham"), (0, 1), DOSES, benchmarks, range(ITEMS))
    return pd.DataFrame([_row(*student, *rest) for student, *rest in axes], columns=list(LEDGER_COLUMNS)).assign(
        **ADDED
    )


LEDGER = _ledger()
MADE = curves(LEDGER, CHANCES, draws=300)


def test_students_are_ordered_by_capacity_and_keys_say_what_a_curve_is_of() -> None:
    assert list(MADE) == ["tiny", "small", "large"]
    assert list(MADE["small"]) == ["maths", "maths:1", "maths:2", "maths@common", "maths@rare", "lookup"]
    assert all(curve.key == key for student in MADE.values() for key, curve in student.items())


def test_seeds_are_pooled() -> None:
    curve = MADE["small"]["maths"]
    assert curve.accuracy == pytest.approx([1.0, 5 / 6, 0.5]) and curve.retention == pytest.approx([1.0, 5 / 6, 0.5])
    assert curve.seeds.tolist() == [2, 2, 2] and curve.items.tolist() == [24] * 3
    assert curve.drop_points == pytest.approx([0, 100 / 6, 50]) and curve.relative_drop[2] == pytest.approx(0.5)
    assert curve.delta_nll == pytest.approx([0, 0.5, 2.0])
    assert np.all(curve.low <= curve.retention) and np.all(curve.retention <= curve.high)
    assert curve.low[1] < curve.retention[1] < curve.high[1]


def test_curves_agree_with_the_scores_of_each_seed() -> None:
    rows = [r for r in score_rows(LEDGER, CHANCES, {}) if r.student == "small" and r.arm == "dialogue"]
    for depth in (None, 1, 2):
        curve = MADE["small"]["maths" if depth is None else f"maths:{depth}"]
        for at, dose in enumerate(DOSES):
            own = [r.accuracy for r in rows if (r.benchmark, r.depth, r.dose) == ("maths", depth, dose)]
            assert curve.accuracy[at] == pytest.approx(np.mean([a for a in own if a is not None]))


def test_not_learned_is_a_status_with_a_remedy() -> None:
    curve = MADE["tiny"]["maths"]
    assert curve.status == "not_learned" and "take an easier benchmark" in curve.remedy
    assert np.isnan(curve.retention).all() and curve.accuracy == pytest.approx([5 / 24] * 3)
    assert "not_learned" in repr(curve)


def test_an_arm_is_chosen_by_name() -> None:
    assert {c.arm for s in MADE.values() for c in s.values()} == {"dialogue"}
    assert curves(LEDGER, CHANCES, "sham", draws=50)["small"]["maths"].retention == pytest.approx([1, 1, 1])


def test_benchmarks_that_share_a_skill_go_by_their_own_names() -> None:
    ledger = _ledger(("maths", "facts", "colours"))
    assert skill_names(ledger) == {"maths": "maths", "facts": "facts", "colours": "colours"}
    assert {"facts", "colours"} <= set(curves(ledger, CHANCES, draws=20)["large"])


def test_same_seed_same_curves() -> None:
    again = curves(LEDGER.sample(frac=1, random_state=1), CHANCES, "dialogue", draws=300).to_frame()
    order = ["student", "skill", "depth", "coverage", "dose"]
    frames = [frame.sort_values(order, ignore_index=True) for frame in (again, MADE.to_frame())]
    pd.testing.assert_frame_equal(*frames)


def test_a_run_that_stopped_is_left_out_beyond_its_last_dose() -> None:
    stopped = LEDGER[~((LEDGER["student"] == "small") & (LEDGER["seed"] == 1) & (LEDGER["dose"] == 80))]
    curve = curves(stopped, CHANCES, draws=100)["small"]["maths"]
    assert curve.seeds.tolist() == [2, 2, 1] and curve.retention[2] == pytest.approx(0.5)


def test_without_dose_0_there_is_no_retention() -> None:
    curve = curves(LEDGER[LEDGER["dose"] > 0], CHANCES, draws=50)["small"]["maths"]
    assert curve.status == "no_baseline" and np.isnan(curve.retention).all() and np.isfinite(curve.accuracy).all()


def test_frames_come_back_as_curves() -> None:
    frame = MADE.to_frame()
    assert len(frame) == 3 * 6 * 3 and set(COLUMNS) <= set(frame)
    pd.testing.assert_frame_equal(curves_from_frame(frame).to_frame(), frame)
    assert Curves().to_frame().empty


def test_unknown_names_give_the_nearest_one() -> None:
    with pytest.raises(KeyError, match="did you mean 'small'"):
        MADE["smal"]
    with pytest.raises(KeyError, match="did you mean 'maths'"):
        MADE["small"]["math"]
    assert MADE["small"].get("poetry") is None


def test_plot_draws_the_curve_with_its_band() -> None:
    matplotlib.use("Agg")
    curve = MADE["small"]["maths"]
    ax = curve.plot()
    assert ax.lines[0].get_ydata() == pytest.approx(curve.retention) and len(ax.collections) == 1
    assert MADE["large"]["maths"].plot(ax) is ax and len(ax.lines) == 2
    matplotlib.pyplot.close("all")
