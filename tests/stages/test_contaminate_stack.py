"""Stacked runs: the folders of separate ones, equal numbers within rounding, resumed bit for bit, and the way back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forgetting.analysis.early_stop import Rule
from forgetting.errors import UsageError
from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.recorder import Recorder
from forgetting.models import stacked
from forgetting.record.files import RunFolder
from forgetting.record.run_files import read_marker
from forgetting.record.store import Store
from forgetting.stages import fine_tune_stack as stage
from forgetting.stages.contaminate import contaminate
from forgetting.stages.contaminate_stack import contaminate_stack
from forgetting.study.run import Run
from forgetting.study.study import Study, construct
from forgetting.training.checkpoints import Snapshots, read
from forgetting.training.module import FitModule
from tests.conftest import cases
from tests.contracts.small import spec
from tests.stages.test_contaminate import Interrupted, assert_same, at_call, ledger

Runs = list[RunFolder]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Teacher and student are made once for all tests of this file."""
    return Store(tmp_path_factory.mktemp("store"), reference=None)


@pytest.fixture(scope="module")
def study() -> Study:
    """Two seeds, two rates, two mitigations: runs of one schedule."""
    mitigations = ("none", {"name": "l2_sp", "strength": 5.0})
    return construct(spec(keep="all", seeds=2, rate_multiples=(1.0, 0.25), mitigations=mitigations))


def keys_of(study: Study) -> tuple[Run, ...]:
    """All runs, or of eight three that differ in seed, rate and mitigation."""
    runs = study.runs()
    return (runs[0], runs[3], runs[5]) if len(runs) == 8 else runs


def stack(study: Study, folder: Path, store: Store, rules: Sequence[Rule | None] = ()) -> Runs:
    homes = [folder / "runs" / str(key) for key in keys_of(study)]
    contaminate_stack(study, keys_of(study), homes, store, rules=rules)
    return [RunFolder(home) for home in homes]


class EndsAt(Rule):
    """Ends a run at a dose, as soon as its look there is written: these students learn too little to be hopeless."""

    def __init__(self, dose: int) -> None:
        super().__init__(0.05, 1, ())
        object.__setattr__(self, "dose", dose)

    def ended(self, scores: Path, planned: int) -> int | None:
        dose: int = vars(self)["dose"]
        return dose if dose in {json.loads(line)["dose"] for line in scores.read_text().splitlines()} else None


@pytest.fixture(scope="module")
def whole(study: Study, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The stack that nobody interrupted."""
    return stack(study, tmp_path_factory.mktemp("whole"), store)


def test_every_replica_has_the_record_of_a_separate_run(
    study: Study, whole: Runs, store: Store, tmp_path: Path
) -> None:
    for key, found in zip(keys_of(study), whole, strict=True):
        contaminate(study, key, tmp_path / "runs" / str(key), store)
        single = RunFolder(tmp_path / "runs" / str(key))
        assert json.loads(found.complete.read_text())["stack"] == len(whole)
        assert_equal_within_rounding(found, single)


def assert_equal_within_rounding(found: RunFolder, single: RunFolder) -> None:
    """The record of a stacked run beside that of the separate one."""
    one, other = ledger(found), ledger(single)
    assert found.doses() == single.doses()
    assert sorted(p.name for p in found.checkpoint.glob("*")) == sorted(p.name for p in single.checkpoint.glob("*"))
    for column in ("student", "arm", "seed", "dose", "dose_tokens", "stream_samples", "item", "variant", "gold_tokens"):
        assert one[column].tolist() == other[column].tolist(), column
    for column in ("nll_sum", "base_ce_sum", "kl_sum"):
        np.testing.assert_allclose(one[column], other[column], rtol=1e-3, atol=1e-3)
    at_0 = one["dose"] == 0
    assert one.loc[at_0, "answer"].map(list).tolist() == other.loc[at_0, "answer"].map(list).tolist()


def test_runs_differ_as_their_seeds_rates_and_mitigations_do(whole: Runs) -> None:
    finals = {tuple(ledger(found).query("dose == 60")["nll_sum"]) for found in whole}
    assert len(finals) == len(whole)


MOMENTS: dict[str, tuple[Any, str, int, bool]] = {
    "before the first look at dose 0": (Evaluator, "measure", 0, False),
    "in the looks at dose 20": (Evaluator, "measure", 4, True),
    "some snapshots of dose 20 taken": (Snapshots, "on_train_batch_end", 2 * 3 + 1, True),
    "a step after dose 20": (Snapshots, "on_train_batch_end", 3 * 3 + 2, True),
    "some snapshots of dose 40 taken": (Snapshots, "on_train_batch_end", 5 * 3 + 1, True),
    "some runs complete": (Recorder, "finish", 1, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", cases(MOMENTS, "some snapshots of dose 40 taken"))
def test_an_interrupted_stack_that_is_resumed_equals_one_that_was_not(
    moment: str, study: Study, whole: Runs, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, number, after = MOMENTS[moment]
    monkeypatch.setattr(owner, name, at_call(number, getattr(owner, name), after=after))
    with pytest.raises(Interrupted):
        stack(study, tmp_path, store)
    monkeypatch.undo()
    for one, other in zip(stack(study, tmp_path, store), whole, strict=True):
        assert_same(one, other)


def test_a_stack_that_is_interrupted_twice_among_the_same_snapshots_goes_on_from_the_ones_before(
    study: Study, whole: Runs, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (5 * 3 + 1, 2 * 3 + 1):  # counted from dose 0, then from dose 20
        monkeypatch.setattr(Snapshots, "on_train_batch_end", at_call(number, Snapshots.on_train_batch_end, after=True))
        with pytest.raises(Interrupted):
            stack(study, tmp_path, store)
        monkeypatch.undo()
    first_steps: list[int] = []
    monkeypatch.setattr(
        FitModule, "configure_optimizers",
        lambda self, real=FitModule.configure_optimizers: (first_steps.append(self.first_step), real(self))[1],
    )  # fmt: skip
    for one, other in zip(stack(study, tmp_path, store), whole, strict=True):
        assert_same(one, other)
    assert first_steps == [3]


def test_where_the_model_cannot_be_stacked_the_runs_are_carried_out_one_after_another(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise UsageError("stack: Something cannot be stacked: no batching rule")

    small = construct(spec(seeds=2))
    monkeypatch.setattr(stacked.StackedModel, "_try", refuse)
    for found, key in zip(stack(small, tmp_path / "stack", store), small.runs(), strict=True):
        said = json.loads(found.complete.read_text())
        assert said["stack"] == 1 and "no batching rule" in said["not_stacked"]
        contaminate(small, key, tmp_path / "alone" / "runs" / str(key), store)
        assert_same(found, RunFolder(tmp_path / "alone" / "runs" / str(key)))


def test_runs_of_different_schedules_are_not_stacked(store: Store, tmp_path: Path) -> None:
    uneven = construct(spec(shifts=(1.0, 0.5)))
    for found in stack(uneven, tmp_path, store):
        assert "different step schedules" in json.loads(found.complete.read_text())["not_stacked"]


def test_what_is_kept_in_the_end_is_what_a_separate_run_keeps(store: Store, tmp_path: Path) -> None:
    study = construct(dataclasses.replace(spec(seeds=2), keep="last"))
    assert [[p.name for p in found.checkpoint.iterdir()] for found in stack(study, tmp_path, store)] == [
        ["last.safetensors"]
    ] * 2


ENDINGS = [
    (20, None, None),  # one leaves, two go on
    (None, 20, 40),  # they leave one after another
    (40, 40, None),  # one is left
    (20, 40, 20),  # nobody is left
    (0, None, 20),  # one leaves before anything is trained
    (60, None, 20),  # at the last dose nothing is left to be saved
]


def rule(dose: int | None) -> Rule | None:
    return None if dose is None else EndsAt(dose)


@pytest.fixture(scope="module")
def separate(study: Study, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunFolder]:
    """A run by its number, alone, ended at a dose or not; made once."""

    @cache
    def made(number: int, dose: int | None) -> RunFolder:
        key = keys_of(study)[number]
        home = tmp_path_factory.mktemp("alone") / "runs" / str(key)
        contaminate(study, key, home, store, rule=rule(dose))
        return RunFolder(home)

    return made


@pytest.mark.parametrize("endings", cases(ENDINGS, (None, 20, 40)))
def test_a_run_that_ends_early_leaves_the_stack_as_it_ends_alone_and_the_others_go_on(
    endings: tuple[int | None, ...], study: Study, store: Store, separate: Callable[..., RunFolder], tmp_path: Path
) -> None:
    found = stack(study, tmp_path, store, [rule(dose) for dose in endings])
    for number, (run, dose) in enumerate(zip(found, endings, strict=True)):
        alone = separate(number, dose)
        assert_equal_within_rounding(run, alone)
        assert read_marker(run).get("pruned_at") == read_marker(alone).get("pruned_at") == dose
        assert run.doses() == [looked for looked in (0, 20, 40, 60) if dose is None or looked <= dose]
        for file in run.checkpoint.glob("*"):
            one, other = read(file), read(alone.checkpoint / file.name)
            assert one.step == other.step
            for name, weights in one.weights.items():
                np.testing.assert_allclose(weights, other.weights[name], rtol=1e-3, atol=1e-4)


def test_who_left_costs_nothing_any_more(
    study: Study, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many replicas each step trains, and of how many a run's marker says that the seconds are shared."""
    replicas: list[int] = []
    real = FitModule.training_step
    monkeypatch.setattr(
        FitModule, "training_step", lambda self, *a: (replicas.append(self.student.replicas), real(self, *a))[1]
    )
    found = stack(study, tmp_path, store, [EndsAt(20), EndsAt(40), None])
    assert replicas == [3] * 3 + [2] * 3 + [1] * 3
    assert [json.loads(run.complete.read_text())["stack"] for run in found] == [3, 2, 1]


LEAVING: dict[str, tuple[Any, str, int, bool]] = {
    "in the looks after which one leaves": (Evaluator, "measure", 4, True),
    "some snapshots of the step at which it leaves taken": (Snapshots, "on_train_batch_end", 2 * 3 + 1, True),
    "before it is complete": (Recorder, "finish", 0, False),
    "as soon as it is complete": (Recorder, "finish", 0, True),
    "in the first step without it": (FitModule, "training_step", 3, False),
    "some snapshots without it taken": (Snapshots, "on_train_batch_end", 3 * 3 + 2 * 2, True),
    "before the second is complete": (Recorder, "finish", 1, False),
}


@pytest.mark.slow
@pytest.mark.parametrize("moment", cases(LEAVING, "some snapshots without it taken"))
def test_a_stack_that_was_killed_where_a_run_left_it_goes_on_as_if_nothing_had_been(
    moment: str, study: Study, store: Store, left: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, number, after = LEAVING[moment]
    monkeypatch.setattr(owner, name, at_call(number, getattr(owner, name), after=after))
    with pytest.raises(Interrupted):
        stack(study, tmp_path, store, [None, EndsAt(20), EndsAt(40)])
    monkeypatch.undo()
    for one, other in zip(stack(study, tmp_path, store, [None, EndsAt(20), EndsAt(40)]), left, strict=True):
        assert_same(one, other)
        assert read_marker(one).get("pruned_at") == read_marker(other).get("pruned_at")


@pytest.fixture(scope="module")
def left(study: Study, store: Store, tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The stack that two runs leave, which nobody interrupted."""
    return stack(study, tmp_path_factory.mktemp("left"), store, [None, EndsAt(20), EndsAt(40)])


@pytest.mark.slow
def test_looks_at_all_replicas_together_leave_the_same_records_and_are_resumed(
    study: Study, whole: Runs, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: equal to the looks one by one, within rounding; killed among its rows, it goes on bit for bit."""

    def read(*_: Any) -> None:
        raise AssertionError  # no replica reads by itself

    monkeypatch.setattr(stacked.Replica, "read", read)
    monkeypatch.setattr(stage, "LOOKS_TOGETHER", ("cpu",))
    together = stack(study, tmp_path / "whole", store)
    for found, one in zip(together, whole, strict=True):
        assert_equal_within_rounding(found, one)
        answers = [ledger(run)["answer"].map(list).tolist() for run in (found, one)]
        assert answers[0] == answers[1]
    add = Recorder.add
    monkeypatch.setattr(Recorder, "add", at_call(3 + 1, add, after=True))
    with pytest.raises(Interrupted):
        stack(study, tmp_path / "killed", store)
    monkeypatch.setattr(Recorder, "add", add)
    for found, one in zip(stack(study, tmp_path / "killed", store), together, strict=True):
        assert_same(found, one)


def test_where_the_model_cannot_be_stacked_each_run_still_ends_by_its_own_rule(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise UsageError("stack: Something cannot be stacked")

    monkeypatch.setattr(stacked.StackedModel, "_try", refuse)
    small = construct(spec(seeds=2))
    assert [read_marker(run).get("pruned_at") for run in stack(small, tmp_path, store, [None, EndsAt(20)])] == [
        None,
        20,
    ]
