"""Looped students, read from ledgers that are known: accuracy and passes by depth, controls, twins, the figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting.analysis.looped_students import OPERATIONS, PARAMETERS, looped_twins, passes_by_depth
from forgetting.analysis.study_folder import StudyFolder
from forgetting.errors import UsageError
from forgetting.record.schema import ADDED, LEDGER_COLUMNS
from forgetting.report.looped_views import TOPIC, looped_figure
from forgetting.report.result import Result

SHAPE = {"hidden_size": 16, "heads": 2, "head_dim": 8, "intermediate_size": 40, "key_value_heads": 2}
SHAPES = [
    {"name": "width-16", "layers": 2, **SHAPE}, {"name": "looped-16", "layers": 2, "loops": 3, **SHAPE},
    {"name": "deeper-16", "layers": 4, **SHAPE}, {"name": "width-8", "layers": 2, **SHAPE, "hidden_size": 8},
]  # fmt: skip
ITEMS, TOKENS = 10, 4  # of each depth; written for an answer, the end token included
# Of each way: items right of ten at depths 1 and 2, and passes of a written token there.
WAYS = {
    "greedy": ((9, 7), (3, 3)), "looped written=1": ((5, 3), (1.5, 1.5)), "looped written=2": ((8, 4), (2, 2)),
    "looped halt=entropy threshold=0.1": ((9, 6), (1.5, 2.25)), "looped loops=1": ((2, 0), (1, 1)),
}  # fmt: skip
RIGHT = {"width-16": (10, 4), "looped-16": (9, 7), "deeper-16": (10, 10)}  # by student: before, after, of ten


def ledger(seeds: int = 3) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []

    def add(student: str, seed: int, dose: int, way: str, depth: int, right: int, generated: float) -> None:
        for item in range(ITEMS):
            rows.append({
                "student": student, "capacity": 30_000 if student == "deeper-16" else 10_000, "arm": "dialogue",
                "distillation_seed": seed, "seed": seed, "dose": dose, "dose_tokens": dose, "stream_samples": dose,
                "benchmark": "maths", "skill": "maths", "variant": "original", "item": f"{depth}-{item}",
                "problem": f"{depth}-{item}", "template": "t", "depth": depth, "coverage": "common",
                "verdict": "right" if item < right else "wrong", "kind": "", "steps_right": 0, "steps_total": 1,
                "answer": [1] * (TOKENS - 1), "gold_tokens": 4, "nll_sum": 1.0, "base_ce_sum": 1.0, "kl_sum": 0.0,
                "answering": way, "sample": 0, "generated": round(generated), "intervention": "",
            })  # fmt: skip

    for seed in range(seeds):
        for dose in (0, 40):
            for way, (right, passes) in WAYS.items():
                for depth in (1, 2):
                    times = 1 if way == "greedy" else passes[depth - 1]
                    add("looped-16", seed, dose, way, depth, right[depth - 1] - (seed if dose else 0), TOKENS * times)
            for student in ("width-16", "deeper-16"):
                for depth in (1, 2):
                    add(student, seed, dose, "greedy", depth, RIGHT[student][dose > 0] - (seed if dose else 0), TOKENS)
    return pd.DataFrame(rows)[list(LEDGER_COLUMNS)].assign(**{k: v for k, v in ADDED.items() if k == "intervention"})


def study(rows: pd.DataFrame) -> Result:
    record = {
        "name": "looped", "arms": [{"name": "dialogue"}], "canonical": {"students": SHAPES},
        "benchmarks": {"maths": {"chance": 0.0, "version": 1, "skill": "maths"}},
        "spec": {"evaluation": {"max_new_tokens": 48}},
    }  # fmt: skip
    found = Result(Path("nowhere"), record, rows[rows["answering"] == "greedy"])
    found.__dict__["every_row"] = rows
    return found


def test_passes_are_those_of_a_written_token() -> None:
    table = passes_by_depth(study(ledger())).set_index(["dose", "answering", "depth"])
    assert set(table["student"]) == {"looped-16"} and set(table["students"]) == {3}
    assert table.loc[(0, "greedy", 0), "passes"] == 3
    halting = "looped halt=entropy threshold=0.1"
    for depth, passes in ((0, 1.875), (1, 1.5), (2, 2.25)):
        assert table.loc[(0, halting, depth), "passes"] == pytest.approx(passes)
    assert table.loc[(0, halting, 1), "accuracy"] == pytest.approx(0.9)
    assert table.loc[(40, halting, 0), "accuracy"] == pytest.approx((0.9 + 0.6) / 2 - 0.1)
    spread = table.loc[(40, halting, 0), "high"] - table.loc[(40, halting, 0), "accuracy"]
    assert spread == pytest.approx(4.302653 * 0.1 / np.sqrt(3), rel=1e-5)  # t of two degrees of freedom


def test_halting_is_held_against_as_many_passes_for_every_token() -> None:
    table = passes_by_depth(study(ledger())).set_index(["dose", "answering", "depth"])
    at_1_875 = 0.4 + (0.6 - 0.4) * 0.375 / 0.5  # between 1.5 and 2 passes, all items
    found = table.loc[(0, "looped halt=entropy threshold=0.1", 0)]
    assert found["over_fixed"] == pytest.approx(0.75 - at_1_875)
    assert found["gain"] == pytest.approx(0.75 - 0.8) and found["deeper"] == pytest.approx(0.75)
    assert table.loc[(40, "looped loops=1", 0), "gain"] == pytest.approx(-0.65)  # .1 to .8, .05 to .7, 0 to .6
    assert found["over_low"] == pytest.approx(found["over_fixed"]) == found["over_high"]  # all students alike
    assert table[table.index.get_level_values("answering") == "greedy"]["over_fixed"].isna().all()


def test_twins_are_equal_in_parameters_or_in_operations() -> None:
    table = looped_twins(study(ledger())).set_index(["against", "dose"])
    assert dict(zip(table.index.get_level_values(0), table["twin"], strict=True)) == {
        PARAMETERS: "width-16",
        OPERATIONS: "deeper-16",
    }
    after = table.loc[(PARAMETERS, 40)]
    own = np.mean([(1.6 - 0.2 * s) / 1.6 for s in range(3)])
    other = np.mean([(0.4 - 0.1 * s) / 1.0 for s in range(3)])
    assert (after["retention"], after["twin_retention"]) == (pytest.approx(own), pytest.approx(other))
    assert after["difference"] == pytest.approx(own - other) and after["low"] < after["difference"] < after["high"]
    assert table.loc[(OPERATIONS, 0), "difference"] == 0


def test_without_looped_students_there_is_nothing() -> None:
    rows = ledger()
    plain = study(rows[rows["student"] != "looped-16"])
    plain.record["canonical"]["students"] = SHAPES[:1]
    assert passes_by_depth(plain).empty and looped_twins(plain).empty
    assert not any(len(table) for table in TOPIC.tables(plain).values()) and TOPIC.drawn(plain) == {}
    with pytest.raises(UsageError, match=r"^looped_passes: needs the ledger"):
        plain.looped_passes()
    with pytest.raises(UsageError, match=r"^looped_twins: needs a looped student"):
        plain.looped_twins()


def test_the_figure_has_what_the_tables_have() -> None:
    found = study(ledger())
    assert isinstance(found, StudyFolder)
    figure = looped_figure("dialogue", found.looped_passes(), found.looped_twins())
    accuracy, retention, allocation = figure.axes[:3]
    shown = [list(line.get_xdata()) for line in accuracy.get_lines()]
    assert [1.5, 2, 3] in shown and [1, 3] in shown and [1.875] in shown
    assert len(retention.get_lines()) == 3 and allocation.get_xlabel() == "depth of the item"
    assert [list(line.get_ydata()) for line in allocation.get_lines()] == [[0.5, 0.75]] * 2  # of three passes
