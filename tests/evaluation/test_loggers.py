"""Scores at W&B and MLflow: a stand-in logger is told what TensorBoard is told, and no number or fingerprint moves."""

from __future__ import annotations

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
        return ScoreLogger(one, lambda: one.ended.append("finished"))  # type: ignore[arg-type]

    monkeypatch.setattr(loggers, "OPENED", {"wandb": open_one, "mlflow": open_one})
    monkeypatch.setattr(loggers, "check_loggers", lambda names: None)
    monkeypatch.setattr("forgetting.executors.distilling.check_loggers", lambda names: None)
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
        check_loggers([name])
    with pytest.raises(UsageError, match=said):
        simulate(replace(SPEC, machine=Machine(loggers=(name,))), output=tmp_path / "runs", workers=0, quiet=True)
    assert list(tmp_path.iterdir()) == []


def test_names_are_checked() -> None:
    with pytest.raises(UsageError, match="did you mean 'wandb'"):
        Machine(loggers=("wandbb",))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="free of repeats"):
        Machine(loggers=("wandb", "wandb"))
