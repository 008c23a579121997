"""How a fit is laid out on devices: Lightning's strategy for it, this process's pieces of each step, sharding."""

from __future__ import annotations

import atexit
import functools
import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy, ModelParallelStrategy

from forgetting.batching import piece
from forgetting.contracts import Batch
from forgetting.errors import require
from forgetting.spec import Machine

PATIENCE = timedelta(days=1)  # the others wait as long as the first of them measures
PRECISIONS = {"float32": "32-true", "bfloat16_mixed": "bf16-mixed"}


def check_there(machine: Machine) -> None:
    """``UsageError`` where a GPU is asked for and this machine has none."""
    there = machine.device != "gpu" or torch.cuda.is_available() or torch.backends.mps.is_available()
    require(there, "machine.device", "auto or cpu on a machine without a GPU", machine.device)


def rank(machine: Machine) -> int:
    """Which of the run's processes this is."""
    return int(os.environ.get("LOCAL_RANK", "0")) if machine.devices > 1 else 0


def leads(machine: Machine) -> bool:
    """Whether this process writes; the others train along."""
    return rank(machine) == 0


def spreads(machine: Machine) -> bool:
    """Whether the weights lie spread over devices, so that all processes measure together."""
    return machine.devices > 1 and machine.strategy == "fsdp"


def pieces(batches: Iterator[Batch], machine: Machine) -> Iterator[Batch]:
    """This process's micro-batches, ``machine.micro_batches`` for each batch of the stream."""
    own, count = rank(machine), machine.devices * machine.micro_batches
    for batch in batches:
        for number in range(machine.micro_batches):
            yield piece(batch, number * machine.devices + own, count) if count > 1 else batch


def trainer_settings(machine: Machine) -> dict[str, Any]:
    """What Lightning's Trainer is told of the layout."""
    settings: dict[str, Any] = {"accelerator": machine.device, "devices": machine.devices}
    if machine.micro_batches > 1:
        settings["accumulate_grad_batches"] = machine.micro_batches
    if machine.precision != "float32":
        settings["precision"] = PRECISIONS[machine.precision]
    if machine.devices == 1:
        return settings
    _leave_at_exit()
    settings["plugins"] = [LightningEnvironment()]
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    if machine.strategy == "ddp":
        settings["strategy"] = DDPStrategy(process_group_backend=backend, timeout=PATIENCE)
    else:
        settings["strategy"] = ModelParallelStrategy(
            data_parallel_size=machine.devices, tensor_parallel_size=1, process_group_backend=backend, timeout=PATIENCE
        )
    return settings


@functools.cache
def _leave_at_exit() -> None:
    """Threads of gloo that outlive the interpreter can end the process with SIGABRT after all its work is done."""
    atexit.register(lambda: torch.distributed.destroy_process_group() if torch.distributed.is_initialized() else None)


def prepare(network: Any, machine: Machine) -> None:
    """Activation checkpointing and compilation, where they are asked for."""
    if machine.compile:
        torch._dynamo.config.recompile_limit = 256  # of all students of this process; beyond it none would be compiled
        network.get_decoder().compile(dynamic=True)  # its widths are those of the batches; the head stays as it is
    if machine.activation_checkpointing:
        network.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
