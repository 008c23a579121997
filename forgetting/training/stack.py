"""What a stack needs beside its model: one batch of many, each replica's own mitigation, and their checkpoints."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning
import torch
from torch import Tensor
from torch.nn import functional

from forgetting.contracts import Batch, Mitigation, Model
from forgetting.spec import Machine
from forgetting.training.checkpoints import RunCheckpoint, Snapshots, SnapshotWriter, last, previous
from forgetting.training.fit import fit
from forgetting.training.module import FitModule
from forgetting.training.stopwatch import Stopwatch


def stacked_batch(batches: Sequence[Batch], pad: int) -> Batch:
    """Batches ``[1, B, T]`` of equally many samples as one ``[R, B, T]``, each with its own denominator."""
    width = max(b.tokens_RBT.shape[2] for b in batches)
    tokens = [functional.pad(b.tokens_RBT, (0, width - b.tokens_RBT.shape[2]), value=pad) for b in batches]
    answer = [functional.pad(b.answer_RBT, (0, width - b.answer_RBT.shape[2]), value=False) for b in batches]
    over = torch.tensor([float(b.denominator) for b in batches])
    return Batch(
        torch.cat(tokens), torch.cat(answer), over, _weights(batches, width), _references(batches), batches[0].group
    )


def _weights(batches: Sequence[Batch], width: int) -> Tensor | None:
    """Weights of all replicas, 1 for one that has none; None where none has."""
    if all(b.weight_RBT is None for b in batches):
        return None
    each = [torch.ones(b.tokens_RBT.shape) if b.weight_RBT is None else b.weight_RBT for b in batches]
    return torch.cat([functional.pad(w, (0, width - w.shape[2]), value=1.0) for w in each])


def _references(batches: Sequence[Batch]) -> Tensor | None:
    given = [b.reference_RB for b in batches if b.reference_RB is not None]
    if given and len(given) < len(batches):
        raise ValueError("stack: either all replicas' batches have reference_RB, or none")
    return torch.cat(given) if given else None


@dataclass(frozen=True)
class EachItsOwn(Mitigation):
    """Every replica under its own mitigation, which sees it as a model of its own."""

    mitigations: tuple[Mitigation, ...] = ()
    replicas: tuple[Model, ...] = field(default=(), compare=False)

    def loss(self, student: Model, memory: Any, batch: Batch, loss: Callable[[Batch], Tensor]) -> Tensor:
        """One pass of all where no replica's mitigation has a loss of its own; a part that stacks has none."""
        return loss(batch)

    def penalty(self, student: Model, memory: Sequence[Any]) -> Tensor | None:
        """``[R]``, zero for a replica without one; None if none has one."""
        each = [m.penalty(r, kept) for m, r, kept in zip(self.mitigations, self.replicas, memory, strict=True)]
        if all(term is None for term in each):
            return None
        return torch.cat([torch.zeros(1, device=student.device) if term is None else term for term in each])

    def pull(self, name: str, weight: Tensor, memory: Sequence[Any], rate: Any) -> Tensor | None:
        """``[R, ...]``, zero for a replica without one; ``rate`` has one number for each replica."""
        if all(type(m).pull is Mitigation.pull for m in self.mitigations):
            return None
        own = zip(self.mitigations, weight, memory, rate, strict=True)
        each = [m.pull(name, w, kept, r) for m, w, kept, r in own]
        if all(taken is None for taken in each):
            return None
        return torch.stack([torch.zeros_like(w) if t is None else t for t, w in zip(each, weight, strict=True)])

    def after_step(self, student: Model, memory: Sequence[Any]) -> None:
        """Each mitigation's own."""
        for mitigation, replica, kept in zip(self.mitigations, self.replicas, memory, strict=True):
            mitigation.after_step(replica, kept)


@dataclass(frozen=True)
class ReplicaPlace:
    """Where a replica's checkpoints are, and whose they are."""

    folder: Path
    fingerprint: str
    kept: Callable[[], Mapping[str, Tensor]] = dict  # of a mitigation's memory


def fit_stack(
    module: FitModule,
    replicas: Sequence[Model],
    streams: Callable[[], Sequence[Iterator[Batch]]],
    places: Sequence[ReplicaPlace],
    stops: Mapping[int, int],
    watch: Stopwatch,
    *,
    before: Sequence[lightning.Callback] = (),
    after: Sequence[lightning.Callback] = (),
    keep_all: bool = False,
    machine: Machine = Machine(),  # noqa: B008 (frozen)
) -> None:
    """Train a stack on the replicas' own streams; each has its snapshots, durable in the end, where it would alone.

    Callbacks come before or after the snapshots of a step.
    """
    pad = module.student.tokenizer.pad_token_id
    writer = SnapshotWriter(most_queued=len(replicas))
    snapshots = [
        Snapshots(
            place.folder,
            replica,
            stops,
            place.fingerprint,
            watch,
            keep_all=keep_all,
            replica=number,
            writer=writer,
            kept=place.kept,
        )
        for number, (place, replica) in enumerate(zip(places, replicas, strict=True))
    ]
    try:
        with watch("training"):
            fit(
                module,
                lambda: (stacked_batch(each, pad) for each in zip(*streams(), strict=True)),
                [*before, *snapshots, *after],
                machine,
            )
    finally:
        snapshots[0].close()


def last_common(folders: Sequence[Path], read: Sequence[Callable[[Path], RunCheckpoint | None]]) -> list[RunCheckpoint]:
    """Checkpoints of all replicas at the last step that all of them have one of; empty if there is none.

    ``read`` gives a file's checkpoint, or None if there is none to go on from. What a replica has beyond that step is
    dropped, so that its next snapshot has the common one before it.
    """
    found: list[dict[int, RunCheckpoint]] = []
    for folder, one in zip(folders, read, strict=True):
        both = [one(file) for file in (previous(folder), last(folder))]
        found.append({checkpoint.step: checkpoint for checkpoint in both if checkpoint})
    steps = set.intersection(*(set(own) for own in found))
    if not steps:
        return []
    for folder, own in zip(folders, found, strict=True):
        if max(own) > max(steps):
            os.replace(previous(folder), last(folder))
    return [own[max(steps)] for own in found]


def stacked_state(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """Tensors of each replica as one of all, ``[R, ...]``."""
    return {name: torch.stack([state[name] for state in states]) for name in states[0]}
