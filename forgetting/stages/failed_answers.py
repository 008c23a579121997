"""How the answers of a study failed: a run and its ledger rows in, counts of classes out."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import pandas as pd

from forgetting.analysis.failures import Texts, decides, failure_counts, world_texts
from forgetting.models.checkpoint import Checkpoint
from forgetting.study.run import Run
from forgetting.study.study import Study

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def failed_answers(study: Study, run: Run, rows: pd.DataFrame) -> pd.DataFrame:
    """The counts of a run's greedy ledger rows, of those benchmarks of the study that decide how answers failed."""
    decided = [benchmark for benchmark in study.benchmarks if decides(benchmark)]
    read = _reader_of(study, run) if decided else world_texts
    return failure_counts(rows, decided, study.spec.evaluation.max_new_tokens, read)


def _reader_of(study: Study, run: Run) -> Texts:
    """How the answers of a run's student are read: by the world's words, or by the tokenizer of its checkpoint.

    A student that is no checkpoint, of a teacher that is one, has the teacher's tokenizer.
    """
    source = run.student if isinstance(run.student, Checkpoint) else study.teacher
    if not isinstance(source, Checkpoint):
        return world_texts
    from forgetting.batching import texts

    tokenizer = _tokenizer(source)
    return lambda answers: texts([answer.tolist() for answer in answers], tokenizer)


@lru_cache(maxsize=8)
def _tokenizer(source: Checkpoint) -> PreTrainedTokenizerFast:
    from forgetting.models.loading import reader

    return reader(source)[0]
