"""Stacked runs: the folders of separate ones, equal numbers within rounding, resumed bit for bit, and the way back."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from forgetting.engine.evaluation import Evaluator
from forgetting.engine.module import FitModule
from forgetting.engine.recorder import Recorder
from forgetting.engine.snapshots import Snapshots
from forgetting.errors import UsageError
from forgetting.models import stacked
from forgetting.records import RunFolder
from forgetting.stages.contaminate import contaminate
from forgetting.stages.stack import contaminate_stack
from forgetting.store import Store
from forgetting.study import RunKey, Study, construct
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


def keys_of(study: Study) -> tuple[RunKey, ...]:
    """All runs, or of eight three that differ in seed, rate and mitigation."""
    runs = study.runs()
    return (runs[0], runs[3], runs[5]) if len(runs) == 8 else runs


def stack(study: Study, folder: Path, store: Store) -> Runs:
    homes = [folder / "runs" / str(key) for key in keys_of(study)]
    contaminate_stack(study, keys_of(study), homes, store)
    return [RunFolder(home) for home in homes]


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
        one, other = ledger(found), ledger(single)
        assert json.loads(found.complete.read_text())["stack"] == len(whole)
        assert found.doses() == single.doses()
        assert sorted(p.name for p in found.checkpoint.iterdir()) == sorted(p.name for p in single.checkpoint.iterdir())
        for column in ("student", "arm", "seed", "dose", "dose_tokens", "stream_samples", "item", "gold_tokens"):
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


@pytest.mark.parametrize("moment", MOMENTS)
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
