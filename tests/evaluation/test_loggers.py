"""Scores at W&B and MLflow: a stand-in logger is told what TensorBoard is told, and no number or fingerprint moves."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from forgetting import Doses, Evaluation, Ladder, Spec, simulate
from forgetting.errors import UsageError
from forgetting.evaluation import loggers
from forgetting.evaluation.loggers import ScoreLogger, check_loggers
from forgetting.spec import Machine
from forgetting.study.fingerprints import canonical, study_fingerprint
from forgetting.study.needs import study_needs
from forgetting.study.study import construct

SPEC = Spec(
    ladder=Ladder(students=("10k",)),
    contaminations=("noise",),
    doses=Doses(dose=32, first=16),
    evaluation=Evaluation(benchmarks=({"name": "lookup", "item_count": 8},), probe_items=4, perturbed="never"),
)
LOGGED = replace(SPEC, machine=Machine(loggers=("wandb",)))


@dataclass
class StandIn:
    """What Lightning's loggers are called with."""

    project: str
    name: str
    mark: str
    told: dict[int, dict[str, float]] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

    def log_metrics(self, metrics: dict[str, float], step: int) -> None:
        self.told[step] = metrics

    def log_hyperparams(self, params: dict[str, Any]) -> None:
        self.settings |= params

    def finalize(self, status: str) -> None:
        self.ended.append(status)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[StandIn]:
    made: list[StandIn] = []

    def open_one(project: str, run: str, mark: str) -> ScoreLogger:
        one = StandIn(project, run, mark)
        made.append(one)
        return ScoreLogger("wandb", one, lambda: one.ended.append("finished"))  # type: ignore[arg-type]

    monkeypatch.setattr(loggers, "OPENED", {"wandb": open_one, "mlflow": open_one})
    monkeypatch.setattr("forgetting.executors.distilling.check_loggers", lambda names, study: None)
    return made


def test_a_logger_is_told_every_score(opened: list[StandIn], tmp_path: Path) -> None:
    result = simulate(LOGGED, output=tmp_path, workers=0, quiet=True)
    (one,) = opened
    assert (one.project, one.name, one.ended) == ("quick", "10k-noise-d0-s0", ["success", "finished"])
    about = {"student": "10k", "arm": "noise", "distillation_seed": 0, "seed": 0}
    assert one.settings == {**about, "capacity": result.record["students"][0]["capacity"]}
    curve = result.curves["10k"]["lookup"]
    assert list(one.told) == curve.dose.tolist() == [0, 16, 32]
    assert [told["accuracy/lookup"] for told in one.told.values()] == pytest.approx(curve.accuracy.tolist())
    assert all(value == value for told in one.told.values() for value in told.values())
    assert "new/nll" in one.told[32]


def test_no_fingerprint_knows_of_loggers() -> None:
    plain, logged = construct(SPEC), construct(LOGGED)
    assert study_fingerprint(plain) == study_fingerprint(logged) and canonical(plain) == canonical(logged)
    assert LOGGED.machine.stacks
    assert study_needs(SPEC) == [] and study_needs(LOGGED) == ["send scores to wandb"]


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_missing_package_is_one_line_and_no_folder(
    name: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loggers.importlib.util, "find_spec", lambda _: None)
    said = rf"^machine.loggers: {name} is not installed; pip install 'forgetting\[{name}\]'$"
    with pytest.raises(UsageError, match=said):
        check_loggers([name], "quick")
    with pytest.raises(UsageError, match=said):
        simulate(replace(SPEC, machine=Machine(loggers=(name,))), output=tmp_path / "runs", workers=0, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_names_are_checked() -> None:
    with pytest.raises(UsageError, match="did you mean 'wandb'"):
        Machine(loggers=("wandbb",))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="free of repeats"):
        Machine(loggers=("wandb", "wandb"))


def test_what_a_service_raises_is_one_line(
    opened: list[StandIn], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: StandIn, metrics: dict[str, float], step: int) -> None:
        raise RuntimeError("no room left\nat the service")

    monkeypatch.setattr(StandIn, "log_metrics", refuse)
    with pytest.raises(UsageError, match=r"^machine.loggers: wandb: no room left"):
        simulate(LOGGED, output=tmp_path, workers=0, quiet=True)
    monkeypatch.undo()
    assert simulate(SPEC, output=tmp_path, workers=0, quiet=True).curves["10k"]["lookup"].dose.tolist() == [0, 16, 32]


@pytest.fixture
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder without settings of the services."""
    for name in ("WANDB_MODE", "WANDB_API_KEY", "WANDB_DIR", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("HOME", "XDG_CONFIG_HOME", "WANDB_CONFIG_DIR", "NETRC"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def records(file: Path) -> Iterator[Any]:
    """What an offline run of W&B wrote: records in blocks of 32 KiB, each with checksum, length and kind."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, whole = file.read_bytes(), 7, b""
    while at + 7 <= len(data):
        if (left := 32_768 - at % 32_768) < 7:
            at += left
            continue
        _, length, kind = struct.unpack("<IHB", data[at : at + 7])
        whole, at = whole + data[at + 7 : at + 7 + length], at + 7 + length
        if kind in (1, 4):  # whole, or its last part
            yield Record.FromString(whole)
            whole = b""


def test_wandb_itself(at_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wandb = pytest.importorskip("wandb", reason="no part of what the tests install: pip install 'forgetting[wandb]'")
    with pytest.raises(UsageError, match=r"^machine.loggers: wandb: No API key configured"):
        simulate(LOGGED, output=at_home / "runs", workers=0, quiet=True)
    assert not (at_home / "runs").exists()
    wandb.teardown()  # it reads the environment once
    monkeypatch.setenv("WANDB_MODE", "offline")
    result = simulate(LOGGED, output=at_home / "runs", workers=0, quiet=True)
    (file,) = at_home.glob("wandb/offline-run-*/*.wandb")
    told = list(records(file))
    (run,) = [one.run for one in told if one.HasField("run")]
    assert (run.project, run.display_name) == ("quick", "10k-noise-d0-s0")
    config = {i.key: json.loads(i.value_json) for one in told for i in one.config.update}
    assert config["student"] == "10k" and config["seed"] == 0
    histories = [one.history.item for one in told if one.HasField("history")]
    rows = [{"/".join(i.nested_key) or i.key: json.loads(i.value_json) for i in one} for one in histories]
    curve = result.curves["10k"]["lookup"]
    assert [row["dose"] for row in rows] == curve.dose.tolist()
    assert [row["accuracy/lookup"] for row in rows] == pytest.approx(curve.accuracy.tolist())
    axes = {one.metric.glob_name or one.metric.name: one.metric.step_metric for one in told if one.HasField("metric")}
    assert axes["*"] == "dose"


def test_mlflow_itself(at_home: Path) -> None:
    pytest.importorskip("mlflow", reason="no part of what the tests install: pip install 'forgetting[mlflow]'")
    from mlflow.tracking import MlflowClient

    result = simulate(
        replace(SPEC, machine=Machine(loggers=("mlflow",))), output=at_home / "runs", workers=0, quiet=True
    )
    client = MlflowClient()
    (run,) = client.search_runs([client.get_experiment_by_name("quick").experiment_id])
    assert (run.info.run_name, run.info.status) == ("10k-noise-d0-s0", "FINISHED")
    assert run.data.params["student"] == "10k" and run.data.params["seed"] == "0"
    curve, told = result.curves["10k"]["lookup"], client.get_metric_history(run.info.run_id, "accuracy/lookup")
    assert [one.step for one in told] == curve.dose.tolist()
    assert [one.value for one in told] == pytest.approx(curve.accuracy.tolist())
    assert "retention/lookup/depth-1" in run.data.metrics  # no tag is renamed
