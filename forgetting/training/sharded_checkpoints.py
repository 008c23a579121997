"""Checkpoints of a student that is spread over processes: each writes its own shard, beside the training.

The files of one checkpoint are safetensors, written and read by ``torch.distributed.checkpoint`` without the pickled
metadata of its own format, so that nothing in them can run code. ``last.json`` names the last one that is durable and
comes after its files, so that a killed run finds a whole one.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import lightning
import torch
from torch import Tensor
from torch.distributed import new_group
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import async_save

from forgetting.contracts import Model
from forgetting.errors import UsageError, file_name
from forgetting.record.seals import check_files, file_hash, read_sealed, write_sealed
from forgetting.training.checkpoints import generator_states, restore_generators
from forgetting.training.module import FitModule
from forgetting.training.stops import AtStops
from forgetting.training.stopwatch import Stopwatch


@dataclass(frozen=True)
class Durable:
    """The last durable checkpoint: its folder, its step and what made it."""

    folder: Path
    step: int
    fingerprint: str
    generators: dict[str, Any]


def last_sharded(folder: Path) -> Durable | None:
    """The last durable checkpoint in a run's folder of checkpoints, or None."""
    file = folder / "last.json"
    if not file.is_file():
        return None
    remedy = f"delete the folder {str(folder)!r} and go on: the run is made again from its start"
    try:
        about = read_sealed(file, remedy)
        place = folder / file_name(about["name"], f"{file}: name")
        check_files(place, about.get("files", {}), remedy)
        states = {**about["generators"], "torch": torch.tensor(about["torch"], dtype=torch.uint8)}
        return Durable(place, int(about["step"]), about["fingerprint"], states)
    except UsageError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"checkpoint: cannot be read, {str(file)!r}: {error}; {remedy}") from error


class ShardedSnapshots(AtStops):
    """Starts a checkpoint on all processes after the steps in ``stops``; goes on from ``start`` where it is given."""

    def __init__(
        self,
        folder: Path,
        student: Model,
        stops: Mapping[int, int],
        fingerprint: str,
        stopwatch: Stopwatch,
        *,
        leading: bool,
        start: Durable | None = None,
    ) -> None:
        super().__init__(stops)
        self.folder, self.student = folder, student
        self.fingerprint, self.stopwatch, self.leading, self.start = fingerprint, stopwatch, leading, start
        self._group: Any = None
        self._writing: tuple[Future[Any], dict[str, Any]] | None = None

    def on_train_start(self, trainer: lightning.Trainer, pl_module: Any) -> None:
        """Weights and optimizer tensors back into their shards."""
        super().on_train_start(trainer, pl_module)
        self._group = new_group(backend="gloo")  # of its own, since the training goes on meanwhile
        if self.start is None:
            return
        adam = cast(torch.optim.Optimizer, pl_module.optimizers(use_pl_optimizer=False))
        for _, parameter in self.student.named_parameters():
            zeros = {name: torch.zeros_like(parameter, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}
            adam.state[parameter] = {"step": torch.tensor(float(self.start.step), device=parameter.device), **zeros}
        with torch.no_grad():
            load(self._tensors(pl_module), storage_reader=HuggingFaceStorageReader(str(self.start.folder)))
        restore_generators(self.start.generators)

    def at_stop(self, step: int, module: FitModule) -> None:
        """Wait for the checkpoint before, then hand this one over."""
        with self.stopwatch("checkpoint"):
            self._finish()
            plain, torch_state = generator_states()
            name = f"step-{step:08d}"
            about = {"name": name, "step": step, "fingerprint": self.fingerprint, "generators": plain}
            copies = {key: value.detach().clone() for key, value in self._tensors(module).items()}
            writer = HuggingFaceStorageWriter(str(self.folder / name), save_distributed=True)
            written = async_save(dict(copies), storage_writer=writer, process_group=self._group)
            self._writing = cast(Future[Any], written), {**about, "torch": torch_state.tolist()}

    def close(self) -> None:
        """Make everything durable."""
        with self.stopwatch("checkpoint"):
            self._finish()

    def _tensors(self, module: FitModule) -> dict[str, Tensor]:
        weights = {f"weights:{name}": p.data for name, p in self.student.named_parameters()}
        moments = {n: t for n, t in module.optimiser_tensors().items() if not n.endswith(":step")}
        return weights | {f"optimiser:{name}": tensor for name, tensor in moments.items()}

    def _finish(self) -> None:
        if self._writing is None:
            return
        (written, about), self._writing = self._writing, None
        written.result()
        if self.leading:
            parts = sorted(path for path in (self.folder / about["name"]).iterdir() if path.is_file())
            with ThreadPoolExecutor() as threads:  # hashing lets go of the interpreter
                files = dict(zip((path.name for path in parts), threads.map(file_hash, parts), strict=True))
            write_sealed(self.folder / "last.json", {**about, "files": files})
            for older in self.folder.glob("step-*"):
                if older.name < about["name"]:
                    shutil.rmtree(older)
