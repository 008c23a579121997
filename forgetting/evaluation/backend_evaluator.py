"""Evaluation with answers from another process: the losses are the student's own, every answer is the backend's.

No answer is taken from a forward pass of the student, as ``Evaluator`` does: what the backend adds to a score would be
hidden in some answers and not in others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from forgetting.batching import without_end
from forgetting.contracts import Model
from forgetting.evaluation.evaluator import Earlier, Evaluator, _Set
from forgetting.evaluation.questions import Asking
from forgetting.models.backend import BackedModel, vllm_command
from forgetting.spec import Backend

_writers: dict[tuple[str, ...], BackedModel] = {}  # one process for all runs of this one, since it starts slowly


class WrittenElsewhere(Evaluator):
    """An evaluator whose answers ``writer`` writes."""

    writer: BackedModel

    def _look(self, student: Model, sets: Sequence[_Set], earlier: Earlier) -> Asking[list[pd.DataFrame]]:
        sums = []
        for s in sets:
            sums.append((yield from s.traces.reading(student is self.base)))
        asked = [prompt for s in sets for prompt in s.prompts]
        if self.writer.model is not student:
            self.writer.follow(student, self.writer.folder)
        limit = self.evaluation.max_new_tokens
        answers = iter(without_end(self.writer.generate([asked], max_new_tokens=limit)[0], self.writer.ends))
        return [self._rows(s, [next(answers) for _ in s.items], found) for s, found in zip(sets, sums, strict=True)]


def writer(backend: Backend, model: Model, folder: Path) -> BackedModel:
    """The backend's process, started if need be, for a student of its own; its noise floor is to be measured anew."""
    command = vllm_command(
        *backend.command,
        dtype=backend.dtype,
        max_length=backend.max_length,
        memory_share=backend.memory_share,
        gpus=backend.gpus,
    )
    if tuple(command) not in _writers:
        made = BackedModel(model, command, folder, noise_prompts=backend.noise_prompts, quiet=True)
        _writers[tuple(command)] = made
    found = _writers[tuple(command)].follow(model, folder)
    found.noise = None
    return found
