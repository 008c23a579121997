"""Scores of a run to W&B and MLflow through Lightning's own loggers: what TensorBoard shows in, the same there out.

The package of a logger is an extra. No number depends on it, nor does a fingerprint.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetting.errors import UsageError

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger


class ScoreLogger:
    """One run at one of the services. ``close`` ends it there, so that the next run of a process is another one."""

    def __init__(self, logger: Logger, end: Callable[[], None] = lambda: None) -> None:
        self.logger, self._end = logger, end

    def scalars(self, dose: int, values: Mapping[str, float | None]) -> None:
        """Scalars by tag at one dose; those that are None (not learned, say) are left out."""
        self.logger.log_metrics({tag: float(v) for tag, v in values.items() if v is not None and v == v}, step=dose)

    def close(self) -> None:
        """The run is complete."""
        self.logger.finalize("success")
        self._end()


def check_loggers(names: Sequence[str]) -> None:
    """``UsageError`` where the package of a logger is missing."""
    for name in names:
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"machine.loggers: {name} is not installed; pip install 'forgetting[{name}]'")


def opened_loggers(names: Sequence[str], study: str, columns: Mapping[str, Any], folder: Path) -> list[ScoreLogger]:
    """A logger for each name, in the project (experiment) ``study``, for the run in ``folder``; ``columns`` are its
    settings.

    An interrupted run goes on at W&B under its identifier, which is made of its folder; at MLflow it is a new run with
    the same name and tag. Every score is told again in either case.
    """
    check_loggers(names)
    mark = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:16]
    found = []
    for name in names:
        logger = OPENED[name](study, folder.name, mark)
        logger.logger.log_hyperparams(dict(columns))
        found.append(logger)
    return found


def _wandb(project: str, run: str, mark: str) -> ScoreLogger:
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    # Runs of a stack are open side by side, which a logger that starts its own run does not allow.
    own = wandb.init(project=project, name=run, id=mark, resume="allow", reinit="create_new")
    return ScoreLogger(WandbLogger(experiment=own, project=project, name=run), own.finish)


def _mlflow(project: str, run: str, mark: str) -> ScoreLogger:
    from lightning.pytorch.loggers import MLFlowLogger

    return ScoreLogger(MLFlowLogger(experiment_name=project, run_name=run, tags={"forgetting.run": mark}))


OPENED: dict[str, Callable[[str, str, str], ScoreLogger]] = {"wandb": _wandb, "mlflow": _mlflow}
