"""Scores of a run to W&B and MLflow through Lightning's own loggers: what TensorBoard shows in, the same there out.

The package of a logger is an extra. No number depends on it, nor does a fingerprint.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetting.errors import UsageError
from forgetting.record.reading import first_line

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger


class ScoreLogger:
    """One run at one of the services. ``close`` ends it there, so that the next run of a process is another one.

    ``name`` is the service's; ``axis`` is a tag under which it is told the dose, where steps are no axis there.
    """

    def __init__(self, name: str, logger: Logger, end: Callable[[], None] = lambda: None, axis: str = "") -> None:
        self.name, self.logger, self._end, self._axis = name, logger, end, axis

    def settings(self, columns: Mapping[str, Any]) -> None:
        """What the run is of."""
        with _told(self.name):
            self.logger.log_hyperparams(dict(columns))

    def scalars(self, dose: int, values: Mapping[str, float | None]) -> None:
        """Scalars by tag at one dose; those that are None (not learned, say) are left out."""
        told = {tag: float(v) for tag, v in values.items() if v is not None and v == v}
        with _told(self.name):
            self.logger.log_metrics({**told, self._axis: float(dose)} if self._axis else told, step=dose)

    def close(self) -> None:
        """The run is complete."""
        with _told(self.name):
            self.logger.finalize("success")
            self._end()


@contextmanager
def _told(name: str) -> Iterator[None]:
    """Whatever a service or its package raises is one line."""
    try:
        yield
    except Exception as error:
        raise UsageError(f"machine.loggers: {name}: {first_line(error)}") from error


def check_loggers(names: Sequence[str], study: str) -> None:
    """``UsageError`` where the package of a logger is missing, or its service cannot be had, in one line each.

    At MLflow the experiment ``study`` is made, so that no two workers make it, or its data base, at the same time.
    """
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"machine.loggers: {name} is not installed; pip install 'forgetting[{name}]'")
    for name in names:
        with _told(name):
            REACHED[name](study)


def opened_loggers(names: Sequence[str], study: str, columns: Mapping[str, Any], folder: Path) -> list[ScoreLogger]:
    """A logger for each name, in the project (experiment) ``study``, for the run in ``folder``; ``columns`` are its
    settings.

    An interrupted run goes on at W&B under its identifier, which is made of its folder; at MLflow it is a new run with
    the same name and tag. Every score is told again in either case.
    """
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    found = []
    for name in names:
        with _told(name):
            found.append(OPENED[name](study, folder.name, mark))
        found[-1].settings(columns)
    return found


ONLINE = ("online", "run")  # what WANDB_MODE calls it


def _reach_wandb(_: str) -> None:
    import wandb

    if os.environ.get("WANDB_MODE", "online") in ONLINE:
        wandb.login()


def _reach_mlflow(project: str) -> None:
    from mlflow.tracking import MlflowClient

    client = MlflowClient()
    if client.get_experiment_by_name(project) is None:
        client.create_experiment(project)


def _wandb(project: str, run: str, mark: str) -> ScoreLogger:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    # Runs of a stack are open side by side, which a logger that starts its own run does not allow.
    resume = "allow" if os.environ.get("WANDB_MODE", "online") in ONLINE else None  # else it warns of what it ignores
    how = wandb.Settings(console="off")  # what this process prints is the study's
    own = wandb.init(project=project, name=run, id=mark, resume=resume, reinit="create_new", settings=how)
    own.define_metric("dose")
    own.define_metric("*", step_metric="dose")  # else charts count looks
    return ScoreLogger("wandb", WandbLogger(experiment=own, project=project, name=run), own.finish, axis="dose")


def _mlflow(project: str, run: str, mark: str) -> ScoreLogger:
    import mlflow
    from lightning.pytorch.loggers import MLFlowLogger

    place = mlflow.get_tracking_uri()  # Lightning's own default is a folder, which MLflow 3 refuses
    logger = MLFlowLogger(project, run, tracking_uri=place, tags={"forgetting.run": mark})
    return ScoreLogger("mlflow", logger)


REACHED: dict[str, Callable[[str], None]] = {"wandb": _reach_wandb, "mlflow": _reach_mlflow}
OPENED: dict[str, Callable[[str, str, str], ScoreLogger]] = {"wandb": _wandb, "mlflow": _mlflow}
