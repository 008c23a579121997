"""Metrics of a sequence of tasks against matrices worked out by hand, and against how avalanche-lib keeps them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetting.analysis import transfer
from forgetting.analysis.order_effects import order_effects
from forgetting.analysis.study_folder import StudyFolder

MATRIX = [  # rows: after training on task i; columns: accuracy on task j
    [0.90, 0.20, 0.10],
    [0.70, 0.80, 0.15],
    [0.50, 0.60, 0.95],
]
PHASES = ("a", "b", "a", "c")
ROWS = [  # rows: before, after a, b, a, c; columns a, b, c
    [0.1, 0.2, 0.05],
    [0.9, 0.3, 0.05],
    [0.6, 0.8, 0.10],
    [0.8, 0.5, 0.20],
    [0.7, 0.4, 0.90],
]


def test_matrix_metrics_by_hand() -> None:
    assert transfer.average_accuracy(MATRIX) == pytest.approx((0.50 + 0.60 + 0.95) / 3)
    assert transfer.backward_transfer(MATRIX) == pytest.approx(((0.50 - 0.90) + (0.60 - 0.80)) / 2)
    assert transfer.forgetting(MATRIX) == pytest.approx([0.40, 0.20])
    assert transfer.forward_transfer(MATRIX, [0.1, 0.05, 0.05]) == pytest.approx(((0.20 - 0.05) + (0.15 - 0.05)) / 2)


def test_forgetting_counts_from_the_best_look_not_from_the_first() -> None:
    matrix = [[0.5, 0.3, 0.0], [0.9, 0.6, 0.0], [0.8, 0.7, 0.9]]
    assert transfer.forgetting(matrix) == pytest.approx([0.1, -0.1])
    assert transfer.backward_transfer(matrix) == pytest.approx((0.3 + 0.1) / 2)  # both tasks gained


def test_a_task_that_comes_twice_counts_from_the_first_time() -> None:
    assert transfer.backward_transfer(ROWS, [1, 2, 4]) == pytest.approx(((0.7 - 0.9) + (0.4 - 0.8)) / 2)
    assert transfer.forgetting(ROWS, [1, 2, 4]) == pytest.approx([0.2, 0.4])
    assert transfer.forward_transfer(ROWS, ROWS[0], [1, 2, 4]) == pytest.approx(((0.3 - 0.2) + (0.20 - 0.05)) / 2)


def kept_as_avalanche_does(A: np.ndarray, phases: list[int]) -> tuple[float, float]:
    """Mean of its ``Forgetting`` over the keys that have both values, and of ``ForwardTransfer``; ``A`` has row 0.

    ``initial`` is taken after the first training on a key, ``last`` at every other evaluation; a key that is trained on
    last has no ``last``, since that is emptied before each evaluation. ``previous`` is taken after the phase before.
    """
    initial: dict[int, float] = {}
    last: dict[int, float] = {}
    previous: dict[int, float] = {}
    for row, trained in enumerate(phases, 1):
        last = {}
        for key in range(A.shape[1]):
            if key == trained and key not in initial:
                initial[key] = A[row, key]
            else:
                last[key] = A[row, key]
            if row < len(phases) and phases[row] == key and key not in phases[:row]:
                previous[key] = A[row, key]
    lost = [initial[key] - last[key] for key in initial if key in last]
    gained = [previous[key] - A[0, key] for key in previous]
    return (float(np.mean(lost)) if lost else math.nan), (float(np.mean(gained)) if gained else math.nan)


@given(st.integers(1, 5), st.randoms(use_true_random=False))
def test_they_are_avalanches_on_any_matrix(tasks: int, random: Any) -> None:
    phases = [*range(tasks), *(random.randrange(tasks) for _ in range(random.randrange(3)))]
    random.shuffle(phases)
    A = np.array([[random.random() for _ in range(tasks)] for _ in range(len(phases) + 1)])
    learned = [1 + phases.index(task) for task in range(tasks)]
    lost, gained = kept_as_avalanche_does(A, phases)
    assert -transfer.backward_transfer(A, learned) == pytest.approx(lost, nan_ok=True)
    assert transfer.forward_transfer(A, A[0], learned) == pytest.approx(gained, nan_ok=True)


def study(arms: dict[str, tuple[str, ...]], values: Any, students: int = 2, dose: int = 10) -> StudyFolder:
    """A study whose score rows are given: ``values(arm, student, row)`` is accuracy, and NLL by task."""
    rows = []
    for arm, phases in arms.items():
        for student in range(students):
            for row in range(len(phases) + 1):
                accuracy, nll = values(arm, student, row)
                head = {"student": "s", "capacity": 100, "arm": arm, "distillation_seed": student, "seed": student}
                head |= {"dose": row * dose, "depth": None, "items": 99, "status": "ok"}
                rows.append(
                    head
                    | {"benchmark": "maths", "skill": "maths", "variant": "original", "accuracy": accuracy, "nll": 0.0}
                )
                for task, value in nll.items():
                    own = {"benchmark": "probe", "skill": "plasticity", "variant": task, "accuracy": None, "nll": value}
                    rows.append(head | own)
    listed = [
        {"name": arm, "phases": [{"task": name, "dose": dose} for name in phases], "tasks": list(dict.fromkeys(phases))}
        for arm, phases in arms.items()
    ]
    found = StudyFolder(Path("."), {"arms": listed, "benchmarks": {"maths": {}}})
    found.__dict__ |= {"scores": pd.DataFrame(rows), "arm_names": tuple(arms), "ledger": None}
    return found


def test_a_study_gives_the_matrix_of_each_run() -> None:
    def values(arm: str, student: int, row: int) -> tuple[float, dict[str, float]]:
        return 1.0 - 0.1 * row, {task: 1 - ROWS[row][place] for place, task in enumerate("abc")}

    found = transfer.transfer(study({"x": PHASES}, values))
    new = found.matrices[(found.matrices["group"] == "new") & (found.matrices["seed"] == 0)]
    assert new.pivot(index="after", columns="task", values="score").to_numpy() == pytest.approx(np.array(ROWS) - 1)
    assert new.groupby("task")["learned"].first().tolist() == [1, 2, 4]
    measures = found.measures.set_index(["group", "measure"])["value"]
    assert measures["new", "backward"] == pytest.approx(-0.3)
    assert measures["new", "forward"] == pytest.approx(0.125)
    assert measures["skills", "backward"] == pytest.approx(-0.4)
    assert math.isnan(measures["skills", "forward"])
    assert set(found.measures["students"]) == {0, 2}
    costs = found.costs.set_index("after")
    assert costs["accuracy"].tolist() == pytest.approx([0.1] * 4)
    assert costs["hazard"][1] == pytest.approx(math.log(99.5 / (0.9 * 99 + 0.5)))


def test_savings_are_what_the_first_phase_saves_the_second() -> None:
    nll = {0: 16.0, 1: 4.0, 2: 8.0, 3: 2.0}  # the second phase passes 4 halfway, on the way from 8 to 2 by logs

    def values(arm: str, student: int, row: int) -> tuple[float, dict[str, float]]:
        return 1.0, {"a": nll[row], "b": 3.0}

    found = transfer.transfer(study({"x": ("a", "b", "a")}, values))
    (row,) = found.savings.to_dict("records")
    assert (row["task"], row["savings"]) == ("a", pytest.approx(1 - 0.5))


def test_losses_that_add_on_the_log_scale_are_said_to() -> None:
    taken = {"a": 0.5, "b": 0.8}
    arms = {"ab": ("a", "b"), "ba": ("b", "a")}

    def adding(arm: str, student: int, row: int) -> tuple[float, dict[str, float]]:
        share = math.prod(taken[name] for name in arms[arm][:row])
        return (share * 100 - 0.5) / 99, {}  # so that (right + 1/2) / (items + 1) is the share itself

    found = order_effects(study(arms, adding, students=3))
    hazard = found[found["scale"] == "hazard"].set_index(["effect", "level"])["value"]
    assert hazard["added", "first"] == pytest.approx(-math.log(0.4))
    assert hazard["added", "whole - first"] == pytest.approx(0.0, abs=1e-12)
    assert hazard["task", "a"] == pytest.approx(-math.log(0.5))
    assert hazard["position", 1] == pytest.approx(hazard["position", 2]) == pytest.approx(-math.log(0.4) / 2)


def test_a_study_without_sequences_has_nothing_to_say() -> None:
    plain = study({"x": ("a",)}, lambda *_: (1.0, {}))
    plain.record["arms"][0].pop("phases")
    assert transfer.transfer(plain).matrices.empty and order_effects(plain).empty
