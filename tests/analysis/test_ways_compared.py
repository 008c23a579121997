"""Ways of answering side by side, on accuracies that are known."""

from __future__ import annotations

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.curves import Curves
from forgetting.analysis.study_folder import ArmCurves
from forgetting.analysis.verifier_rates import verifier_rates
from forgetting.analysis.ways_compared import ways_compared
from forgetting.report.answering_views import answering_figure
from forgetting.testing.small import words


def rows(ways: dict[str, tuple[float, float, float]], seeds: int = 3, dose: int = 100) -> list[dict[str, Any]]:
    """Of each way: accuracy before, after (seed s has s hundredths more), tokens."""
    return [
        {"arm": "dialogue", "benchmark": "maths", "student": "10k", "capacity": 10_000, "answering": way,
         "distillation_seed": seed, "seed": seed, "dose": at, "intervention": "", "accuracy": own + seed / 100,
         "generated": tokens}
        for way, (before, after, tokens) in ways.items() for seed in range(seeds)
        for at, own in ((0, before), (dose, after))
    ]  # fmt: skip


WAYS = {
    "greedy": (0.9, 0.5, 10.0), "majority samples=2": (0.9, 0.5, 20.0), "majority samples=4": (0.92, 0.6, 40.0),
    "symbolic": (0.95, 0.7, 10.0), "verified": (0.9, 0.6, math.sqrt(20 * 40)), "dear": (0.9, 0.65, 500.0),
    "cheap": (0.1, 0.2, 3.0),
}  # fmt: skip


def test_gains_are_over_greedy_and_over_majority_at_equal_tokens() -> None:
    table = ways_compared(pd.DataFrame(rows(WAYS))).set_index("answering")
    assert set(table["students"]) == {3} and set(table["dose"]) == {100}
    expected = {"greedy": 0, "symbolic": 0.2, "verified": 0.05, "dear": 0.05, "cheap": -0.3, "majority samples=4": 0}
    for way, over in expected.items():
        assert table.loc[way, "over_majority"] == pytest.approx(over, abs=1e-9), way
    assert table.loc["symbolic", "gain"] == pytest.approx(0.2)
    assert table.loc["symbolic", "gain_before"] == pytest.approx(0.05)
    spread = table.loc["symbolic", "after_high"] - table.loc["symbolic", "after"]
    assert spread == pytest.approx(4.302653 * 0.01 / math.sqrt(3), rel=1e-5)  # t of two degrees of freedom
    assert table.loc["symbolic", "high"] == pytest.approx(0.2)  # every student gains alike


def test_students_are_paired() -> None:
    frame = pd.DataFrame(rows(WAYS))
    mine = (frame["answering"] == "symbolic") & (frame["dose"] == 100)
    frame.loc[mine, "accuracy"] = 0.5 + frame.loc[mine, "seed"] / 100 + np.array([0.1, 0.2, 0.3])
    row = ways_compared(frame).set_index("answering").loc["symbolic"]
    assert row["over_majority"] == pytest.approx(0.2)
    assert row["high"] - row["low"] == pytest.approx(2 * 4.302653 * 0.1 / math.sqrt(3), rel=1e-5)


def test_without_votes_without_dose_and_of_one_student() -> None:
    some = {name: WAYS[name] for name in ("greedy", "symbolic")}
    table = ways_compared(pd.DataFrame(rows(some, seeds=1)))
    assert table["over_majority"].isna().all() and table["after_low"].isna().all() and len(table) == 2
    frame = pd.DataFrame(rows(some))
    assert ways_compared(frame[frame["dose"] == 0]).empty
    assert ways_compared(frame[frame["answering"] == "greedy"]).empty
    assert ways_compared(frame.iloc[:0]).empty and list(ways_compared(pd.DataFrame())) == list(table)
    late = ways_compared(frame[(frame["dose"] > 0) | (frame["answering"] == "greedy")]).set_index("answering")
    assert math.isnan(late.loc["symbolic", "before"]) and late.loc["symbolic", "gain"] == pytest.approx(0.2)
    averaged = frame.assign(intervention="average alpha=0.5")
    assert ways_compared(pd.concat([frame, averaged]))["after"].tolist() == ways_compared(frame)["after"].tolist()


def test_the_figure_has_a_line_for_each_way_and_hollow_controls() -> None:
    budgets = {f"thinking_budget budget={k} unit=steps": (0.1 * k, 0.1 * k, 4.0 + 6 * k) for k in range(3)}
    control = {"symbolic results=random": (0.0, 0.0, 12.0)}
    table = ways_compared(pd.DataFrame(rows({**WAYS, **budgets, **control})))
    figure = answering_figure(ArmCurves("dialogue", {}, Curves()), table)
    axes = [ax for ax in figure.axes if ax.get_visible()]
    assert [ax.get_title() for ax in axes] == ["10k, before the contamination", "10k, after it"]
    for ax in axes:
        lines = {str(line.get_label()): line for line in ax.lines if not str(line.get_label()).startswith("_")}
        assert next(iter(lines)) == "majority, from greedy" and len(lines["majority, from greedy"].get_xdata()) == 3
        assert len(lines["thinking budget"].get_xdata()) == 3
        assert lines["symbolic results=random"].get_fillstyle() == "none"
        assert lines["symbolic results=random"].get_color() == lines["symbolic"].get_color()
    plt.close(figure)


def test_what_a_check_lets_pass() -> None:
    answers = [
        ("right", "12 + 5 = 17 ; answer 17"), ("right", "12 + 5 = 18 ; answer 17"),
        ("wrong", "12 + 6 = 18 ; answer 18"),
        ("wrong", "12 + 5 = 18 ; answer 18"), ("unparsed", "hello"), ("wrong", "12 - 5 = 7 ; answer 7"),
    ]  # fmt: skip
    ledger = pd.DataFrame(
        {"arm": "dialogue", "benchmark": "maths", "student": "10k", "capacity": 10_000, "dose": 0,
         "variant": "original", "distillation_seed": 0, "seed": 0, "verdict": verdict,
         "answer": words().encode(text, add_special_tokens=False)}
        for verdict, text in answers
    )  # fmt: skip
    (row,) = verifier_rates(ledger).to_dict("records")
    assert (row["true_positive"], row["false_positive"], row["answers"]) == (0.5, 0.5, 6)
    (row,) = verifier_rates(ledger[ledger["verdict"] == "right"]).to_dict("records")
    assert math.isnan(row["false_positive"]) and row["accuracy"] == 1
    assert verifier_rates(ledger, ("traps",)).empty


def test_what_a_learned_verifier_lets_pass_is_seen_by_the_tokens() -> None:
    """Shown are greedy answers, whatever was drawn in their place: right ones at 1 and 2, accepted are 1 and 3."""
    head = {"arm": "dialogue", "benchmark": "maths", "student": "10k", "capacity": 10_000, "dose": 0,
            "variant": "original", "distillation_seed": 0, "seed": 0, "intervention": "",
            "answer": words().encode("12 + 5 = 17 ; answer 17", add_special_tokens=False)}  # fmt: skip
    way, other = "learned_verifier problems=9", "learned_verifier kept=True"
    rows = [
        {**head, "item": item, "answering": how, "verdict": verdict, "generated": tokens}
        for how, verdicts, counts in (
            ("greedy", ("right", "right", "wrong", "wrong"), (9, 9, 9, 8)),
            (way, ("right", "wrong", "wrong", "right"), (9, 18, 9, 17)),
            (other, ("right", "right", "right", "right"), (18, 18, 18, 17)),
        )
        for item, verdict, tokens in zip("1234", verdicts, counts, strict=True)
    ]
    ledger = pd.DataFrame(rows).sample(frac=1, random_state=1)
    table = verifier_rates(ledger).set_index("verifier")
    assert table.loc[way, ["true_positive", "false_positive", "accuracy"]].tolist() == [0.5, 0.5, 0.5]
    assert table.loc[other, ["true_positive", "false_positive", "accuracy"]].tolist() == [0, 0, 0.5]
    assert table.loc["exact check", ["true_positive", "answers"]].tolist() == [1, 4] and len(table) == 3
