"""One fit on the processes of an environment with ranks; the first prints each step's loss and the weights' sum.

    LOCAL_RANK=0 MASTER_ADDR=127.0.0.1 MASTER_PORT=29511 python -m tests.training.several '{"devices": 2}' CHECKPOINTS

With a folder of checkpoints the fit goes on from the last one that is there.
"""

from __future__ import annotations

import atexit
import json
import os
import sys
from pathlib import Path
from typing import Any

import lightning
import torch

from forgetting import losses
from forgetting.batching import encode
from forgetting.contamination.original import Original
from forgetting.contracts import Batch
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.spec import Machine, Optimiser
from forgetting.testing.small import model
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.plan import epochs

STEPS = 6


class Losses(lightning.Callback):
    """The loss of every step: the sum over its micro-batches and processes, as Lightning divides it."""

    def __init__(self, machine: Machine) -> None:
        self.machine, self.steps = machine, [0.0] * STEPS
        self._begun = 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        mean = trainer.strategy.reduce(outputs["loss"].detach(), reduce_op="mean")
        self.steps[batch_idx // self.machine.micro_batches] += float(mean)


def run(machine: Machine, samples: int = 30) -> tuple[list[float], HuggingFaceModel]:
    """Losses and the student after some steps of 8 samples, the last one smaller."""
    student = model(0)
    assert isinstance(student, HuggingFaceModel)
    plan = epochs(Original(), samples=8 * (STEPS - 1) + 3, pool=samples, batch_size=8, seed=0)
    encoded = encode(plan.samples, student.tokenizer)

    def loss(batch: Batch) -> torch.Tensor:
        return losses.cross_entropy(student, batch)

    optimiser = Optimiser(batch_size=8, learning_rate=1e-2, warmup_steps=2)
    module, told = FitModule(student, loss, optimiser, total_steps=plan.steps), Losses(machine)
    fit(module, lambda: (encoded.batch(i, plan.batch_size) for i in plan), [told], machine)
    return told.steps, student


if __name__ == "__main__":
    atexit.register(lambda: os._exit(3) if torch.distributed.is_initialized() else None)  # runs last
    torch.set_num_threads(1)
    machine = Machine(**json.loads(sys.argv[1]))
    steps, student = run(machine)
    weights = {n: (t.full_tensor() if hasattr(t, "full_tensor") else t) for n, t in student.state().items()}
    if not torch.distributed.is_initialized() or torch.distributed.get_rank() == 0:
        Path(sys.argv[2]).write_text(
            json.dumps({"losses": steps, "weights": {n: t.tolist() for n, t in weights.items()}})
        )
