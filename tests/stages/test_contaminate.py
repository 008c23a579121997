"""One contamination run: complete, the same every time, interrupted anywhere and resumed, and the arms as controls."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from forgetting import seeds
from forgetting.contracts import Mitigation, Model, is_held_out
from forgetting.evaluation.evaluator import Evaluator
from forgetting.evaluation.recorder import Recorder
from forgetting.record.files import RunFolder
from forgetting.record.store import Store
from forgetting.spec import Optimiser
from forgetting.stages.contaminate import contaminate
from forgetting.study.fingerprints import fingerprint, run_form
from forgetting.study.study import Study, construct
from forgetting.testing.small import differing, words
from forgetting.training import checkpoints
from forgetting.training.checkpoints import Snapshots, SnapshotWriter, last, read
from tests.conftest import cases
from tests.contracts.small import spec

DOSES = (0, 20, 40, 60)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Teacher and student are made once for all tests of this file."""
    return Store(tmp_path_factory.mktemp("store"), reference=None)


def run(study: Study, folder: Path, store: Store, arm: str | None = None, seed: int = 0) -> RunFolder:
    """Carry out the study's run of that arm and seed in its place below ``folder``."""
    key = next(k for k in study.runs() if k.arm.name == (arm or study.arms[0].name) and k.seed == seed)
    home = folder / "runs" / str(key)
    contaminate(study, key, home, store)
    return RunFolder(home)


def ledger(found: RunFolder) -> pd.DataFrame:
    return pd.concat([pq.read_table(found.ledger_part(d)).to_pandas() for d in found.doses()], ignore_index=True)


def scores(found: RunFolder) -> list[dict[str, Any]]:
    return [json.loads(line) for line in found.scores.read_text().splitlines()]


def assert_same(one: RunFolder, other: RunFolder) -> None:
    """Scores, ledger and checkpoints are equal bit for bit."""
    assert one.scores.read_bytes() == other.scores.read_bytes()
    assert one.doses() == other.doses()
    for dose in one.doses():
        assert pq.read_table(one.ledger_part(dose)).equals(pq.read_table(other.ledger_part(dose))), dose
    names = sorted(p.name for p in one.checkpoint.glob("*"))
    assert names == sorted(p.name for p in other.checkpoint.glob("*"))
    for name in names:
        a, b = read(one.checkpoint / name), read(other.checkpoint / name)
        assert a.step == b.step
        assert not differing(a.weights, b.weights)
        assert not differing(a.optimiser, b.optimiser)


@pytest.fixture(scope="module")
def whole(store: Store, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """The run that nobody interrupted."""
    return run(construct(spec(keep="all")), tmp_path_factory.mktemp("whole"), store)


def test_a_run_is_complete(whole: RunFolder) -> None:
    assert whole.doses() == list(DOSES)
    complete = json.loads(whole.complete.read_text())
    assert set(complete["wall_seconds"]) == {"preparing", "training", "evaluation", "checkpoint", "logging"}
    found = ledger(whole)
    for dose, rows in found.groupby("dose"):
        variants = set(rows.loc[rows["benchmark"] == "maths", "variant"])
        assert (len(variants) > 1) == (dose in (0, 60))
        assert set(rows["benchmark"]) == {"maths", "lookup", "probe"}
        assert set(rows["stream_samples"]) == {dose}
    assert {r["dose"] for r in scores(whole)} == set(DOSES)
    assert found["nll_sum"].gt(0).all() and np.isfinite(found["kl_sum"]).all()
    assert (found.loc[found["dose"] == 0, "kl_sum"].abs() < 1e-3).all()
    assert sorted(p.name for p in whole.checkpoint.iterdir()) == [
        "dose-00000020.safetensors", "dose-00000040.safetensors", "dose-00000060.safetensors", "last.safetensors",
    ]  # fmt: skip


def test_training_changes_the_student(whole: RunFolder) -> None:
    probes = ledger(whole).query("benchmark == 'probe'").groupby("dose")["nll_sum"].sum()
    assert probes[60] < probes[40] < probes[20] < probes[0]


def test_a_complete_run_is_not_touched_again(whole: RunFolder, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {p: p.stat().st_mtime_ns for p in whole.folder.rglob("*") if p.is_file()}
    monkeypatch.setattr(Evaluator, "measure", None)
    study = construct(spec(keep="all"))
    contaminate(study, study.runs()[0], whole.folder, store)
    assert {p: p.stat().st_mtime_ns for p in whole.folder.rglob("*") if p.is_file()} == files


def test_the_same_spec_twice_is_the_same_run(whole: RunFolder, store: Store, tmp_path: Path) -> None:
    assert_same(run(construct(spec(keep="all")), tmp_path, store), whole)


def test_another_seed_is_another_run(whole: RunFolder, store: Store, tmp_path: Path) -> None:
    other = run(construct(spec(first_seed=5)), tmp_path, store, seed=5)
    a, b = ledger(whole), ledger(other)
    assert a.loc[a["dose"] == 0, "nll_sum"].tolist() == b.loc[b["dose"] == 0, "nll_sum"].tolist()
    assert a.loc[a["dose"] == 60, "nll_sum"].tolist() != b.loc[b["dose"] == 60, "nll_sum"].tolist()


class Interrupted(Exception):
    """As if the process had been killed at this place."""


def at_call(number: int, real: Callable[..., Any], *, after: bool = False) -> Callable[..., Any]:
    """The function, interrupted before (or after) its call of that number, counted from 0."""
    calls = iter(range(1_000))

    def wrapper(*args: Any, **kwargs: Any) -> Any:
        this = next(calls)
        if this == number and not after:
            raise Interrupted
        out = real(*args, **kwargs)
        if this == number:
            raise Interrupted
        return out

    return wrapper


MOMENTS: dict[str, tuple[Any, str, int, bool]] = {
    "before looking at dose 0": (Evaluator, "measure", 0, False),
    "after looking at dose 0": (Evaluator, "measure", 0, True),
    "before looking at dose 40": (Evaluator, "measure", 2, False),
    "after looking at dose 60": (Evaluator, "measure", 3, True),
    "ledger of dose 0 written, scores not": (Recorder, "_score", 0, False),
    "ledger of dose 40 written, scores not": (Recorder, "_score", 2, False),
    "dose 20 measured, snapshot not taken": (Snapshots, "on_train_batch_end", 2, False),
    "snapshot of dose 20 taken": (Snapshots, "on_train_batch_end", 2, True),
    "a step after dose 20": (Snapshots, "on_train_batch_end", 3, True),
    "everything done but the mark": (Recorder, "finish", 0, False),
}


@pytest.mark.parametrize(
    "moment",
    cases(MOMENTS, "ledger of dose 40 written, scores not", "a step after dose 20", "everything done but the mark"),
)  # fmt: skip
def test_an_interrupted_run_that_is_resumed_equals_one_that_was_not(
    moment: str, whole: RunFolder, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, number, after = MOMENTS[moment]
    study = construct(spec(keep="all"))
    monkeypatch.setattr(owner, name, at_call(number, getattr(owner, name), after=after))
    with pytest.raises(Interrupted):
        run(study, tmp_path, store)
    monkeypatch.undo()
    assert_same(run(study, tmp_path, store), whole)


def test_a_run_interrupted_again_and_again(
    whole: RunFolder, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each attempt ends at its second look, after which at least one more dose is durable."""
    study, attempts = construct(spec(keep="all")), 0
    real = Evaluator.measure
    while True:
        monkeypatch.setattr(Evaluator, "measure", at_call(1, real))
        attempts += 1
        try:
            found = run(study, tmp_path, store)
            break
        except Interrupted:
            assert attempts < 5
    assert_same(found, whole)
    assert attempts > 1


@pytest.mark.parametrize("written", cases([0, 1, 2], 1))
def test_a_ledger_that_is_ahead_of_the_checkpoint_is_cut_back(
    written: int, whole: RunFolder, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the first snapshots reached the disk before the process died at the end of the run."""
    study, count, real = construct(spec(keep="all")), iter(range(9)), SnapshotWriter.put

    def put(self: SnapshotWriter, *job: Any) -> None:
        if next(count) < written:
            real(self, *job)

    monkeypatch.setattr(SnapshotWriter, "put", put)
    monkeypatch.setattr(Recorder, "finish", at_call(0, Recorder.finish))
    with pytest.raises(Interrupted):
        run(study, tmp_path, store)
    monkeypatch.undo()
    looks: list[int] = []
    real_measure = Evaluator.measure
    monkeypatch.setattr(Evaluator, "measure", lambda self, *a, **k: (looks.append(1), real_measure(self, *a, **k))[1])
    found = run(study, tmp_path, store)
    assert len(looks) == 3 - written
    if written:
        assert found.scores.read_bytes() == whole.scores.read_bytes()
    else:
        assert_same(found, whole)


def test_a_checkpoint_of_another_run_is_not_taken_up(whole: RunFolder, store: Store, tmp_path: Path) -> None:
    study = construct(spec(keep="all", fine_tuning=Optimiser(batch_size=8, learning_rate=1e-4)))
    key = study.runs()[0]
    foreign = RunFolder(tmp_path / "runs" / str(key))
    foreign.checkpoint.mkdir(parents=True)
    last(foreign.checkpoint).write_bytes((whole.checkpoint / "dose-00000040.safetensors").read_bytes())
    found = run(study, tmp_path, store)
    assert found.doses() == list(DOSES)
    assert_same(found, run(study, tmp_path / "afresh", store))


@pytest.mark.parametrize(
    ("keep", "left"), [("last", ["last.safetensors"]), pytest.param("none", [], marks=pytest.mark.slow)]
)
def test_what_is_kept_does_not_change_what_is_measured(
    keep: Any, left: list[str], whole: RunFolder, store: Store, tmp_path: Path
) -> None:
    found = run(construct(spec(keep=keep)), tmp_path, store)
    assert found.scores.read_bytes() == whole.scores.read_bytes()
    assert [p.name for p in found.checkpoint.glob("*")] == left


def test_the_sham_answers_the_same_at_every_dose(store: Store, tmp_path: Path) -> None:
    found = ledger(run(construct(spec(controls=("sham",))), tmp_path, store, "dialogue-rate0"))
    plain = found[(found["variant"] == "original") | (found["benchmark"] == "probe")]
    at_0 = plain[plain["dose"] == 0].set_index(["benchmark", "item"])
    assert sorted(set(plain["dose"])) == list(DOSES)
    for _, rows in plain.groupby("dose"):
        rows = rows.set_index(["benchmark", "item"]).loc[at_0.index]
        assert rows["answer"].map(list).tolist() == at_0["answer"].map(list).tolist()
        for column in ("verdict", "nll_sum", "base_ce_sum", "kl_sum", "steps_right"):
            assert rows[column].tolist() == at_0[column].tolist()
    assert (plain["kl_sum"] == 0).all()


def test_the_joint_arm_is_measured_at_both_ends(store: Store, whole: RunFolder, tmp_path: Path) -> None:
    study = construct(spec(controls=("joint",)))
    found = run(study, tmp_path, store, "dialogue-joint")
    assert found.doses() == [0, 60]
    joint, base = ledger(found), ledger(whole)
    at_0 = joint["dose"] == 0
    assert joint.loc[at_0, "nll_sum"].tolist() == base.loc[base["dose"] == 0, "nll_sum"].tolist()
    assert (joint.loc[~at_0 & (joint["benchmark"] != "probe"), "kl_sum"] > 0).all()
    assert set(joint.loc[at_0, "variant"]) == set(joint.loc[~at_0, "variant"])
    assert json.loads(found.complete.read_text())["fingerprint"] == fingerprint(run_form(study, study.runs()[1]))


@pytest.mark.parametrize(
    ("changes", "share"),
    [
        ({"shifts": (0.5,)}, Fraction(1, 2)),
        ({"shifts": (0.05,)}, Fraction(1, 20)),
        ({"mitigations": ("replay",)}, Fraction(19, 20)),
        ({"shifts": (0.3,), "mitigations": ({"name": "replay", "share": 0.2},)}, Fraction(6, 25)),
    ],
)
def test_shift_and_replay_have_the_exact_stream(
    changes: dict[str, Any], share: Fraction, store: Store, tmp_path: Path
) -> None:
    """Dose d takes ceil(d / share) samples; its tokens are those of the first d samples that are not held out."""
    study = construct(spec(**changes))
    (arm,) = study.arms
    found = ledger(run(study, tmp_path, store))
    source = arm.contamination.samples(seeds.generator(seeds.integer(0, "stream"), "contamination"))
    taken = islice((s for s in source if not is_held_out(s)), DOSES[-1])
    lengths = [len(words()(s.answer)["input_ids"]) + 1 for s in taken]
    assert sorted(set(found["dose"])) == list(DOSES)
    for dose, rows in found.groupby("dose"):
        assert set(rows["stream_samples"]) == {ceil(dose / share)}
        assert set(rows["dose_tokens"]) == {sum(lengths[:dose])}


def test_doses_beyond_the_cap_are_left_out(store: Store, tmp_path: Path) -> None:
    doses = dataclasses.replace(spec().doses, stream_cap=100)
    found = run(construct(spec(shifts=(0.5,), doses=doses)), tmp_path, store)
    assert found.doses() == [0, 20, 40]
    last_dose = ledger(found).query("dose == 40 and benchmark == 'maths'")
    assert len(set(last_dose["variant"])) > 1


def test_a_rate_multiple_and_a_mitigation_are_part_of_the_run(whole: RunFolder, store: Store, tmp_path: Path) -> None:
    study = construct(spec(rate_multiples=(1.0, 0.25), mitigations=("none", {"name": "l2_sp", "strength": 50.0})))
    found = {arm.name: ledger(run(study, tmp_path, store, arm.name)) for arm in study.arms}
    assert len(found) == 4
    moved = {
        name: rows.loc[(rows["dose"] == 60) & (rows["benchmark"] != "probe"), "kl_sum"].sum()
        for name, rows in found.items()
    }
    assert moved["dialogue"] > moved["dialogue-rate0.25"] > 0
    assert moved["dialogue"] > moved["dialogue-l2_sp.strength50"] > 0
    plain = run(study, tmp_path, store, "dialogue")
    assert plain.scores.read_bytes() == whole.scores.read_bytes()


@dataclasses.dataclass(frozen=True)
class Jitter(Mitigation):
    """Draws from the global generators at every step, as dropout would, and moves the weights after each."""

    def penalty(self, student: Model, memory: Any) -> torch.Tensor:
        factor = torch.rand(()) + random.random() + float(np.random.rand())
        return factor * sum(p.square().sum() for _, p in student.named_parameters())[None]  # type: ignore[index]

    def after_step(self, student: Model, memory: Any) -> None:
        with torch.no_grad():
            for _, p in student.named_parameters():
                p.mul_(1 - 1e-3 * torch.rand(()))


@pytest.fixture
def jitter() -> Study:
    return construct(spec(keep="all", mitigations=(f"{__name__}.Jitter",)))


def test_a_run_that_draws_is_the_same_every_time(jitter: Study, store: Store, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one = run(jitter, tmp_path / "one", store)
    torch.manual_seed(2), random.seed(2), np.random.seed(2)
    states = checkpoints.generator_states()
    assert_same(run(jitter, tmp_path / "other", store), one)
    after = checkpoints.generator_states()
    assert after[0] == states[0] and torch.equal(after[1], states[1])


@pytest.mark.parametrize("moment", cases(["before looking at dose 40", "a step after dose 20"], "a step after dose 20"))
def test_a_run_that_draws_is_resumed_with_its_draws(
    moment: str, jitter: Study, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(jitter, tmp_path / "whole", store)
    owner, name, number, after = MOMENTS[moment]
    monkeypatch.setattr(owner, name, at_call(number, getattr(owner, name), after=after))
    with pytest.raises(Interrupted):
        run(jitter, tmp_path / "cut", store)
    monkeypatch.undo()
    torch.manual_seed(3), random.seed(3), np.random.seed(3)
    assert_same(run(jitter, tmp_path / "cut", store), whole)


def test_student_and_base_are_where_lightning_trains_before_the_first_look(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The accelerator is a stand-in: a device that is named and asked for, and on which nothing is computed."""
    study, there = construct(spec()), torch.device("cuda", 0)
    moved: dict[int, torch.device] = {}
    looks: list[bool] = []
    real_to, real_measure = torch.nn.Module.to, Evaluator.measure

    def to(self: torch.nn.Module, *where: Any, **settings: Any) -> torch.nn.Module:
        if where == (there,):
            moved[id(self)] = there
            return self
        return real_to(self, *where, **settings)

    def measure(self: Evaluator, student: Model, **settings: Any) -> pd.DataFrame:
        looks.append({id(student.network), id(self.base.network)} <= moved.keys() and len(moved) == 2)
        return real_measure(self, student, **settings)

    monkeypatch.setattr("forgetting.training.fit.device", lambda machine: there)
    monkeypatch.setattr(torch.nn.Module, "to", to)
    monkeypatch.setattr(Evaluator, "measure", measure)
    assert run(study, tmp_path, store).complete.is_file()
    assert looks == [True] * len(DOSES)
