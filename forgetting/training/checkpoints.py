"""Checkpoints: snapshots taken on the device at intervals, written by one thread, atomically, at most one queued."""

from __future__ import annotations

import hashlib
import json
import os
import queue
import random
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from forgetting.contracts import Model
from forgetting.errors import UsageError
from forgetting.models.graphs import CAPTURING
from forgetting.record.files import write_atomically
from forgetting.record.reading import first_line
from forgetting.record.seals import SEAL, damaged
from forgetting.training.module import FitModule
from forgetting.training.stops import AtStops
from forgetting.training.stopwatch import Stopwatch

DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.bfloat16: "BF16", torch.float16: "F16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
LARGE = 50_000_000  # weights of a model of which one snapshot at a time is held in memory


@dataclass(frozen=True)
class RunCheckpoint:
    """All that a fit needs to go on: weights and optimizer tensors by name, the step, generator states.

    ``kept`` is what a mitigation keeps of the steps so far.
    """

    step: int
    fingerprint: str
    weights: dict[str, Tensor]
    optimiser: dict[str, Tensor]
    generators: dict[str, Any]
    kept: dict[str, Tensor] = field(default_factory=dict)
    verified: bool = True  # False: of an older version, which wrote no hash


def last(folder: Path) -> Path:
    """The file of the last durable checkpoint."""
    return folder / "last.safetensors"


def previous(folder: Path) -> Path:
    """The file of the one before, where a stack keeps it: its replicas are never more than one snapshot apart."""
    return folder / "previous.safetensors"


def content_hash(tensors: Mapping[str, Tensor], meta: Mapping[str, str]) -> str:
    """The hash of a checkpoint's tensors and of what is written beside them."""
    digest = hashlib.sha256(json.dumps(sorted((n, v) for n, v in meta.items() if n != SEAL)).encode())
    for name in sorted(tensors):
        one = tensors[name].contiguous()
        digest.update(f"|{name}|{one.dtype}|{tuple(one.shape)}|".encode())
        digest.update(one.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def read(path: Path) -> RunCheckpoint:
    """Read a checkpoint (safetensors: nothing in it can run code).

    Raises:
        UsageError: it cannot be read, or is not what was written; the line says what is made again without it
    """
    remedy = "delete it and go on: what it was the checkpoint of is made again from its start"
    try:
        with safe_open(path, framework="pt") as file:
            meta = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if SEAL in meta and content_hash(tensors, meta) != meta[SEAL]:
            raise damaged(path, remedy)
        return RunCheckpoint(
            int(meta["step"]),
            meta["fingerprint"],
            {n.removeprefix("weights:"): t for n, t in tensors.items() if n.startswith("weights:")},
            {n.removeprefix("optimiser:"): t for n, t in tensors.items() if n.startswith("optimiser:")},
            {**json.loads(meta["generators"]), "torch": tensors["generator:torch"]},
            {n.removeprefix("kept:"): t for n, t in tensors.items() if n.startswith("kept:")},
            SEAL in meta,
        )
    except UsageError:
        raise
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"checkpoint: cannot be read, {str(path)!r}: {first_line(error)}; {remedy}") from error


def generator_states() -> tuple[dict[str, Any], Tensor]:
    """States of Python's and numpy's global generators as plain values, and of torch's as a tensor."""
    version, words, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = cast(tuple[Any, ...], np.random.get_state(legacy=True))
    plain = {
        "python": [version, list(words), gauss],
        "numpy": [kind, keys.tolist(), int(position), int(has_gauss), float(cached)],
    }
    return plain, torch.get_rng_state()


def restore_generators(states: Mapping[str, Any]) -> None:
    """Put back what ``generator_states`` gave."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    kind, keys, position, has_gauss, cached = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(states["torch"])


@contextmanager
def own_generators(seed: int) -> Iterator[None]:
    """Inside, the three global generators are a function of the seed; afterwards they are as they were before."""
    before, torch_before = generator_states()
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)
    try:
        yield
    finally:
        restore_generators({**before, "torch": torch_before})


class SnapshotWriter:
    """One thread that writes snapshots; ``put`` waits while one is queued, and raises what an earlier write raised."""

    def __init__(self, most_queued: int = 1) -> None:
        self._queue: queue.Queue[tuple[list[Path], dict[str, Tensor], dict[str, str]] | None] = queue.Queue(most_queued)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="snapshots", daemon=True)
        self._thread.start()

    def make_room(self, numbers: int) -> None:
        """Before a snapshot of so many numbers is taken: wait for those under way where another would be too much."""
        if numbers > LARGE:
            self._queue.join()

    def put(self, paths: list[Path], tensors: dict[str, Tensor], meta: dict[str, str]) -> None:
        """Queue one snapshot; the tensors must not change any more."""
        self._raise()
        self._queue.put((paths, tensors, meta))

    def close(self) -> None:
        """Wait until everything is durable."""
        self._queue.put(None)
        self._thread.join()
        self._raise()

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            paths, tensors, meta = job
            if self._error is None:
                try:
                    with CAPTURING:
                        copied = {n: t.cpu().contiguous() for n, t in tensors.items()}
                    write = partial(_write, copied, {**meta, SEAL: content_hash(copied, meta)})
                    for path in paths:
                        if path.name == "previous.safetensors":
                            _move(last(path.parent), path)
                        else:
                            write_atomically(path, write)
                    del write, copied
                except Exception as error:  # noqa: BLE001 (raised again by the next put or close)
                    self._error = error
            del job, paths, tensors, meta
            self._queue.task_done()


def _write(tensors: Mapping[str, Tensor], meta: Mapping[str, str], file: IO[bytes]) -> None:
    """A safetensors file, tensor by tensor; ``safetensors.torch.save`` would hold all of them once more in memory.

    The largest numbers come first, so that each begins at a multiple of its size (github.com/huggingface/safetensors).
    """
    order = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header, start = dict[str, Any](__metadata__=dict(meta)), 0
    for name in order:
        one = tensors[name]
        end = start + one.numel() * one.element_size()
        header[name] = {"dtype": DTYPES[one.dtype], "shape": list(one.shape), "data_offsets": [start, end]}
        start = end
    told = json.dumps(header).encode()
    told += b" " * (-len(told) % 8)
    file.write(len(told).to_bytes(8, "little") + told)
    for name in order:
        file.write(tensors[name].reshape(-1).view(torch.uint8).numpy().data)


def _move(source: Path, target: Path) -> None:
    if source.is_file():
        os.replace(source, target)


class Snapshots(AtStops):
    """Takes a snapshot after the steps in ``stops`` (step to dose); with ``keep_all`` a file of each dose stays.

    ``replica`` names one of a stack, whose snapshots go through one ``writer`` and keep the one before.
    """

    def __init__(
        self,
        folder: Path,
        student: Model,
        stops: Mapping[int, int],
        fingerprint: str,
        stopwatch: Stopwatch,
        *,
        keep_all: bool = False,
        replica: int | None = None,
        writer: SnapshotWriter | None = None,
        kept: Callable[[], Mapping[str, Tensor]] = dict,
    ) -> None:
        super().__init__(stops)
        self.folder, self.student = folder, student
        self.fingerprint, self.stopwatch, self.keep_all = fingerprint, stopwatch, keep_all
        self.replica, self._writer, self.kept = replica, writer, kept

    def at_stop(self, step: int, module: FitModule) -> None:
        """Clone on the device, then hand over."""
        with self.stopwatch("checkpoint"):
            self._writer = self._writer or SnapshotWriter()
            self._writer.make_room(sum(t.numel() for t in self.student.state().values()))
            plain, torch_state = generator_states()
            tensors = {f"weights:{n}": t.detach().clone() for n, t in self.student.state().items()}
            tensors |= {f"optimiser:{n}": t.detach().clone() for n, t in module.optimiser_tensors(self.replica).items()}
            tensors |= {f"kept:{n}": t.detach().clone() for n, t in self.kept().items()}
            meta = {"step": str(step), "fingerprint": self.fingerprint, "generators": json.dumps(plain)}
            paths = [last(self.folder)] if self.replica is None else [previous(self.folder), last(self.folder)]
            if self.keep_all:
                paths.insert(0, self.folder / f"dose-{self.stops[step]:08d}.safetensors")
            self._writer.put(paths, {**tensors, "generator:torch": torch_state}, meta)

    def close(self) -> None:
        """Make everything durable; call it once after the fit, also after a fit that failed."""
        if self._writer is not None:
            writer, self._writer = self._writer, None
            with self.stopwatch("checkpoint"):
                writer.close()


def tidy(folder: Path, keep: str) -> None:
    """After completion: ``all`` keeps every file, ``last`` the last checkpoint, ``none`` nothing."""
    previous(folder).unlink(missing_ok=True)
    if keep == "none" and folder.exists():
        shutil.rmtree(folder)
