"""A run that is ready: everything that it is measured and trained with, and where it goes on from."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from forgetting.batching import Encoded
from forgetting.contracts import Model
from forgetting.evaluation.looks import Looks
from forgetting.evaluation.recorder import Recorder
from forgetting.models.huggingface import HuggingFaceModel
from forgetting.record.files import RunFolder
from forgetting.spec import Optimiser
from forgetting.stages.rate_matching import Matched
from forgetting.study.fingerprints import fingerprint, run_form
from forgetting.study.run import Run
from forgetting.study.study import Study
from forgetting.training.checkpoints import RunCheckpoint, Snapshots, last, read, restore_generators
from forgetting.training.plan import MixPlan
from forgetting.training.sharded_checkpoints import Durable, ShardedSnapshots, last_sharded


@dataclass(frozen=True)
class FitStart:
    """Where a fit begins: its first step, the optimiser's moments, and the checkpoint where that is in shards."""

    step: int
    optimiser: dict[str, Tensor] | None
    sharded: Durable | None


@dataclass(frozen=True)
class Prepared:
    """A run that is ready to be measured and trained."""

    study: Study
    run: Run
    folder: RunFolder
    model: HuggingFaceModel
    memory: Any  # what its mitigation keeps of the student
    plan: MixPlan
    stops: dict[int, int]
    recorder: Recorder
    encoded: Encoded
    optimiser: Optimiser
    matched: Matched | None
    looks: Looks

    @cached_property
    def mark(self) -> str:
        """The run's fingerprint."""
        return fingerprint(run_form(self.study, self.run))

    def checkpoint(self, path: Path) -> RunCheckpoint | None:
        """The checkpoint in that file, if it is of this run and no row before it is missing."""
        if not path.is_file():
            return None
        found = read(path)
        if not found.verified:
            self.recorder.unverified.add(path.name)
        earlier = {dose for step, dose in self.stops.items() if step < found.step}
        return found if found.fingerprint == self.mark and earlier <= set(self.folder.doses()) else None

    def sharded_checkpoint(self) -> Durable | None:
        """The checkpoint in shards to go on from, if it is this run's and every dose up to it has its rows."""
        found = last_sharded(self.folder.checkpoint)
        if found is None or found.fingerprint != self.mark:
            return None
        earlier = {dose for step, dose in self.stops.items() if step <= found.step}
        return found if earlier <= set(self.folder.doses()) else None

    def kept(self) -> dict[str, Tensor]:
        """What the steps so far have changed in the mitigation's memory."""
        return self.run.arm.mitigation.kept(self.memory)

    def notes(self) -> dict[str, float]:
        """What the mitigation tells of its memory."""
        return self.run.arm.mitigation.told(self.memory)

    def restore_kept(self, checkpoint: RunCheckpoint) -> None:
        """Put back what ``kept`` was when the checkpoint was made."""
        for name, tensor in self.kept().items():
            tensor.copy_(checkpoint.kept[name])

    def start(self, first: int, student: Model) -> None:
        """Drop rows beyond the step, and measure there unless it was."""
        self.recorder.start_at(self.stops[first])
        if self.stops[first] not in self.folder.doses():
            self.looks.measure(self.stops[first], student)

    def going_on(self) -> FitStart:
        """Where the run goes on; model, memory and generators are as they were there, or as they are at the start."""
        if self.looks.spread:
            sharded = self.sharded_checkpoint()
            return FitStart(sharded.step if sharded else 0, None, sharded)
        checkpoint = self.checkpoint(last(self.folder.checkpoint))
        if checkpoint is None:
            return FitStart(0, None, None)
        self.model.load_state(checkpoint.weights)
        self.restore_kept(checkpoint)
        restore_generators(checkpoint.generators)
        return FitStart(checkpoint.step, checkpoint.optimiser, None)

    def snapshots(self, start: FitStart) -> Snapshots | ShardedSnapshots:
        """Takes the checkpoints of the fit that begins there."""
        place, watch = self.folder.checkpoint, self.recorder.watch
        if self.looks.spread:
            return ShardedSnapshots(
                place, self.model, self.stops, self.mark, watch, leading=self.looks.leading, start=start.sharded
            )
        every = self.study.spec.keep == "all"
        return Snapshots(place, self.model, self.stops, self.mark, watch, keep_all=every, kept=self.kept)
