"""C3 on counts of failures that are made by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from forgetting.analysis.failures import COUNTS
from forgetting.claims import ClaimVerdict
from tests.claims.synthetic import World, arm, verdicts, write

SIZES, STUDENTS, ITEMS = (10_000, 30_000, 100_000), 6, 600
Share = Callable[[int], float]  # of the three modes among wrong answers, by capacity


def judged(
    folder: Path, arms: Mapping[str, Share], *, accuracy: float = 0.5, tempted: float | None = None, counts: bool = True
) -> ClaimVerdict:
    """C3 on six students a size whose accuracy is 1, then as said, then 0."""
    rows = list[tuple[Any, ...]]()
    for capacity in SIZES:
        for name, share in arms.items():
            for student in range(STUDENTS):
                for dose, right in ((0, 1.0), (100, accuracy), (200, 0.02)):
                    head = (f"{capacity // 1000}k", capacity, name, "maths", dose, student, student)
                    wrong = round(ITEMS * (1 - right)) + student
                    named = round(wrong * share(capacity))
                    rows += [(*head, "", "", ITEMS - wrong), (*head, "intrusion", "", wrong - named)]
                    rows += [(*head, "symbol_error", "slip", named // 2), (*head, "camouflage", "", named - named // 2)]
                if tempted is not None:
                    head = (f"{capacity // 1000}k", capacity, name, "traps", 0, student, student)
                    mean = round(ITEMS / 2 * tempted) + student  # half of the items are controls
                    rows += [(*head, "shortcut", "", mean), (*head, "", "", ITEMS - mean)]
    made = [arm(name) for name in arms]
    write(World(lambda *_: 0.5, made, SIZES, STUDENTS, benchmarks=("maths", "traps"), items=20), folder)
    if counts:
        pd.DataFrame(rows, columns=COUNTS).to_csv(folder / "failures.csv", index=False)
    return verdicts(("C3",), folder)["C3"]


def test_named_modes_that_grow_rarer_with_size_support_it(tmp_path: Path) -> None:
    found = judged(tmp_path / "a", {"dialogue": lambda capacity: {10_000: 0.95, 30_000: 0.8, 100_000: 0.65}[capacity]},
                   tempted=0.4)  # fmt: skip
    assert [part.outcome for part in found.parts] == ["supports"] * 3 and found.verdict == "supported"
    modes, order, shortcut = found.parts
    assert modes.value == pytest.approx(0.8, abs=0.01) and order.value == pytest.approx(-0.3, abs=0.01)
    assert shortcut.value == pytest.approx(0.4, abs=0.01) and not found.exploratory


def test_other_failures_or_sizes_alike_stand_against_it(tmp_path: Path) -> None:
    few = judged(tmp_path / "few", {"dialogue": lambda _: 0.2})
    assert {part.name: part.outcome for part in few.parts} == {
        "modes": "opposes", "order": "opposes", "shortcut": "not testable"
    }  # fmt: skip
    assert few.verdict == "contradicted" and "takes the benchmark traps" in few.parts[2].note


@pytest.mark.parametrize(("noise", "state"), [(0.8, "explains"), (0.1, "excluded")])
def test_noise_may_make_students_fail_alike(tmp_path: Path, noise: float, state: str) -> None:
    found = judged(tmp_path / "a", {"dialogue": lambda _: 0.8, "noise": lambda _: noise})
    assert found.rivals[0].state == state


def test_sizes_are_compared_at_equal_accuracy_or_not_at_all(tmp_path: Path) -> None:
    past = judged(tmp_path / "past", {"dialogue": lambda _: 0.8}, accuracy=0.2)
    assert past.verdict == "not_testable" and "near half" in past.reason
    none = judged(tmp_path / "none", {"dialogue": lambda _: 0.8}, counts=False)
    assert none.verdict == "not_testable" and "failures.csv" in none.reason
