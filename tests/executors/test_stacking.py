"""Which runs share a stack, what memory and measurement make of it, and a stacked study against a separate one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from forgetting import simulate
from forgetting.errors import UsageError
from forgetting.executors.stacking import Measure, groups, largest, stack_of, stacks, student_stacks
from forgetting.models.ladder import architecture
from forgetting.spec import Doses, Evaluation, Ladder, Spec
from forgetting.study.run import Run
from forgetting.study.study import Study, construct
from forgetting.testing.small import batch
from forgetting.training import stack_gain as measuring
from tests.contracts.small import spec

FOUND = {"why": "", "device": "cpu", "fixed_bytes": 10, "replica_bytes": 100, "free_bytes": 10_000, "gain": 2.0}


def measured(found: dict[str, Any]) -> Measure:
    """As if a machine had measured that."""

    def measure(_: str, __: int, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(found))

    return measure


def sizes(stack: Any, folder: Path, found: dict[str, Any] | None = None, seeds: int = 9) -> tuple[list[int], list[str]]:
    study, said = construct(spec(seeds=seeds)), list[str]()
    out = stacks(study, stack, folder, measured({**FOUND, **(found or {})}), said.append, lambda _: False)
    assert [key for group in out for key in group] == list(study.runs())
    return [len(group) for group in out], said


def test_runs_of_one_schedule_are_one_group_and_others_stand_alone() -> None:
    mixed = construct(
        spec(
            seeds=2, shifts=(1.0, 0.5), rate_multiples=(1.0, 0.25), controls=("joint", "original"),
            mitigations=("none", {"name": "l2_sp", "strength": 1.0}, "lora"),
        )
    )  # fmt: skip
    found = groups(mixed, mixed.runs())
    assert sorted(key for group in found for key in map(str, group)) == sorted(map(str, mixed.runs()))
    together = [group for group in found if len(group) > 1]
    assert len(together) == 2
    for group in together:
        arms = [key.arm for key in group]
        assert len({arm.share() for arm in arms}) == 1
        assert not any(arm.at_once or arm.mitigation.short_name() == "lora" for arm in arms)
    assert max(map(len, found)) == 2 * (2 * 2 + 1)  # seeds x (rates x mitigations + original)


def test_auto_stacks_where_it_pays_and_memory_holds_it(tmp_path: Path) -> None:
    assert sizes("auto", tmp_path / "a") == (
        [4, 5],
        ["stack: 10k in stacks of up to 8, 2.0 times faster than one after another"],
    )
    assert sizes("auto", tmp_path / "b", {"gain": 1.4}) == ([1] * 9, [])
    assert sizes("auto", tmp_path / "c", seeds=3) == ([1] * 3, [])
    assert sizes("auto", tmp_path / "d", {"device": "cuda", "gain": None})[0] == [9]
    assert sizes("off", tmp_path / "e") == ([1] * 9, [])
    assert sizes(1, tmp_path / "f") == ([1] * 9, [])
    assert sizes(4, tmp_path / "g", {"gain": 0.5}) == ([3, 3, 3], [])


def test_what_is_done_does_not_change_who_shares_a_stack(tmp_path: Path) -> None:
    study = construct(spec(seeds=2, shifts=(1.0, 0.5), mitigations=("none", {"name": "replay", "share": 0.5})))
    whole = stacks(study, 8, tmp_path, measured(FOUND), lambda _: None, lambda _: False)
    first = set(whole[0])
    resumed = stacks(study, 8, tmp_path, measured(FOUND), lambda _: None, lambda key: key in first)
    assert [g for g in resumed if not set(g) & first] == [g for g in whole if not set(g) & first]


def test_what_does_not_fit_is_split_with_one_line(tmp_path: Path) -> None:
    small = {"free_bytes": 450 * 2**20, "replica_bytes": 100 * 2**20}
    found, said = sizes(9, tmp_path, small)
    assert found == [3, 3, 3] and said == ["stack: 9 replicas of 10k would take 900 of 450 MiB; stacks of 4"]
    assert sizes(9, tmp_path / "none", {"free_bytes": 5})[0] == [1] * 9


def test_a_model_that_cannot_be_stacked_is_said(tmp_path: Path) -> None:
    found, said = sizes(4, tmp_path, {"why": "stack: X cannot be stacked: no rule"})
    assert found == [1] * 9
    assert said == ["stack: X cannot be stacked: no rule; 10k is trained one at a time"]


def test_a_machine_is_measured_once(tmp_path: Path) -> None:
    sizes("auto", tmp_path)

    def again(*_: Any) -> None:
        raise AssertionError

    study = construct(spec(seeds=9))
    assert len(stacks(study, "auto", tmp_path, again, lambda _: None, lambda _: False)) == 2


@pytest.mark.parametrize("value", ["many", 0, -1, 1.5, True, "", None])
def test_a_wrong_stack_is_one_line(value: Any) -> None:
    with pytest.raises(UsageError, match=r"^stack: must be auto, off, or a whole number, at least 1, got "):
        stack_of(value)


@pytest.mark.slow
def test_the_peak_is_linear_in_the_replicas_and_predicted_within_15_percent() -> None:
    """Predicted from stacks of 2 and 4, as before a run; measured: every storage alive at once in two steps."""
    rung, data = architecture("10k"), batch(32)
    two, four = (measuring.peak_bytes(rung, data, replicas) for replicas in (2, 4))
    for replicas in (1, 8, 24):
        predicted = two + (four - two) / 2 * (replicas - 2)
        assert measuring.peak_bytes(rung, data, replicas) == pytest.approx(predicted, rel=0.15), replicas


def test_the_measurement_says_all_that_the_choice_needs() -> None:
    study = construct(spec())
    found = measuring.measure(study, study.students[0], 8)
    assert found.keys() == FOUND.keys() and found["why"] == "" and found["gain"] > 0.2
    assert largest(found) > 10


@pytest.mark.slow
def test_a_stacked_study_has_the_curves_of_a_separate_one(tmp_path: Path) -> None:
    """Shipped students that lose much: accuracies within two standard errors of the paired difference."""
    study = Spec(
        ladder=Ladder(students=("10k",)), contaminations=("dialogue",), doses=Doses(dose=640, first=80, ratio=8.0),
        evaluation=Evaluation(benchmarks=({"name": "maths", "items_per_depth": 20}, "lookup"), perturbed="never"),
        seeds=3,
    )  # fmt: skip
    one, other = (
        simulate(study, output=tmp_path / str(stack), store=tmp_path / "store", workers=0, stack=stack, quiet=True)
        for stack in ("off", 4)
    )
    homes = sorted((other.folder / "runs").iterdir())
    assert [json.loads((home / "complete.json").read_text())["stack"] for home in homes] == [3] * 3
    assert one.record["fingerprint"] == other.record["fingerprint"]
    a, b = (pd.read_parquet(result.folder / "ledger.parquet") for result in (one, other))
    keys = ["student", "arm", "seed", "dose", "dose_tokens", "benchmark", "variant", "item"]
    assert a[keys].equals(b[keys])
    np.testing.assert_allclose(a.groupby("dose")["nll_sum"].sum(), b.groupby("dose")["nll_sum"].sum(), rtol=1e-3)
    right = [(rows["verdict"] == "right").where(rows["benchmark"] != "probe") for rows in (a, b)]
    for (seed, dose), places in a[a["benchmark"] != "probe"].groupby(["seed", "dose"]).groups.items():
        difference = right[0][places].astype(float) - right[1][places].astype(float)
        assert abs(difference.mean()) <= 2 * difference.std() / np.sqrt(len(difference)), (seed, dose)
    lost = a[a["benchmark"] == "maths"].assign(right=a["verdict"] == "right").groupby("dose")["right"].mean()
    assert lost[640] < lost[0] - 0.2


def test_students_of_one_rung_are_stacked_where_the_store_lacks_one_of_them(tmp_path: Path) -> None:
    ladder = Ladder(students=("10k", "14k"), fresh_students=True)
    study = construct(spec(ladder=ladder, seeds=5, first_seed=3, controls=("joint",)))

    def parts(stack: Any, lacks: Callable[[str, int], bool], of: Study = study) -> list[tuple[str, tuple[int, ...]]]:
        return student_stacks(of, stack, tmp_path, measured(FOUND), lambda _: None, lacks)

    all_lacking = parts("auto", lambda *_: True)
    assert all_lacking == [("10k", (3, 4, 5, 6, 7)), ("14k", (3, 4, 5, 6, 7))]
    assert parts("auto", lambda name, seed: seed == 4) == all_lacking  # what is there changes no stack
    alone = [("10k", (seed,)) for seed in range(3, 8)]
    assert parts("auto", lambda name, seed: name == "14k") == [*alone, ("14k", (3, 4, 5, 6, 7))]
    assert parts("off", lambda *_: True)[:5] == alone
    assert parts(3, lambda *_: True)[:2] == [("10k", (3, 4)), ("10k", (5, 6, 7))]
    shared = construct(spec(seeds=5))
    assert parts(4, lambda *_: True, shared) == [("10k", (0,))]


def test_students_whose_method_does_not_stack_are_distilled_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = construct(spec(ladder=Ladder(students=("10k",), fresh_students=True), seeds=2))
    monkeypatch.setattr(type(study.stages[0].method), "stacks", False)
    found = student_stacks(study, 2, tmp_path, measured(FOUND), lambda _: None, lambda *_: True)
    assert found == [("10k", (0,)), ("10k", (1,))]


def test_groups_are_a_function_of_the_study_alone(tmp_path: Path) -> None:
    """What is complete already does not change who shares a stack: a resumed stack is the one that was interrupted."""
    study = construct(spec(seeds=9))
    complete: set[Run] = set(study.runs()[:2])
    fresh = stacks(study, 4, tmp_path, measured(FOUND), lambda _: None, lambda _: False)
    resumed = stacks(study, 4, tmp_path, measured(FOUND), lambda _: None, complete.__contains__)
    assert fresh == resumed
