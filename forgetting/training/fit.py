"""One Lightning fit: the Trainer as this project uses it, from the stream's first step or from a later one."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import lightning
import torch

from forgetting.contracts import Batch, Report
from forgetting.spec import Machine
from forgetting.training import devices
from forgetting.training.module import BatchData, FitModule


def fit(
    module: FitModule,
    batches: Callable[[], Iterator[Batch]],
    callbacks: Sequence[lightning.Callback] = (),
    machine: Machine = Machine(),  # noqa: B008 (frozen)
) -> None:
    """Train ``module`` to its last step, with our own records and checkpoints in place of Lightning's."""
    remaining = module.total_steps - module.first_step
    trainer = _trainer(
        machine,
        max_steps=max(remaining, 0),
        max_epochs=1,
        callbacks=list(callbacks),
        gradient_clip_val=None if module.student.stacked else module.optimiser.clip_norm or None,
    )
    if remaining > 0:
        module.network.train()
        devices.prepare(module.network, machine)
        own = BatchData(lambda: devices.pieces(batches(), machine), remaining * machine.micro_batches)
        trainer.fit(module, datamodule=own)


def device(machine: Machine = Machine()) -> torch.device:  # noqa: B008 (frozen)
    """Where Lightning trains this process's student: looks before the first step are taken there too."""
    found: torch.device = _trainer(machine).strategy.root_device
    return found


def place(network: torch.nn.Module, machine: Machine) -> None:
    """Put a network where this process trains; where weights are spread, Lightning lays them out."""
    if not devices.spreads(machine):
        network.to(device(machine))


def _trainer(machine: Machine, **settings: Any) -> lightning.Trainer:
    _quiet()
    return lightning.Trainer(
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **devices.trainer_settings(machine),
        **settings,
    )


def _quiet() -> None:
    """Lightning's notices about devices and loader workers say nothing about a one-device fit of prepared batches."""
    for name in ("lightning", "lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", message=".*does not have many workers.*")
    warnings.filterwarnings("ignore", message=".*has `__len__` defined.*")
    warnings.filterwarnings("ignore", message=".*LeafSpec.*")
    # Stacked parameters are parts of one flat tensor, and so are their gradients.
    warnings.filterwarnings("ignore", message=".*gradient layout contract.*")


def silent(done: int, total: int) -> None:
    """The report of somebody who does not want to know."""


class Progress(lightning.Callback):
    """Calls ``report(done, total)`` at most five times a second."""

    def __init__(self, report: Report, total: int) -> None:
        self.report, self.total = report, total
        self._due = 0.0

    def on_train_batch_end(self, trainer: lightning.Trainer, pl_module: Any, *_: Any) -> None:
        """Steps done so far."""
        assert isinstance(pl_module, FitModule)
        if (now := time.monotonic()) >= self._due:
            self._due = now + 0.2
            self.report(pl_module.step, self.total)
