"""Evaluation with answers from another process: the losses are the student's own, every answer is the backend's.

No answer is taken from a forward pass of the student, as ``Evaluator`` does: what the backend adds to a score would be
hidden in some answers and not in others.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from forgetting.batching import without_end
from forgetting.contracts import Benchmark, Model, Sample
from forgetting.evaluation.evaluator import Earlier, Evaluator, _Set
from forgetting.evaluation.questions import Asking
from forgetting.models.backend import BackedModel
from forgetting.spec import Evaluation


class WrittenElsewhere(Evaluator):
    """An evaluator whose answers ``writer`` writes."""

    def __init__(
        self,
        base: Model,
        benchmarks: Sequence[Benchmark],
        probe: Sequence[Sample],
        probe_name: str,
        evaluation: Evaluation,
        writer: BackedModel,
    ) -> None:
        super().__init__(base, benchmarks, probe, probe_name, evaluation)
        self.writer = writer

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
