"""A callback for a Lightning ``Trainer`` that is not ours: a fine-tuning in, our record of it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import lightning

from forgetting.callbacks.watched import WatchedTraining
from forgetting.callbacks.watching import Watching
from forgetting.contracts import Benchmark, Contamination
from forgetting.errors import UsageError, require
from forgetting.spec import PartValue


class ForgettingLightningCallback(lightning.Callback):
    """As ``ForgettingCallback``, for a module that trains a causal language model of transformers.

    The module has it as ``network`` names; samples are counted by the first dimension of a batch's first tensor, or by
    ``count``. Only one process trains.
    """

    def __init__(
        self,
        output: str | Path,
        benchmarks: PartValue | Benchmark | Sequence[PartValue | Benchmark],
        tokenizer: Any,
        *,
        network: str = "model",
        count: Callable[[Any], int] | None = None,
        seed: int = 0,
        probe: PartValue | Contamination | None = None,
        every: int = 0,
        ratio: float = 2.0,
        name: str = "",
        arm: str = "fine_tuning",
        **evaluation: Any,
    ) -> None:
        """Checks everything that it is given; what is not said here is as in ``ForgettingCallback``.

        Args:
            output: a new folder
            benchmarks: one or several
            tokenizer: the model's
            network: the attribute of the module that is the model
            count: how many samples a batch has
            seed: what the record calls the seed of this fine-tuning
            probe: samples on which learning is told
            every: optimiser steps between looks; 0 for steps 1, ratio, ratio², ...
            ratio: between geometric looks
            name: what the record calls the study
            arm: and the fine-tuning
            evaluation: settings of ``Evaluation``
        """
        self.watching = Watching.of(
            output, benchmarks, probe, every=every, ratio=ratio, name=name, arm=arm, **evaluation
        )
        self.tokenizer, self.network, self.count, self.seed = tokenizer, network, count or _rows, seed
        self._watched: WatchedTraining | None = None
        self._seen, self._step = 0, 0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """The look at dose 0."""
        require(trainer.world_size == 1, "callback", "in a training of one process", trainer.world_size)
        if trainer.global_step:
            raise UsageError("callback: must begin with the fine-tuning, whose base it compares with, not resume it")
        if not hasattr(pl_module, self.network):
            raise UsageError(f"network: must be an attribute of the module, got {self.network!r}")
        self._seen, self._step = 0, 0
        self._watched = WatchedTraining(self.watching, getattr(pl_module, self.network), self.tokenizer, self.seed)
        self._watched.look(0)

    def on_train_batch_end(
        self, trainer: lightning.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch; a look, where a step has ended at which it is due."""
        self._seen += self.count(batch)
        if self._watched is not None and trainer.global_step > self._step:
            self._step = trainer.global_step
            if self.watching.is_due(self._step):
                self._watched.look(self._seen)

    def on_train_end(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """The last look, and the record."""
        if self._watched is not None:
            self._watched.look(self._seen)
            self._watched.finish()
            self._watched = None


def _rows(batch: Any) -> int:
    """The first dimension of the first tensor in a batch."""
    if hasattr(batch, "shape"):
        return int(batch.shape[0])
    inner = list(batch.values()) if hasattr(batch, "values") else list(batch)
    return _rows(inner[0])
